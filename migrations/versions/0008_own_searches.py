"""A principal's searches are its own to see."""

from __future__ import annotations

from sightline.migrations.scripts import run_script

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Narrows the policy of ``retrieval_log``."""
    run_script(__file__, "up")


def downgrade() -> None:
    """Widens it again: to the searches of others in the same collection."""
    run_script(__file__, "down")
