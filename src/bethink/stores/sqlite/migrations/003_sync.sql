-- The order of changes, per owner: what replicas of this store pull by.
CREATE TABLE counters (owner TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
UPDATE memories SET seq = key;
INSERT INTO counters (owner, seq) SELECT owner, max(key) FROM memories GROUP BY owner;
-- Not by owner first: what nearly all rows have in common would look like a way to find one.
CREATE INDEX memories_seq ON memories (seq, owner);
-- What was purged is never forgotten: an id that comes back from an old replica must not bring its memory back.
-- `twin` is the memory that took this one in.
CREATE TABLE tombstones (
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    twin TEXT,
    PRIMARY KEY (owner, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_seq ON tombstones (owner, seq);
-- Answers to the changes that replicas sent, so that each is made once however often it comes.
CREATE TABLE operations (
    owner TEXT NOT NULL,
    operation TEXT NOT NULL,
    at INTEGER NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (owner, operation)
) STRICT, WITHOUT ROWID;

-- Where this store is itself a replica: what waits to be sent, in the order of its making.
CREATE TABLE pending_ops (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    operation TEXT NOT NULL UNIQUE,
    memory TEXT NOT NULL,
    owner TEXT NOT NULL,
    op TEXT NOT NULL,
    -- the server's version that this replica knew
    base INTEGER NOT NULL,
    -- the change of the same memory that waited before this one
    previous TEXT,
    -- NULL sends the memory as it is then
    payload TEXT,
    at INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    next_try INTEGER NOT NULL DEFAULT 0,
    -- why the server does not take it, as JSON
    refused TEXT
) STRICT;
CREATE INDEX pending_ops_memory ON pending_ops (memory, number);
-- What the server last said of a memory.
CREATE TABLE replica (memory TEXT PRIMARY KEY, version INTEGER NOT NULL, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
-- Conflicts are listed across all memories.
CREATE INDEX revisions_conflict ON revisions (memory) WHERE op = 'conflict';
