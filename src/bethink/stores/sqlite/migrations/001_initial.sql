-- What queries filter by comes first: a long content behind it is then never read to skip a row.
CREATE TABLE memories (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'active',
    category TEXT NOT NULL,
    scope TEXT NOT NULL DEFAULT 'global',
    project TEXT,
    task TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    superseded_at INTEGER,
    expires_at INTEGER,
    valid_from INTEGER,
    valid_until INTEGER,
    source TEXT NOT NULL DEFAULT 'user',
    trust TEXT NOT NULL DEFAULT 'user_stated',
    client TEXT,
    agent TEXT,
    session TEXT,
    importance REAL NOT NULL DEFAULT 0.5,
    sensitive INTEGER NOT NULL DEFAULT 0,
    sealed TEXT NOT NULL DEFAULT '[]',
    version INTEGER NOT NULL DEFAULT 1,
    seq INTEGER,
    needs_review TEXT NOT NULL DEFAULT '',
    content_hash BLOB NOT NULL,
    tags TEXT NOT NULL DEFAULT '[]',
    expanded_keywords TEXT NOT NULL DEFAULT '',
    content TEXT NOT NULL,
    -- what is indexed beside the words themselves: parts of identifiers, the date in words
    terms TEXT NOT NULL DEFAULT '',
    origin TEXT,
    extra TEXT
) STRICT;
CREATE INDEX memories_hash ON memories (content_hash);
-- Lists are read in its order; counting reads it alone.
CREATE INDEX memories_recent ON memories (
    created_at, key, owner, project, category, source, status, scope, task, deleted_at, expires_at, valid_until
);
CREATE INDEX memories_category ON memories (category, created_at);
CREATE INDEX memories_project ON memories (project, created_at) WHERE project IS NOT NULL;
CREATE INDEX memories_session ON memories (session, created_at) WHERE session IS NOT NULL;
CREATE INDEX memories_expiring ON memories (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX memories_deleted ON memories (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX memories_review ON memories (key) WHERE needs_review <> '' OR status IN ('candidate', 'quarantined');

-- The index takes its texts from the rows, so that it can remove a text's every trace at once ('secure-delete').
CREATE VIEW memories_indexed AS
    SELECT key, content, expanded_keywords AS keywords, tags, category, terms AS extra FROM memories;
CREATE VIRTUAL TABLE memories_fts USING fts5 (
    content, keywords, tags, category, extra,
    content = 'memories_indexed', content_rowid = 'key',
    tokenize = "porter unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'"
);
INSERT INTO memories_fts (memories_fts, rank) VALUES ('secure-delete', 1), ('automerge', 2);
CREATE VIRTUAL TABLE memories_terms USING fts5vocab (memories_fts, row);

CREATE TABLE usage (
    key INTEGER PRIMARY KEY REFERENCES memories (key) ON DELETE CASCADE,
    uses INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL
) STRICT;

-- A memory's windows have the numbers memory * 64, memory * 64 + 1 …
CREATE TABLE vectors (
    window INTEGER PRIMARY KEY,
    slot INTEGER NOT NULL UNIQUE,
    vector BLOB NOT NULL
) STRICT;
-- Apart, as they are ten times as large and read for the best candidates only.
CREATE TABLE token_vectors (
    window INTEGER PRIMARY KEY,
    tokens BLOB NOT NULL
) STRICT;
-- Signs of the vectors' parts, one bit each, for a quick scan; slot n is entry n % 2048 of chunk n / 2048. Place 0 is an empty slot.
CREATE TABLE vector_chunks (
    number INTEGER PRIMARY KEY,
    places BLOB NOT NULL,
    bits BLOB NOT NULL
) STRICT;
CREATE TABLE free_slots (slot INTEGER PRIMARY KEY) STRICT;
CREATE TABLE pending_vectors (key INTEGER PRIMARY KEY) STRICT;
CREATE TABLE scopes (
    number INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    project TEXT NOT NULL,
    UNIQUE (owner, project)
) STRICT;

CREATE TABLE revisions (
    number INTEGER PRIMARY KEY,
    memory TEXT NOT NULL,
    owner TEXT NOT NULL,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    op TEXT NOT NULL,
    before TEXT NOT NULL,
    actor TEXT NOT NULL DEFAULT '',
    client TEXT,
    agent TEXT,
    session TEXT,
    note TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX revisions_memory ON revisions (memory, number);
CREATE INDEX revisions_at ON revisions (at);

CREATE TABLE links (
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    type TEXT NOT NULL,
    owner TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (source, target, type)
) STRICT, WITHOUT ROWID;
CREATE INDEX links_target ON links (target);

CREATE TABLE secrets (
    memory TEXT NOT NULL,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    sealed BLOB NOT NULL,
    meta TEXT NOT NULL,
    PRIMARY KEY (memory, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    owner TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    digest BLOB NOT NULL
) STRICT;
CREATE INDEX audit_subject ON audit (subject);

-- Small facts about the store: the embedder's identity, the bound server …
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- What is selective, told beforehand: without numbers the planner takes an index on what all rows have in common for as good
-- as one on an id.
ANALYZE;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('memories', 'sqlite_autoindex_memories_1', '100000 1'),
    ('memories', 'memories_hash', '100000 1'),
    ('memories', 'memories_recent', '100000 2 1 1 1 1 1 1 1 1 1 1 1'),
    ('memories', 'memories_category', '100000 10000 2'),
    ('memories', 'memories_project', '100000 5000 2'),
    ('memories', 'memories_session', '100000 200 2'),
    ('memories', 'memories_review', '100 1'),
    ('memories', 'memories_expiring', '1000 1'),
    ('memories', 'memories_deleted', '1000 1'),
    ('memories', 'memories_seq', '100000 2 1'),
    ('revisions', 'revisions_memory', '100000 2 1'),
    ('revisions', 'revisions_at', '100000 2');
