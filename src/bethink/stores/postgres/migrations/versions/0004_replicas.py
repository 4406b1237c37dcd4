"""What was purged may have been taken in by another memory; conflicts are listed across all memories."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE tombstones ADD COLUMN twin text")
    op.execute("CREATE INDEX revisions_conflict ON revisions (owner, memory) WHERE op = 'conflict'")


def downgrade() -> None:
    op.execute("DROP INDEX revisions_conflict")
    op.execute("ALTER TABLE tombstones DROP COLUMN twin")
