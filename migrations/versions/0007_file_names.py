"""File names are found by their words: a passage of the kind ``name`` for each source."""

from __future__ import annotations

from sightline.migrations.scripts import run_script

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Allows the kind; the next ingest of a source writes its name."""
    run_script(__file__, "up")


def downgrade() -> None:
    """Deletes the names, which version 0006 does not know."""
    run_script(__file__, "down")
