"""What a change wanted and did not get is kept once, as a revision, where a seal or a purge finds it."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE operations SET answer = answer - 'lost' WHERE jsonb_exists(answer, 'lost')")


def downgrade() -> None:
    """It is in the revisions still; nothing read it here."""
