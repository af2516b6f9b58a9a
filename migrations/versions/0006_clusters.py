"""Clusters that `sightline analyze` fills, and duplicates of a hundred thousand assets."""

from __future__ import annotations

from sightline.migrations.scripts import run_script

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the tables of an analysis and what reads them; makes neighbours cheaper to find."""
    run_script(__file__, "up")


def downgrade() -> None:
    """Drops the analysis, which `sightline analyze` of that version makes again."""
    run_script(__file__, "down")
