-- A number by chance for each state of a chunk of signs: who holds a chunk with this number need not read it again.
CREATE TABLE chunk_versions (
    number INTEGER PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT;
INSERT INTO chunk_versions (number, version) SELECT number, random() FROM vector_chunks;
