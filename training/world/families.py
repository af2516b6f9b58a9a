"""The scene families, and ``draw``: a family, a seed and a split in, the same picture out.

A family is a module with ``draw(rng, seed, split) -> Picture``. It takes its attributes with
``splits.choose``, draws on a ``stage.Stage`` and says there what it drew.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from sightline.storage.errors import UnknownNameError
from sightline.training.world import (
    chart,
    flowchart,
    geometry,
    heatsink,
    product,
    room,
    shapes,
    spine,
    street,
)
from sightline.training.world.scene import Picture, Split
from sightline.training.world.splits import check_seed

Drawer = Callable[[random.Random, int, Split], Picture]

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


def draw(family: str, seed: int, split: Split) -> Picture:
    """Draw one picture; ``seed`` must be one of the split's (see ``splits.seed_of``)."""
    if family not in FAMILIES:
        raise UnknownNameError("family", family, FAMILIES)
    check_seed(seed, split)
    return FAMILIES[family](random.Random(f"{family}/{seed}"), seed, split)
