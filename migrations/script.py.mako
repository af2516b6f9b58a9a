"""${message}."""

from __future__ import annotations

from sightline.migrations.scripts import run_script

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """${message}."""
    run_script(__file__, "up")


def downgrade() -> None:
    """Undoes it."""
    run_script(__file__, "down")
