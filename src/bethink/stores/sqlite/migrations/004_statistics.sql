-- The index's own tables were counted while they were empty, and a table of two rows is read from end to end: each merge of the index's
-- segments read all of it. A number that stands there is read at once, too; one that is missing only when the file is opened again.
DELETE FROM sqlite_stat1 WHERE tbl LIKE 'memories\_fts%' ESCAPE '\';
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('memories_fts_data', NULL, '100000'), ('memories_fts_docsize', NULL, '100000');
ANALYZE sqlite_schema;
