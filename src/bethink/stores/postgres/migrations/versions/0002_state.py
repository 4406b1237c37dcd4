"""How far imports, distillation and the like have come: JSON by owner, namespace and key."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE state (
    owner text NOT NULL,
    namespace text NOT NULL,
    key text NOT NULL,
    value jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, namespace, key)
)
"""


def upgrade() -> None:
    op.execute(_TABLE)
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON state TO bethink_app")
    op.execute("ALTER TABLE state ENABLE ROW LEVEL SECURITY")
    op.execute("CREATE POLICY readable ON state FOR SELECT TO bethink_app USING (owner = ANY ((SELECT bethink_readable())::text[]))")
    op.execute("CREATE POLICY added ON state FOR INSERT TO bethink_app WITH CHECK (owner = ANY ((SELECT bethink_writable())::text[]))")
    op.execute("CREATE POLICY changed ON state FOR UPDATE TO bethink_app USING (owner = ANY ((SELECT bethink_writable())::text[]))")
    op.execute("CREATE POLICY removed ON state FOR DELETE TO bethink_app USING (owner = ANY ((SELECT bethink_writable())::text[]))")


def downgrade() -> None:
    op.execute("DROP TABLE state")
