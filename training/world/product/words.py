"""Captions and questions of a product card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightline.training.world.core.language import (
    CHINESE,
    COLOURS,
    article,
    number,
    number_zh,
    plural,
    yes_no,
)
from sightline.training.world.core.stage import Stage
from sightline.training.world.product.items import ITEMS

if TYPE_CHECKING:
    from sightline.training.world.product.scene import Drawn, Plan


def write(stage: Stage, plan: Plan, drawn: Drawn) -> None:
    """Add the captions and questions of a product card."""
    _caption(stage, plan)
    _ask(stage, plan, drawn)
    _ask_details(stage, plan, drawn)


def _caption(stage: Stage, plan: Plan) -> None:
    thing, thing_zh = f"{plan.colour} {plan.kind}", f"{CHINESE[plan.colour]}{ITEMS[plan.kind][0]}"
    card, card_zh = f"{plan.card} product card", f"{CHINESE[plan.card]}商品卡片"
    badge = {"": "", "NEW": ", new", "SALE": ", on sale"}[plan.badge]
    badge_zh = {"": "", "NEW": "，新品", "SALE": "，特价"}[plan.badge]
    stars = f"{number(plan.stars)} {plural('star', plan.stars)}"
    stars_zh = f"{number_zh(plan.stars)}星"
    stage.caption(
        f"{article(card)} with {article(thing)}, {plan.brand}, {plan.price}, {stars}{badge}, "
        f"ID {plan.number}",
        f"{card_zh}，{thing_zh}，{plan.brand}，{plan.price}，{stars_zh}{badge_zh}，编号{plan.number}",
    )
    stage.caption(
        f"{article(thing)} for {plan.price} on {article(card)}{badge}",
        f"{card_zh}上的{thing_zh}，价格{plan.price}{badge_zh}",
    )
    stage.caption(
        f"{article(f'{plan.brand} {plan.kind}')} in {plan.colour} with {stars}",
        f"{plan.brand}的{thing_zh}，{stars_zh}",
    )
    stage.caption(f"{article(thing)}{badge}", f"{thing_zh}{badge_zh}")


def _ask(stage: Stage, plan: Plan, drawn: Drawn) -> None:
    rng = stage.rng
    kind, kind_zh = plan.kind, ITEMS[plan.kind][0]
    stage.ask(
        "attribute",
        (f"What colour is the {kind}?", plan.colour),
        (f"{kind_zh}是什么颜色？", CHINESE[plan.colour]),
        drawn.item,
    )
    stage.ask("attribute", ("What is for sale?", kind), ("卖的是什么？", kind_zh), drawn.item)
    stage.ask(
        "attribute",
        ("What colour is the card?", plan.card),
        ("卡片是什么颜色？", CHINESE[plan.card]),
    )
    stars = str(plan.stars)
    stage.ask(
        "count",
        ("How many stars does it have?", stars),
        ("它有几颗星？", stars),
        drawn.stars,
    )
    for text, text_zh in rng.sample([("NEW", "新品"), ("SALE", "特价")], 1):
        yes, yes_zh = yes_no(plan.badge == text)
        stage.ask(
            "existence",
            (f"Is there a {text} badge?", yes),
            (f"有{text_zh}标签吗？", yes_zh),
            drawn.badge if plan.badge == text else None,
        )
    colour = plan.colour if rng.random() < 0.5 else rng.choice(list(COLOURS))
    yes, yes_zh = yes_no(colour == plan.colour)
    stage.ask(
        "existence",
        (f"Is there {article(f'{colour} {kind}')}?", yes),
        (f"有{CHINESE[colour]}{kind_zh}吗？", yes_zh),
    )
    side, side_zh = {"left": ("left of", "左边"), "right": ("right of", "右边")}.get(
        plan.side, ("above", "上面")
    )
    if rng.random() < 0.5:
        yes, yes_zh = yes_no(True)
    else:
        side, side_zh = {"left of": ("right of", "右边"), "right of": ("left of", "左边")}.get(
            side, ("below", "下面")
        )
        yes, yes_zh = yes_no(False)
    stage.ask(
        "relation",
        (f"Is the {kind} {side} the price?", yes),
        (f"{kind_zh}在价格的{side_zh}吗？", yes_zh),
    )


def _ask_details(stage: Stage, plan: Plan, drawn: Drawn) -> None:
    from sightline.training.world.product.scene import MATERIALS

    rng = stage.rng
    price = ("What is the price?", plan.price), ("价格是多少？", plan.price)
    stage.ask("reading", *price, drawn.price)
    stage.ask(
        "reading",
        ("What is the product ID?", plan.number),
        ("商品编号是什么？", plan.number),
        drawn.number,
    )
    stage.ask(
        "reading", ("What is the brand?", plan.brand), ("是什么品牌？", plan.brand), drawn.brand
    )
    sign, amount = plan.price[0], int(plan.price[1:])
    limit = rng.choice([20, 50, 100, 300])
    if limit != amount:
        yes, yes_zh = yes_no(amount > limit)
        stage.ask(
            "comparison",
            (f"Does it cost more than {sign}{limit}?", yes),
            (f"价格高于{sign}{limit}吗？", yes_zh),
        )
    where = [
        ("the price", "价格", drawn.price),
        (f"the {plan.kind}", ITEMS[plan.kind][0], drawn.item),
        ("the product ID", "商品编号", drawn.number),
    ]
    for en, zh, box in rng.sample(where, 2):
        stage.ask_where(en, zh, box)
    asked = {
        "Material": ("What is it made of?", "它是什么材质的？"),
        "Weight": ("What is the weight?", "重量是多少？"),
        "Width": ("What is the width?", "宽度是多少？"),
        "Warranty": ("How long is the warranty?", "保修期多长？"),
    }
    values = dict(plan.rows)
    for label, (en, zh) in asked.items():
        if label not in values:
            stage.ask_in_vain(en, zh)
        elif label == "Material":
            value = values[label]
            stage.ask("attribute", (en, value), (zh, MATERIALS[value]), drawn.rows[label])
        elif label == "Warranty":
            value = values[label]
            stage.ask(
                "reading", (en, value), (zh, value.replace(" years", "年")), drawn.rows[label]
            )
        else:
            stage.ask("reading", (en, values[label]), (zh, values[label]), drawn.rows[label])
