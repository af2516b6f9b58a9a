"""``sightline world``: draw synthetic images with exact ground truth."""

from sightline.training.world.export import configure as configure_world
from sightline.training.world.export import run as run_world

__all__ = ["configure_world", "run_world"]
