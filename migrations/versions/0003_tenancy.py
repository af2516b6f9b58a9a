"""Row-level security by collection: who is bound to which, and the roles that it holds for."""

from __future__ import annotations

from sightline.migrations.scripts import run_script

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Binds nobody yet: all goes on as it was."""
    run_script(__file__, "up")


def downgrade() -> None:
    """Drops bindings and policies. The roles stay: other databases of the server may use them."""
    run_script(__file__, "down")
