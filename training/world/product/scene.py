"""Drawing of product cards: product, name, price, rating, details and number.

Combinations: ``product/<item>/<color>`` and ``product/<item>/<side of the product>``.
"""

from __future__ import annotations

import random

from sightline.training.world.core.builder import SceneBuilder
from sightline.training.world.core.camera import Camera
from sightline.training.world.core.canvas import RGB, darker, jitter, lighter
from sightline.training.world.core.language import COLORS
from sightline.training.world.core.polygons import polygon
from sightline.training.world.core.scene import Box, Scene, Split
from sightline.training.world.core.splits import sample_attributes
from sightline.training.world.product import questions
from sightline.training.world.product.items import ITEMS, Frame, draw_item
from sightline.training.world.product.plan import (
    BADGES,
    CARDS,
    LABELS,
    MATERIALS,
    DrawnAreas,
    Plan,
    sample_plan,
)


def draw(rng: random.Random, seed: int, split: Split) -> Scene:
    """Draw a product card with captions and questions."""
    plan, unseen = sample_attributes(rng, split, lambda: sample_plan(rng), Plan.combinations)
    wide = plan.side != "above"
    size = rng.choice([(400, 280), (420, 300), (384, 288)] if wide else [(320, 400), (320, 380)])
    builder = SceneBuilder("product", rng, seed, split, size, jitter(rng, (150, 140, 128), 40))
    drawn = _paint(builder, plan)
    builder.add_object(plan.kind, drawn.item, colour=plan.color)
    questions.add_captions_and_questions(builder, plan, drawn)
    return builder.render(
        plan.combinations()[0],
        unseen,
        camera=Camera.handheld(rng, size, rng.choice([0.1, 0.5, 1, 1.4])),
        light=rng.uniform(0.05, 0.3),
        noise=rng.uniform(1, 9),
        blur=rng.choice([0, 0, 0, 0.4]),
        metadata={"product_id": plan.number, "price": plan.price, "brand": plan.brand},
    )


def _paint(builder: SceneBuilder, plan: Plan) -> DrawnAreas:
    rng, canvas = builder.rng, builder.canvas
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
    frame = Frame(canvas, spot[0] + pad, spot[1] + pad, side - 2 * pad)
    placed = draw_item(frame, plan.kind, jitter(rng, COLORS[plan.color], 10))
    return _draw_text(builder, plan, placed, (text_x, text_y, step), ink, panel)


def _draw_text(
    builder: SceneBuilder,
    plan: Plan,
    placed: Box,
    column: tuple[float, float, float],
    ink: RGB,
    panel: Box,
) -> DrawnAreas:
    canvas, rng = builder.canvas, builder.rng
    x, y, step = column
    font = rng.choice(["bold", "slab", "condensed"])
    brand = canvas.text((x, y), plan.brand, step * 0.95, ink, font, "lm")
    builder.add_text(plan.brand, brand)
    name = ITEMS[plan.kind][0] if plan.chinese else plan.kind.capitalize()
    name_at = (brand[2] + step * 0.3, y)
    builder.add_text(name, canvas.text(name_at, name, step * 0.85, ink, font, "lm"))
    accent = (206, 36, 44) if plan.card != "black" else (255, 170, 70)
    beside = plan.side == "above"
    price_at = (0.89 * canvas.size[0], y + step * 1.1) if beside else (x, y + step * 1.75)
    price = canvas.text(price_at, plan.price, step * 1.7, accent, "bold", "rm" if beside else "lm")
    builder.add_text(plan.price, price)
    row_y = y + step * (1.1 if beside else 3.15)
    stars = _draw_stars(builder, plan.stars, x, row_y, step * 0.42)
    rows = {}
    for label, value in plan.rows:
        row_y += step * 1.02
        displayed = _display_value(plan, label, value)
        title = LABELS[label] if plan.chinese else label
        text = f"{title}：{displayed}" if plan.chinese else f"{title}: {displayed}"
        rows[label] = canvas.text((x, row_y), text, step * 0.7, ink, "sans", "lm")
        builder.add_text(text, rows[label])
    row_y += step * 1.02
    text = f"编号：{plan.number}" if plan.chinese else f"ID: {plan.number}"
    number = canvas.text((x, row_y), text, step * 0.72, ink, "condensed", "lm")
    builder.add_text(text, number)
    badge = None
    if plan.badge:
        text, color = BADGES[plan.badge]
        text = text if plan.chinese else plan.badge
        center = (panel[0] + step * 0.9, panel[1] + step * 0.55)
        box = (
            panel[0] - step * 0.2,
            panel[1] - step * 0.2,
            center[0] + step * 1.1,
            panel[1] + step * 1.3,
        )
        canvas.rectangle(box, color, darker(color), 1, 4)
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        builder.add_text(text, canvas.text(middle, text, step * 0.8, (255, 255, 255), "bold", "mm"))
        badge = box
    return DrawnAreas(placed, price, number, brand, stars, badge, rows)


def _display_value(plan: Plan, label: str, value: str) -> str:
    if plan.chinese and label == "Material":
        return MATERIALS[value]
    return value.replace(" years", "年") if plan.chinese else value


def _draw_stars(builder: SceneBuilder, count: int, x: float, y: float, radius: float) -> Box:
    for i in range(5):
        points = polygon("star", x + radius * (1 + 2.15 * i), y, radius, 0)
        fill = (246, 176, 24) if i < count else (170, 170, 170, 110)
        builder.canvas.polygon(points, fill)
    return x, y - radius, x + radius * 10.6, y + radius
