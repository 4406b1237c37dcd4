"""Every word finds its memory: the configuration `english` drops "S", "don" and the like, which are names as often as not.

Questions lose their stop words before they come here (`bethink.text.query_terms`), so that nothing else needs them dropped.
The table is written anew once: the column is generated.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_CONFIGURATION = """
CREATE TEXT SEARCH DICTIONARY bethink_english (TEMPLATE = pg_catalog.snowball, Language = english);
CREATE TEXT SEARCH CONFIGURATION bethink_english (COPY = pg_catalog.english);
ALTER TEXT SEARCH CONFIGURATION bethink_english ALTER MAPPING REPLACE pg_catalog.english_stem WITH bethink_english;
"""
_COLUMN = """
ALTER TABLE memories DROP COLUMN search;
ALTER TABLE memories ADD COLUMN search tsvector GENERATED ALWAYS AS (
    setweight(to_tsvector('{0}', words), 'A') ||
    setweight(to_tsvector('{0}', keyword_words), 'B') ||
    setweight(to_tsvector('{0}', tag_words), 'C') ||
    setweight(to_tsvector('{0}', category || ' ' || extra_words), 'D')
) STORED;
CREATE INDEX memories_search ON memories USING gin (search);
"""


def upgrade() -> None:
    op.execute(_CONFIGURATION)
    op.execute(_COLUMN.format("bethink_english"))
    # A new column has no statistics, and the planner would guess until they are gathered.
    op.execute("ANALYZE memories")


def downgrade() -> None:
    op.execute(_COLUMN.format("pg_catalog.english"))
    op.execute("DROP TEXT SEARCH CONFIGURATION bethink_english")
    op.execute("DROP TEXT SEARCH DICTIONARY bethink_english")
