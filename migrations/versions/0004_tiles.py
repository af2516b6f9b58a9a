"""Parts of pictures that are searched by themselves, and what analysts see of them."""

from __future__ import annotations

from sightline.migrations.scripts import run_script

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds ``source.tiled_by`` and the view of regions; coverage counts regions and passages."""
    run_script(__file__, "up")


def downgrade() -> None:
    """Takes them back. Tiles and their vectors stay: version 0003 knows what they are."""
    run_script(__file__, "down")
