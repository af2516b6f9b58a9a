"""Drawing of rooms: furniture, windows, a wall clock, lamps on or off.

Combinations: ``room/<piece>/<color>`` and ``room/<piece>/left of/<piece>`` for neighbors.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from sightline.training.world.core.camera import Camera
from sightline.training.world.core.canvas import RGB, Canvas, darker, jitter, lighter
from sightline.training.world.core.language import COLOURS
from sightline.training.world.core.picture import Box, Picture, Split
from sightline.training.world.core.splits import choose
from sightline.training.world.core.stage import Stage
from sightline.training.world.room import words
from sightline.training.world.room.furniture import PIECES, Place, furnish

#: Room to its possible furniture.
ROOMS: Final = {
    "living room": ("sofa", "TV", "lamp", "table", "plant", "bookshelf", "chair"),
    "kitchen": ("fridge", "oven", "table", "chair", "plant", "lamp"),
    "bedroom": ("bed", "wardrobe", "lamp", "chair", "plant", "TV"),
    "study": ("desk", "bookshelf", "lamp", "chair", "plant"),
}
#: Room to the furniture that identifies it; one piece is always present.
_TELLING: Final = {
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
    colour: str
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
        pairs = [f"room/{i.kind}/{i.colour}" for i in self.items if i.colour]
        return pairs + [f"room/{a}/left of/{b}" for a, b in pairwise(kinds) if a != b]


@dataclass(slots=True)
class Drawn:
    """Boxes of the drawn objects; ``clock`` is the box of its digits."""

    items: list[Box] = field(default_factory=list)
    windows: list[Box] = field(default_factory=list)
    clock: Box | None = None


def draw(rng: random.Random, seed: int, split: Split) -> Picture:
    """Draw a room with captions and questions."""
    plan, unseen = choose(rng, split, lambda: _plan(rng), Plan.combinations)
    size = rng.choice([(400, 300), (384, 288), (420, 290), (360, 300)])
    stage = Stage("room", rng, seed, split, size)
    drawn = _paint(stage, plan)
    for item, box in zip(plan.items, drawn.items, strict=True):
        attributes = {"colour": item.colour} if item.colour else {}
        if PIECES[item.kind].switched:
            attributes["state"] = "on" if item.on else "off"
        stage.thing(item.kind, box, **attributes)
    for box in drawn.windows:
        stage.thing("window", box, curtains=plan.curtains)
    words.write(stage, plan, drawn)
    return stage.finish(
        plan.combinations()[0],
        unseen,
        camera=Camera.handheld(rng, size, rng.choice([0.2, 0.6, 1])),
        light=rng.uniform(0.08, 0.35),
        noise=rng.uniform(2, 11),
        blur=rng.choice([0, 0, 0, 0.5]),
        metadata={
            "room": plan.room,
            "wall": plan.wall,
            "daylight": "night" if plan.night else "day",
        },
    )


def _plan(rng: random.Random) -> Plan:
    room = rng.choice(list(ROOMS))
    wall = rng.choice(list(WALLS))
    kinds = [rng.choice(_TELLING[room])]
    others = list(ROOMS[room])
    rng.shuffle(others)
    # Lamps and screens first, because questions ask whether they are on.
    others.sort(key=lambda kind: kind not in ("lamp", "TV") or rng.random() < 0.4)
    for kind in others:
        if len(kinds) < 3 and kind not in kinds and _width([*kinds, kind]) <= 0.96:
            kinds.append(kind)
    if kinds[1] in ("lamp", "chair") and rng.random() < 0.2:
        kinds[2:] = [kinds[1]]
    rng.shuffle(kinds)
    colours = rng.sample([c for c in PAINTS if c != wall], len(kinds))
    chosen: dict[str, Item] = {}
    for kind, colour in zip(kinds, colours, strict=True):
        piece = PIECES[kind]
        on = piece.switched and rng.random() < 0.5
        # Pieces of one kind are equal, so that "the lamps" have one color and one state.
        chosen.setdefault(kind, Item(kind, colour if piece.painted else "", on))
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


def _width(kinds: list[str]) -> float:
    return sum(PIECES[kind].width for kind in kinds)


def _paint(stage: Stage, plan: Plan) -> Drawn:
    rng, canvas = stage.rng, stage.canvas
    w, h = canvas.size
    wall = jitter(rng, WALLS[plan.wall], 8)
    if plan.night:
        wall = darker(wall, 0.12)
    floor_y = h * rng.uniform(0.68, 0.74)
    canvas.gradient((0, 0, w, floor_y), wall, darker(wall, 0.08))
    _floor(canvas, rng, floor_y, night=plan.night)
    canvas.rectangle((0, floor_y - 5, w, floor_y), lighter(wall, 0.5))
    drawn = Drawn()
    _wall_things(stage, plan, drawn)
    total = _width([i.kind for i in plan.items])
    scale = min(1.3, 0.84 / total) if total < 0.75 else 0.86 / total
    free = 0.88 - total * scale
    gap = free / (len(plan.items) + 1)
    x = (0.06 + gap) * w
    for item in plan.items:
        piece = PIECES[item.kind]
        wide = piece.width * scale * w
        tall = min(piece.height * min(scale, 1.1), 0.62) * h
        ground = h * rng.uniform(0.84, 0.9)
        box = (x, ground - tall, x + wide, ground)
        colour = jitter(rng, COLOURS[item.colour or rng.choice(PAINTS)], 10)
        furnish(Place(canvas, rng, box), item.kind, colour, on=item.on)
        drawn.items.append(box)
        x += wide + gap * w
    return drawn


def _floor(canvas: Canvas, rng: random.Random, top: float, *, night: bool) -> None:
    w, h = canvas.size
    base = jitter(rng, rng.choice([(176, 134, 92), (150, 108, 72), (196, 188, 176)]), 10)
    if night:
        base = darker(base, 0.22)
    canvas.gradient((0, top, w, h), darker(base, 0.12), base)
    for i in range(11):
        x = w * (i - 0.5) / 9
        ends = [(x, top), (x - (w / 2 - x) * 0.5, h)]
        canvas.line(ends, (*darker(base, 0.35), 120), 1)
    canvas.texture(rng, (0, top, w, h), 16, 2)


def _wall_things(stage: Stage, plan: Plan, drawn: Drawn) -> None:
    """Draw windows and a clock in thirds of the wall, behind the furniture."""
    rng, canvas = stage.rng, stage.canvas
    w, h = canvas.size
    thirds = rng.sample([0.22, 0.5, 0.78], 3)
    for centre in thirds[: plan.windows]:
        box = ((centre - 0.105) * w, 0.08 * h, (centre + 0.105) * w, 0.38 * h)
        _window(canvas, rng, box, plan)
        x0, y0, x1, y1 = box
        drawn.windows.append((x0 - 0.03 * w, y0 - 5, x1 + 0.03 * w, y1 + 6))
    if plan.time:
        x, y = thirds[plan.windows] * w, 0.125 * h
        half = 0.1 * w
        case = (x - half, y - 0.06 * h, x + half, y + 0.06 * h)
        canvas.rectangle(case, (20, 22, 26), (96, 98, 104), 2, 4)
        ink = rng.choice([(255, 74, 60), (96, 255, 130), (120, 210, 255)])
        drawn.clock = canvas.text((x, y), plan.time, 0.095 * h, ink, "bold", "mm")
        stage.read(plan.time, drawn.clock)


def _window(canvas: Canvas, rng: random.Random, box: Box, plan: Plan) -> None:
    x0, y0, x1, y1 = box
    if plan.night:
        canvas.gradient(box, (10, 14, 38), (40, 46, 84))
        canvas.circle((x0 + (x1 - x0) * 0.62, y0 + (y1 - y0) * 0.3), 5, (250, 246, 220))
    else:
        canvas.gradient(box, (120, 178, 232), (214, 234, 246))
        hill = jitter(rng, (104, 158, 84), 14)
        canvas.rectangle((x0, y1 - (y1 - y0) * rng.uniform(0.15, 0.3), x1, y1), hill)
    frame = (244, 242, 236)
    canvas.rectangle(box, None, frame, 3)
    canvas.line([((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1)], frame, 2.5)
    canvas.rectangle((x0 - 4, y1 - 1, x1 + 4, y1 + 5), frame)
    cloth = jitter(rng, COLOURS[plan.curtains], 8)
    wide = (x1 - x0) * 0.3
    out = 0.03 * canvas.size[0]
    for left in (x0 - out, x1 + out - wide):
        canvas.rectangle((left, y0 - 3, left + wide, y1 + 4), cloth)
        for i in range(1, 4):
            x = left + wide * i / 4
            canvas.line([(x, y0), (x, y1 + 4)], darker(cloth, 0.25), 1.2)
    canvas.line([(x0 - out, y0 - 4), (x1 + out, y0 - 4)], (92, 72, 54), 2.5)
