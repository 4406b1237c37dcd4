"""The first schema.

Primary keys lead with `owner`, so that the tables can be distributed by it as they stand.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

#: Tables whose rows belong to an owner, under row-level security.
OWNED = ("memories", "windows", "revisions", "links", "secrets", "usage", "audit", "counters", "operations", "tombstones", "scopes")

_SCHEMA = """
CREATE TABLE memories (
    owner text NOT NULL,
    id text NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    status text NOT NULL DEFAULT 'active',
    category text NOT NULL,
    scope text NOT NULL DEFAULT 'global',
    project text,
    task text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    superseded_at timestamptz,
    expires_at timestamptz,
    valid_from timestamptz,
    valid_until timestamptz,
    source text NOT NULL DEFAULT 'user',
    trust text NOT NULL DEFAULT 'user_stated',
    client text,
    agent text,
    session text,
    importance double precision NOT NULL DEFAULT 0.5,
    sensitive boolean NOT NULL DEFAULT false,
    sealed text[] NOT NULL DEFAULT '{}',
    version integer NOT NULL DEFAULT 1,
    seq bigint,
    needs_review text NOT NULL DEFAULT '',
    content_hash bytea NOT NULL,
    tags text[] NOT NULL DEFAULT '{}',
    expanded_keywords text NOT NULL DEFAULT '',
    content text NOT NULL,
    origin jsonb,
    extra jsonb,
    -- what is searched, folded by the application: what a letter is must not depend on the database's locale
    words text NOT NULL DEFAULT '',
    keyword_words text NOT NULL DEFAULT '',
    tag_words text NOT NULL DEFAULT '',
    extra_words text NOT NULL DEFAULT '',
    search tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('english', words), 'A') ||
        setweight(to_tsvector('english', keyword_words), 'B') ||
        setweight(to_tsvector('english', tag_words), 'C') ||
        setweight(to_tsvector('english', category || ' ' || extra_words), 'D')
    ) STORED,
    PRIMARY KEY (owner, id)
);
CREATE INDEX memories_search ON memories USING gin (search);
CREATE INDEX memories_hash ON memories (owner, content_hash);
CREATE INDEX memories_recent ON memories (owner, created_at DESC);
CREATE INDEX memories_project ON memories (owner, project, created_at DESC);
CREATE INDEX memories_session ON memories (owner, session, created_at) WHERE session IS NOT NULL;
CREATE INDEX memories_seq ON memories (owner, seq);
CREATE INDEX memories_tags ON memories USING gin (tags);
CREATE INDEX memories_number ON memories (number);
CREATE INDEX memories_id ON memories (id text_pattern_ops);

CREATE TABLE windows (
    owner text NOT NULL,
    id text NOT NULL,
    place integer NOT NULL,
    vector halfvec NOT NULL,
    tokens bytea NOT NULL,
    PRIMARY KEY (owner, id, place),
    FOREIGN KEY (owner, id) REFERENCES memories (owner, id) ON DELETE CASCADE
);
CREATE TABLE pending_vectors (
    owner text NOT NULL,
    id text NOT NULL,
    claimed_at timestamptz,
    claimed_by text,
    PRIMARY KEY (owner, id),
    FOREIGN KEY (owner, id) REFERENCES memories (owner, id) ON DELETE CASCADE
);
CREATE TABLE usage (
    owner text NOT NULL,
    id text NOT NULL,
    uses integer NOT NULL,
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (owner, id),
    FOREIGN KEY (owner, id) REFERENCES memories (owner, id) ON DELETE CASCADE
);
CREATE TABLE revisions (
    owner text NOT NULL,
    memory text NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    version integer NOT NULL,
    at timestamptz NOT NULL,
    op text NOT NULL,
    before jsonb NOT NULL,
    actor text NOT NULL DEFAULT '',
    client text,
    agent text,
    session text,
    note text NOT NULL DEFAULT '',
    PRIMARY KEY (owner, memory, number)
);
CREATE TABLE links (
    owner text NOT NULL,
    source text NOT NULL,
    target text NOT NULL,
    type text NOT NULL,
    created_at timestamptz NOT NULL,
    note text NOT NULL DEFAULT '',
    PRIMARY KEY (owner, source, target, type)
);
CREATE INDEX links_target ON links (owner, target);
CREATE TABLE secrets (
    owner text NOT NULL,
    memory text NOT NULL,
    name text NOT NULL,
    sealed bytea NOT NULL,
    meta jsonb NOT NULL,
    PRIMARY KEY (owner, memory, name)
);
CREATE TABLE counters (owner text PRIMARY KEY, seq bigint NOT NULL DEFAULT 0, audited bytea NOT NULL DEFAULT '');
CREATE TABLE audit (
    owner text NOT NULL,
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    detail jsonb NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (owner, number)
);
CREATE INDEX audit_subject ON audit (owner, subject);
CREATE TABLE operations (
    owner text NOT NULL,
    operation text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    answer jsonb NOT NULL,
    PRIMARY KEY (owner, operation)
);
CREATE TABLE tombstones (
    owner text NOT NULL,
    id text NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (owner, id)
);
CREATE INDEX tombstones_seq ON tombstones (owner, seq);
CREATE TABLE scopes (owner text NOT NULL, project text NOT NULL, PRIMARY KEY (owner, project));
CREATE TABLE facts (name text PRIMARY KEY, value jsonb NOT NULL);

CREATE FUNCTION bethink_readable() RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE
    RETURN string_to_array(current_setting('bethink.readable', true), chr(31));
CREATE FUNCTION bethink_writable() RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE
    RETURN string_to_array(current_setting('bethink.writable', true), chr(31));
"""


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.execute(_SCHEMA)
    op.execute(
        "DO $$ BEGIN CREATE ROLE bethink_app NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; WHEN unique_violation THEN NULL; END $$"
    )
    op.execute("DO $$ BEGIN EXECUTE format('GRANT bethink_app TO %I', current_user); END $$")
    op.execute("DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO bethink_app', current_schema()); END $$")
    op.execute("GRANT SELECT ON facts TO bethink_app")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON pending_vectors TO bethink_app")
    for table in OWNED:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO bethink_app")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY readable ON {table} FOR SELECT TO bethink_app USING (owner = ANY ((SELECT bethink_readable())::text[]))")
        op.execute(
            f"CREATE POLICY added ON {table} FOR INSERT TO bethink_app WITH CHECK (owner = ANY ((SELECT bethink_writable())::text[]))"
        )
        op.execute(f"CREATE POLICY changed ON {table} FOR UPDATE TO bethink_app USING (owner = ANY ((SELECT bethink_writable())::text[]))")
        op.execute(f"CREATE POLICY removed ON {table} FOR DELETE TO bethink_app USING (owner = ANY ((SELECT bethink_writable())::text[]))")


def downgrade() -> None:
    raise RuntimeError("The first schema has nothing before it.")
