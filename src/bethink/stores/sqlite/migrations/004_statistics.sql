-- The index's own tables were counted while they were empty, and for two rows SQLite reads a table from end to end: each merge of the
-- index's segments read all of it.
DELETE FROM sqlite_stat1 WHERE tbl LIKE 'memories\_fts%' ESCAPE '\';
ANALYZE sqlite_schema;
