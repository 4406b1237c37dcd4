"""Words are looked up by index under row-level security too.

PostgreSQL asks a policy before any condition whose operator might leak, and `@@` is one: without these functions every search reads
every row. They run with the owner's rights and ask the same question as the policies themselves.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_READABLE = "(m.owner = ANY ((SELECT bethink_readable())::text[]) OR bethink_granted(m.owner, m.id, m.project, m.tags, false))"
_FUNCTIONS = f"""
CREATE FUNCTION bethink_counted(asked tsquery, most integer, cage text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT count(*) FROM (
        SELECT 1 FROM memories m WHERE m.search @@ asked AND {_READABLE} AND (cage IS NULL OR m.project = cage) LIMIT most
    ) found
$$;
CREATE FUNCTION bethink_found(asked tsquery) RETURNS TABLE (owner text, id text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT ROWS 2000 AS $$
    SELECT m.owner, m.id FROM memories m WHERE m.search @@ asked AND {_READABLE}
$$;
REVOKE ALL ON FUNCTION bethink_counted(tsquery, integer, text), bethink_found(tsquery) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bethink_counted(tsquery, integer, text), bethink_found(tsquery) TO bethink_app;
"""


def upgrade() -> None:
    op.execute(_FUNCTIONS)


def downgrade() -> None:
    op.execute("DROP FUNCTION bethink_counted, bethink_found")
