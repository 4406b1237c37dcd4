"""What owners lend to others passes row-level security too."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_GRANTED = """
CREATE FUNCTION bethink_granted(m_owner text, m_id text, m_project text, m_tags text[], writing boolean) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE RETURN EXISTS (
    SELECT 1
    FROM jsonb_to_recordset(coalesce(nullif(current_setting('bethink.granted', true), ''), '[]')::jsonb)
        AS g (owner text, kind text, value text, permission text)
    WHERE g.owner = m_owner AND (NOT writing OR g.permission = 'write')
        AND CASE g.kind WHEN 'memory' THEN g.value = m_id WHEN 'project' THEN g.value = m_project ELSE g.value = ANY (m_tags) END
)
"""


def upgrade() -> None:
    op.execute(_GRANTED)
    op.execute("CREATE POLICY lent ON memories FOR SELECT TO bethink_app USING (bethink_granted(owner, id, project, tags, false))")
    # The subquery runs under the policies of `memories`: whoever sees the memory sees what belongs to it.
    for table in ("windows", "usage"):
        op.execute(
            f"CREATE POLICY lent ON {table} FOR SELECT TO bethink_app "
            f"USING (EXISTS (SELECT 1 FROM memories m WHERE m.owner = {table}.owner AND m.id = {table}.id))"
        )


def downgrade() -> None:
    for table in ("memories", "windows", "usage"):
        op.execute(f"DROP POLICY lent ON {table}")
    op.execute("DROP FUNCTION bethink_granted")
