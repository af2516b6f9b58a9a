"""Content of a shapes image: types, tables and sampling."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from sightline.training.world.core.canvas import RGB
from sightline.training.world.core.language import CHINESE, COLORS

SHAPES: Final = {
    "circle": "圆形",
    "square": "正方形",
    "triangle": "三角形",
    "star": "五角星",
    "hexagon": "六边形",
    "diamond": "菱形",
    "heart": "心形",
    "cross": "十字形",
}

GROUNDS: Final[dict[str, RGB]] = {
    "on white paper": (238, 236, 230),
    "on a wooden table": (176, 128, 82),
    "on blue cloth": (96, 124, 168),
    "on a dark board": (52, 56, 58),
    "on grey stone": (158, 156, 150),
    "on green felt": (72, 118, 84),
}

#: Colors with too little contrast on a ground.
LOW_CONTRAST_COLORS: Final = {
    "on white paper": {"white"},
    "on a wooden table": {"brown", "orange"},
    "on blue cloth": {"blue", "grey"},
    "on a dark board": {"black", "grey"},
    "on grey stone": {"grey"},
    "on green felt": {"green"},
}

#: Layout to the positions of its shapes (x, y, radius), relative to the image.
LAYOUTS: Final = {
    "row": [(0.28, 0.5, 0.24), (0.72, 0.5, 0.24)],
    "column": [(0.5, 0.28, 0.2), (0.5, 0.72, 0.2)],
    "inside": [(0.5, 0.5, 0.2), (0.5, 0.5, 0.4)],
    "row of three": [(0.2, 0.5, 0.19), (0.5, 0.5, 0.19), (0.8, 0.5, 0.19)],
    "column of three": [(0.5, 0.21, 0.135), (0.5, 0.5, 0.135), (0.5, 0.79, 0.135)],
    "two above one": [(0.28, 0.29, 0.2), (0.72, 0.29, 0.2), (0.5, 0.71, 0.2)],
    "one above two": [(0.5, 0.29, 0.2), (0.28, 0.71, 0.2), (0.72, 0.71, 0.2)],
    "group": [],
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Content of an image; ``repeats`` counts the first shape in a group."""

    layout: str
    ground: str
    shapes: tuple[tuple[str, str], ...]
    repeats: int
    sign: str

    def names(self) -> list[str]:
        return [f"{color} {shape}" for shape, color in self.shapes]

    def names_zh(self) -> list[str]:
        return [f"{CHINESE[color]}{SHAPES[shape]}" for shape, color in self.shapes]

    def relations(self) -> list[tuple[int, str, int]]:
        """Return the unambiguous relations between pairs of shapes."""
        match self.layout:
            case "row":
                return [(0, "left of", 1)]
            case "column":
                return [(0, "above", 1)]
            case "inside":
                return [(0, "inside", 1)]
            case "row of three":
                return [(0, "left of", 1), (1, "left of", 2), (0, "left of", 2)]
            case "column of three":
                return [(0, "above", 1), (1, "above", 2), (0, "above", 2)]
            case "two above one":
                return [(0, "left of", 1), (0, "above", 2), (1, "above", 2)]
            case "one above two":
                return [(1, "left of", 2), (0, "above", 1), (0, "above", 2)]
            case _:
                return []

    def kind(self, spot: int) -> int:
        """Return the index of the shape at a position."""
        return (0 if spot < self.repeats else 1) if self.layout == "group" else spot

    def combinations(self) -> list[str]:
        pairs = [f"shapes/{shape}/{color}" for shape, color in self.shapes]
        return pairs + [
            f"shapes/{self.shapes[a][0]}/{relation}/{self.shapes[b][0]}"
            for a, relation, b in self.relations()
        ]


def sample_plan(rng: random.Random) -> Plan:
    layout = rng.choice(list(LAYOUTS))
    ground = rng.choice(list(GROUNDS))
    colors = [c for c in COLORS if c not in LOW_CONTRAST_COLORS[ground]]
    count = 2 if layout == "group" else len(LAYOUTS[layout])
    kinds = rng.sample(list(SHAPES), count)
    if rng.random() < 0.3 and layout not in ("group", "inside"):
        kinds[1] = kinds[0]
    if layout == "inside":
        kinds[1] = rng.choice(
            [k for k in ("circle", "square", "hexagon", "diamond") if k != kinds[0]]
        )
    shapes = tuple(zip(kinds, rng.sample(colors, count), strict=True))
    repeats = rng.randint(2, 5) if layout == "group" else 1
    sign = rng.choice("123456789ABCEFHKMT") if rng.random() < 0.4 and layout != "group" else ""
    return Plan(layout, ground, shapes, repeats, sign)
