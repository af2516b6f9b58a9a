"""${message}."""

from __future__ import annotations

from sightline.migrations.scripts import run_script

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """${message}."""
    run_script("${up_revision}_${slug}.up.sql")


def downgrade() -> None:
    """Undoes it."""
    run_script("${up_revision}_${slug}.down.sql")
