"""The schema ``analytics``: views and functions that stay while the tables change."""

from __future__ import annotations

from sightline.migrations.scripts import run_script

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the views and functions, and the role that may read them where that is allowed."""
    run_script(__file__, "up")


def downgrade() -> None:
    """Drops them. The role stays: other databases of the server may use it."""
    run_script(__file__, "down")
