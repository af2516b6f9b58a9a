"""Captions and questions of a product card."""

from __future__ import annotations

from sightline.training.world.core.builder import SceneBuilder
from sightline.training.world.core.language import (
    CHINESE,
    COLORS,
    article,
    number_word,
    number_word_zh,
    plural,
    yes_no,
)
from sightline.training.world.product.items import ITEMS
from sightline.training.world.product.plan import MATERIALS, DrawnAreas, Plan


def add_captions_and_questions(builder: SceneBuilder, plan: Plan, drawn: DrawnAreas) -> None:
    """Add the captions and questions of a product card."""
    _add_captions(builder, plan)
    _add_questions(builder, plan, drawn)
    _add_detail_questions(builder, plan, drawn)


def _add_captions(builder: SceneBuilder, plan: Plan) -> None:
    item, item_zh = f"{plan.color} {plan.kind}", f"{CHINESE[plan.color]}{ITEMS[plan.kind][0]}"
    card, card_zh = f"{plan.card} product card", f"{CHINESE[plan.card]}商品卡片"
    badge = {"": "", "NEW": ", new", "SALE": ", on sale"}[plan.badge]
    badge_zh = {"": "", "NEW": "，新品", "SALE": "，特价"}[plan.badge]
    stars = f"{number_word(plan.stars)} {plural('star', plan.stars)}"
    stars_zh = f"{number_word_zh(plan.stars)}星"
    builder.add_caption(
        f"{article(card)} with {article(item)}, {plan.brand}, {plan.price}, {stars}{badge}, "
        f"ID {plan.number}",
        f"{card_zh}，{item_zh}，{plan.brand}，{plan.price}，{stars_zh}{badge_zh}，编号{plan.number}",
    )
    builder.add_caption(
        f"{article(item)} for {plan.price} on {article(card)}{badge}",
        f"{card_zh}上的{item_zh}，价格{plan.price}{badge_zh}",
    )
    builder.add_caption(
        f"{article(f'{plan.brand} {plan.kind}')} in {plan.color} with {stars}",
        f"{plan.brand}的{item_zh}，{stars_zh}",
    )
    builder.add_caption(f"{article(item)}{badge}", f"{item_zh}{badge_zh}")


def _add_questions(builder: SceneBuilder, plan: Plan, drawn: DrawnAreas) -> None:
    rng = builder.rng
    kind, kind_zh = plan.kind, ITEMS[plan.kind][0]
    builder.add_question(
        "attribute",
        (f"What colour is the {kind}?", plan.color),
        (f"{kind_zh}是什么颜色？", CHINESE[plan.color]),
        drawn.item,
    )
    builder.add_question(
        "attribute", ("What is for sale?", kind), ("卖的是什么？", kind_zh), drawn.item
    )
    builder.add_question(
        "attribute",
        ("What colour is the card?", plan.card),
        ("卡片是什么颜色？", CHINESE[plan.card]),
    )
    stars = str(plan.stars)
    builder.add_question(
        "count",
        ("How many stars does it have?", stars),
        ("它有几颗星？", stars),
        drawn.stars,
    )
    for text, text_zh in rng.sample([("NEW", "新品"), ("SALE", "特价")], 1):
        yes, yes_zh = yes_no(plan.badge == text)
        builder.add_question(
            "existence",
            (f"Is there a {text} badge?", yes),
            (f"有{text_zh}标签吗？", yes_zh),
            drawn.badge if plan.badge == text else None,
        )
    color = plan.color if rng.random() < 0.5 else rng.choice(list(COLORS))
    yes, yes_zh = yes_no(color == plan.color)
    builder.add_question(
        "existence",
        (f"Is there {article(f'{color} {kind}')}?", yes),
        (f"有{CHINESE[color]}{kind_zh}吗？", yes_zh),
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
    builder.add_question(
        "relation",
        (f"Is the {kind} {side} the price?", yes),
        (f"{kind_zh}在价格的{side_zh}吗？", yes_zh),
    )


def _add_detail_questions(builder: SceneBuilder, plan: Plan, drawn: DrawnAreas) -> None:
    rng = builder.rng
    price = ("What is the price?", plan.price), ("价格是多少？", plan.price)
    builder.add_question("reading", *price, drawn.price)
    builder.add_question(
        "reading",
        ("What is the product ID?", plan.number),
        ("商品编号是什么？", plan.number),
        drawn.number,
    )
    builder.add_question(
        "reading", ("What is the brand?", plan.brand), ("是什么品牌？", plan.brand), drawn.brand
    )
    sign, amount = plan.price[0], int(plan.price[1:])
    limit = rng.choice([20, 50, 100, 300])
    if limit != amount:
        yes, yes_zh = yes_no(amount > limit)
        builder.add_question(
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
        builder.add_location_question(en, zh, box)
    details = {
        "Material": ("What is it made of?", "它是什么材质的？"),
        "Weight": ("What is the weight?", "重量是多少？"),
        "Width": ("What is the width?", "宽度是多少？"),
        "Warranty": ("How long is the warranty?", "保修期多长？"),
    }
    values = dict(plan.rows)
    for label, (en, zh) in details.items():
        if label not in values:
            builder.add_unanswerable_question(en, zh)
        elif label == "Material":
            value = values[label]
            builder.add_question(
                "attribute", (en, value), (zh, MATERIALS[value]), drawn.rows[label]
            )
        elif label == "Warranty":
            value = values[label]
            builder.add_question(
                "reading", (en, value), (zh, value.replace(" years", "年")), drawn.rows[label]
            )
        else:
            builder.add_question(
                "reading", (en, values[label]), (zh, values[label]), drawn.rows[label]
            )
