"""Content of a room: types, tables and sampling."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from sightline.training.world.core.canvas import RGB
from sightline.training.world.core.scene import Box
from sightline.training.world.room.furniture import PIECES

#: Room to its possible furniture.
ROOMS: Final = {
    "living room": ("sofa", "TV", "lamp", "table", "plant", "bookshelf", "chair"),
    "kitchen": ("fridge", "oven", "table", "chair", "plant", "lamp"),
    "bedroom": ("bed", "wardrobe", "lamp", "chair", "plant", "TV"),
    "study": ("desk", "bookshelf", "lamp", "chair", "plant"),
}

#: Room to the furniture that identifies it; one piece is always present.
_REQUIRED_FURNITURE: Final = {
    "living room": ("sofa",),
    "kitchen": ("fridge", "oven"),
    "bedroom": ("bed",),
    "study": ("desk",),
}

WALLS: Final[dict[str, RGB]] = {
    "white": (236, 234, 228),
    "blue": (164, 190, 218),
    "green": (172, 200, 166),
    "yellow": (240, 222, 154),
    "pink": (236, 192, 196),
    "grey": (168, 170, 174),
}

PAINTS: Final = ("red", "orange", "yellow", "green", "blue", "purple", "brown", "black", "white")


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of furniture; ``color`` is empty if it has no color attribute."""

    kind: str
    color: str
    on: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Content of a room; ``items`` from left to right, ``time`` may be empty."""

    room: str
    wall: str
    items: tuple[Item, ...]
    windows: int
    curtains: str
    night: bool
    time: str

    def combinations(self) -> list[str]:
        kinds = [i.kind for i in self.items]
        pairs = [f"room/{i.kind}/{i.color}" for i in self.items if i.color]
        return pairs + [f"room/{a}/left of/{b}" for a, b in pairwise(kinds) if a != b]


@dataclass(slots=True)
class DrawnAreas:
    """Boxes of the drawn objects; ``clock`` is the box of its digits."""

    items: list[Box] = field(default_factory=list)
    windows: list[Box] = field(default_factory=list)
    clock: Box | None = None


def sample_plan(rng: random.Random) -> Plan:
    room = rng.choice(list(ROOMS))
    wall = rng.choice(list(WALLS))
    kinds = [rng.choice(_REQUIRED_FURNITURE[room])]
    others = list(ROOMS[room])
    rng.shuffle(others)
    # Lamps and screens first, because questions ask whether they are on.
    others.sort(key=lambda kind: kind not in ("lamp", "TV") or rng.random() < 0.4)
    for kind in others:
        if len(kinds) < 3 and kind not in kinds and total_width([*kinds, kind]) <= 0.96:
            kinds.append(kind)
    if kinds[1] in ("lamp", "chair") and rng.random() < 0.2:
        kinds[2:] = [kinds[1]]
    rng.shuffle(kinds)
    colors = rng.sample([c for c in PAINTS if c != wall], len(kinds))
    chosen: dict[str, Item] = {}
    for kind, color in zip(kinds, colors, strict=True):
        piece = PIECES[kind]
        on = piece.switched and rng.random() < 0.5
        # Pieces of one kind are equal, so that "the lamps" have one color and one state.
        chosen.setdefault(kind, Item(kind, color if piece.painted else "", on))
    windows = rng.randint(0, 2)
    curtains = rng.choice(
        [c for c in ("red", "green", "blue", "orange", "purple", "white") if c != wall]
    )
    clock = windows < 2 and rng.random() < 0.6
    night = rng.random() < 0.4
    hour = rng.choice([20, 21, 22, 23, 0, 1, 2, 3, 4]) if night else rng.randint(7, 16)
    return Plan(
        room,
        wall,
        tuple(chosen[kind] for kind in kinds),
        windows,
        curtains if windows else "",
        night,
        f"{hour:02d}:{rng.randrange(0, 60, 5):02d}" if clock else "",
    )


def total_width(kinds: list[str]) -> float:
    return sum(PIECES[kind].width for kind in kinds)
