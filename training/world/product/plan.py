"""Content of a product card: types, tables and sampling."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from sightline.training.world.core.canvas import RGB
from sightline.training.world.core.language import COLORS
from sightline.training.world.core.scene import Box
from sightline.training.world.product.items import ITEMS

#: Card color name to RGB; the names are also in ``COLORS``.
CARDS: Final[dict[str, RGB]] = {
    "white": (246, 245, 240),
    "blue": (186, 208, 238),
    "green": (196, 224, 194),
    "yellow": (246, 230, 160),
    "pink": (246, 208, 218),
    "black": (44, 46, 52),
}

BRANDS: Final = (
    "Nova",
    "Alto",
    "Kiru",
    "Orbit",
    "Maple",
    "Zenit",
    "Luma",
    "Fjord",
    "Pico",
    "Tango",
)

MATERIALS: Final = {
    "steel": "钢",
    "glass": "玻璃",
    "cotton": "棉",
    "leather": "皮革",
    "plastic": "塑料",
    "wood": "木",
    "paper": "纸",
    "ceramic": "陶瓷",
}

_ITEM_MATERIALS: Final = {
    "mug": ("steel", "glass", "ceramic"),
    "bottle": ("steel", "glass", "plastic"),
    "chair": ("wood", "plastic", "steel", "leather"),
    "lamp": ("steel", "glass", "paper"),
    "backpack": ("cotton", "leather", "plastic"),
    "shirt": ("cotton",),
    "umbrella": ("plastic", "cotton"),
    "watch": ("steel", "leather", "plastic"),
    "teapot": ("ceramic", "glass", "steel"),
    "book": ("paper",),
    "phone": ("glass", "steel", "plastic"),
    "ball": ("plastic", "leather"),
}

BADGES: Final[dict[str, tuple[str, RGB]]] = {
    "NEW": ("新品", (30, 140, 80)),
    "SALE": ("特价", (206, 36, 44)),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Content of a card; ``side`` of the product is left, right or above."""

    kind: str
    color: str
    card: str
    side: str
    brand: str
    price: str
    stars: int
    badge: str
    number: str
    rows: tuple[tuple[str, str], ...]
    chinese: bool

    def combinations(self) -> list[str]:
        return [f"product/{self.kind}/{self.color}", f"product/{self.kind}/{self.side}"]


@dataclass(slots=True)
class DrawnAreas:
    """Boxes of the drawn parts."""

    item: Box
    price: Box
    number: Box
    brand: Box
    stars: Box
    badge: Box | None
    rows: dict[str, Box]


LABELS: Final = {"Material": "材质", "Weight": "重量", "Width": "宽度", "Warranty": "保修"}


def sample_plan(rng: random.Random) -> Plan:
    kind = rng.choice(list(ITEMS))
    card = rng.choice(list(CARDS))
    chinese = rng.random() < 0.3
    values = {
        "Material": rng.choice(_ITEM_MATERIALS[kind]),
        "Weight": f"{rng.randint(1, 95) * 10} g",
        "Width": f"{rng.randint(6, 90)} cm",
        "Warranty": f"{rng.randint(2, 6)} years",
    }
    displayed = sorted(rng.sample(list(values), rng.randint(2, 3)), key=list(values).index)
    letters = "".join(rng.choice("ABCDEFGHKLMNPRSTUVWXYZ") for _ in range(2))
    return Plan(
        kind,
        rng.choice([c for c in COLORS if c not in (card, "brown")]),
        card,
        rng.choice(["left", "right", "above"]),
        rng.choice(BRANDS),
        f"{'¥' if chinese else '$'}{rng.choice([rng.randint(5, 99), rng.randint(100, 899)])}",
        rng.randint(1, 5),
        rng.choice(["", "NEW", "SALE"]),
        f"{letters}-{rng.randint(1000, 9999)}",
        tuple((name, values[name]) for name in displayed),
        chinese,
    )
