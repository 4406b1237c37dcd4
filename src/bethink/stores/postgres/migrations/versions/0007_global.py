"""What belongs to no project is found without a look at every row: each recall in a project asks for it, and each write."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX memories_global ON memories (owner, created_at DESC) WHERE scope = 'global'")


def downgrade() -> None:
    op.execute("DROP INDEX memories_global")
