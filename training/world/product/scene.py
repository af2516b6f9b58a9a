"""Drawing of product cards: product, name, price, rating, details and number.

Combinations: ``product/<item>/<color>`` and ``product/<item>/<side of the product>``.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from sightline.training.world.core.camera import Camera
from sightline.training.world.core.canvas import RGB, darker, jitter, lighter
from sightline.training.world.core.language import COLOURS
from sightline.training.world.core.picture import Box, Picture, Split
from sightline.training.world.core.splits import choose
from sightline.training.world.core.stage import Stage
from sightline.training.world.product import words
from sightline.training.world.product.items import ITEMS, Frame, item
from sightline.training.world.shapes.scene import polygon

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
_MADE_OF: Final = {
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
    colour: str
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
        return [f"product/{self.kind}/{self.colour}", f"product/{self.kind}/{self.side}"]


@dataclass(slots=True)
class Drawn:
    """Boxes of the drawn parts."""

    item: Box
    price: Box
    number: Box
    brand: Box
    stars: Box
    badge: Box | None
    rows: dict[str, Box]


LABELS: Final = {"Material": "材质", "Weight": "重量", "Width": "宽度", "Warranty": "保修"}


def draw(rng: random.Random, seed: int, split: Split) -> Picture:
    """Draw a product card with captions and questions."""
    plan, unseen = choose(rng, split, lambda: _plan(rng), Plan.combinations)
    wide = plan.side != "above"
    size = rng.choice([(400, 280), (420, 300), (384, 288)] if wide else [(320, 400), (320, 380)])
    stage = Stage("product", rng, seed, split, size, jitter(rng, (150, 140, 128), 40))
    drawn = _paint(stage, plan)
    stage.thing(plan.kind, drawn.item, colour=plan.colour)
    words.write(stage, plan, drawn)
    return stage.finish(
        plan.combinations()[0],
        unseen,
        camera=Camera.handheld(rng, size, rng.choice([0.1, 0.5, 1, 1.4])),
        light=rng.uniform(0.05, 0.3),
        noise=rng.uniform(1, 9),
        blur=rng.choice([0, 0, 0, 0.4]),
        metadata={"product_id": plan.number, "price": plan.price, "brand": plan.brand},
    )


def _plan(rng: random.Random) -> Plan:
    kind = rng.choice(list(ITEMS))
    card = rng.choice(list(CARDS))
    chinese = rng.random() < 0.3
    values = {
        "Material": rng.choice(_MADE_OF[kind]),
        "Weight": f"{rng.randint(1, 95) * 10} g",
        "Width": f"{rng.randint(6, 90)} cm",
        "Warranty": f"{rng.randint(2, 6)} years",
    }
    shown = sorted(rng.sample(list(values), rng.randint(2, 3)), key=list(values).index)
    letters = "".join(rng.choice("ABCDEFGHKLMNPRSTUVWXYZ") for _ in range(2))
    return Plan(
        kind,
        rng.choice([c for c in COLOURS if c not in (card, "brown")]),
        card,
        rng.choice(["left", "right", "above"]),
        rng.choice(BRANDS),
        f"{'¥' if chinese else '$'}{rng.choice([rng.randint(5, 99), rng.randint(100, 899)])}",
        rng.randint(1, 5),
        rng.choice(["", "NEW", "SALE"]),
        f"{letters}-{rng.randint(1000, 9999)}",
        tuple((name, values[name]) for name in shown),
        chinese,
    )


def _paint(stage: Stage, plan: Plan) -> Drawn:
    rng, canvas = stage.rng, stage.canvas
    w, h = canvas.size
    canvas.texture(rng, canvas.full, 20, rng.choice([2, 6]))
    card = jitter(rng, CARDS[plan.card], 6)
    edge = (0.055 * w, 0.055 * h, 0.945 * w, 0.945 * h)
    canvas.rectangle((edge[0] + 3, edge[1] + 5, edge[2] + 3, edge[3] + 5), (0, 0, 0, 90), radius=8)
    canvas.rectangle(edge, card, radius=8)
    dark = plan.card == "black"
    ink = (240, 240, 236) if dark else (34, 36, 42)
    if plan.side == "above":
        side = 0.42 * h
        spot, text_x, text_y, step = ((w - side) / 2, 0.085 * h), 0.11 * w, 0.575 * h, 0.059 * h
    else:
        side = min(0.42 * w, 0.66 * h) * rng.uniform(0.92, 1)
        spot = (0.09 * w if plan.side == "left" else 0.91 * w - side, (h - side) * 0.45)
        text_x, text_y = (0.55 if plan.side == "left" else 0.1) * w, 0.16 * h
        step = 0.087 * h
    pad = 0.03 * side
    panel = (spot[0] - pad, spot[1] - pad, spot[0] + side + pad, spot[1] + side + pad)
    canvas.rectangle(panel, lighter(card, 0.14) if dark else lighter(card, 0.5), radius=6)
    turn = Frame(canvas, spot[0] + pad, spot[1] + pad, side - 2 * pad)
    placed = item(turn, plan.kind, jitter(rng, COLOURS[plan.colour], 10))
    return _text(stage, plan, placed, (text_x, text_y, step), ink, panel)


def _text(
    stage: Stage,
    plan: Plan,
    placed: Box,
    column: tuple[float, float, float],
    ink: RGB,
    panel: Box,
) -> Drawn:
    canvas, rng = stage.canvas, stage.rng
    x, y, step = column
    font = rng.choice(["bold", "slab", "condensed"])
    brand = canvas.text((x, y), plan.brand, step * 0.95, ink, font, "lm")
    stage.read(plan.brand, brand)
    name = ITEMS[plan.kind][0] if plan.chinese else plan.kind.capitalize()
    name_at = (brand[2] + step * 0.3, y)
    stage.read(name, canvas.text(name_at, name, step * 0.85, ink, font, "lm"))
    accent = (206, 36, 44) if plan.card != "black" else (255, 170, 70)
    beside = plan.side == "above"
    price_at = (0.89 * canvas.size[0], y + step * 1.1) if beside else (x, y + step * 1.75)
    price = canvas.text(price_at, plan.price, step * 1.7, accent, "bold", "rm" if beside else "lm")
    stage.read(plan.price, price)
    row_y = y + step * (1.1 if beside else 3.15)
    stars = _stars(stage, plan.stars, x, row_y, step * 0.42)
    rows = {}
    for label, value in plan.rows:
        row_y += step * 1.02
        shown = _shown(plan, label, value)
        title = LABELS[label] if plan.chinese else label
        text = f"{title}：{shown}" if plan.chinese else f"{title}: {shown}"
        rows[label] = canvas.text((x, row_y), text, step * 0.7, ink, "sans", "lm")
        stage.read(text, rows[label])
    row_y += step * 1.02
    text = f"编号：{plan.number}" if plan.chinese else f"ID: {plan.number}"
    number = canvas.text((x, row_y), text, step * 0.72, ink, "condensed", "lm")
    stage.read(text, number)
    badge = None
    if plan.badge:
        text, colour = BADGES[plan.badge]
        text = text if plan.chinese else plan.badge
        centre = (panel[0] + step * 0.9, panel[1] + step * 0.55)
        box = (
            panel[0] - step * 0.2,
            panel[1] - step * 0.2,
            centre[0] + step * 1.1,
            panel[1] + step * 1.3,
        )
        canvas.rectangle(box, colour, darker(colour), 1, 4)
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        stage.read(text, canvas.text(middle, text, step * 0.8, (255, 255, 255), "bold", "mm"))
        badge = box
    return Drawn(placed, price, number, brand, stars, badge, rows)


def _shown(plan: Plan, label: str, value: str) -> str:
    if plan.chinese and label == "Material":
        return MATERIALS[value]
    return value.replace(" years", "年") if plan.chinese else value


def _stars(stage: Stage, count: int, x: float, y: float, radius: float) -> Box:
    for i in range(5):
        points = polygon("star", x + radius * (1 + 2.15 * i), y, radius, 0)
        fill = (246, 176, 24) if i < count else (170, 170, 170, 110)
        stage.canvas.polygon(points, fill)
    return x, y - radius, x + radius * 10.6, y + radius
