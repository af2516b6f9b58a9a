"""Registry of scene families and deterministic drawing by family, seed and split.

A family is a module with ``draw(rng, seed, split) -> Scene``. It samples its attributes with
``splits.sample_attributes`` and draws with a ``SceneBuilder``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from sightline.storage.errors import UnknownNameError
from sightline.training.world.chart import scene as chart
from sightline.training.world.core.scene import Scene, Split
from sightline.training.world.core.splits import check_seed
from sightline.training.world.flowchart import scene as flowchart
from sightline.training.world.geometry import scene as geometry
from sightline.training.world.heatsink import scene as heatsink
from sightline.training.world.product import scene as product
from sightline.training.world.room import scene as room
from sightline.training.world.shapes import scene as shapes
from sightline.training.world.spine import scene as spine
from sightline.training.world.street import scene as street

Drawer = Callable[[random.Random, int, Split], Scene]

FAMILIES: Final[dict[str, Drawer]] = {
    "street": street.draw,
    "product": product.draw,
    "room": room.draw,
    "shapes": shapes.draw,
    "heatsink": heatsink.draw,
    "spine": spine.draw,
    "geometry": geometry.draw,
    "chart": chart.draw,
    "flowchart": flowchart.draw,
}


def draw(family: str, seed: int, split: Split) -> Scene:
    """Draw one image; ``seed`` must belong to the split (``seed_of``)."""
    if family not in FAMILIES:
        raise UnknownNameError("family", family, FAMILIES)
    check_seed(seed, split)
    return FAMILIES[family](random.Random(f"{family}/{seed}"), seed, split)
