"""X-rays of the lumbar spine: L1 to L5 with labels, at most one abnormal vertebra.

The findings are schematic drawings, not realistic medical findings.
"""

from __future__ import annotations

import random

from sightline.training.world.core.camera import Point
from sightline.training.world.core.language import yes_no
from sightline.training.world.core.scene import Box, Scene, Split
from sightline.training.world.core.sheet import BilingualText, Sheet, same_text
from sightline.training.world.core.splits import sample_attributes
from sightline.training.world.spine.drawing import (
    CURVES,
    FILMS,
    FINDINGS,
    RANGES,
    SIDES,
    SIZES,
    VIEWS,
    SpineXray,
    draw_xray,
)


def draw(rng: random.Random, seed: int, split: Split) -> Scene:
    """Draw a spine X-ray with captions and questions."""
    xray, unseen = sample_attributes(rng, split, lambda: _sample(rng), lambda x: x.combinations)
    sheet = Sheet("spine", rng, seed, split, rng.choice(SIZES), xray.surface)
    bodies, letters, number = draw_xray(sheet, xray)
    _add_captions(sheet, xray)
    _add_questions(sheet, xray, bodies, letters, number)
    return sheet.render_sheet(
        xray.combinations, unseen, noise=rng.uniform(9, 16), blur=rng.choice((0.0, 0.0, 0.6))
    )


def _sample(rng: random.Random) -> SpineXray:
    first, last = rng.choice(RANGES)
    level = rng.randint(first, last) if rng.random() < 0.82 else 0
    return SpineXray(
        first=first,
        last=last,
        level=level,
        finding=rng.choice(tuple(FINDINGS)) if level else "normal",
        view=rng.choice(tuple(VIEWS)),
        curve=rng.choice(tuple(CURVES)),
        letters=rng.choice(tuple(SIDES)),
        patient=f"{rng.choice('ABKMPT')}-{rng.randint(10, 99)}",
        number_above=rng.random() < 0.5,
        surface=rng.choice(FILMS),
    )


def _add_captions(sheet: Sheet, xray: SpineXray) -> None:
    surface, view, curve = xray.surface.name, VIEWS[xray.view], CURVES[xray.curve]
    letters = SIDES[xray.letters]
    if xray.level:
        phrase = FINDINGS[xray.finding]
        state: BilingualText = f"L{xray.level} {phrase[0]}", f"L{xray.level}{phrase[1]}"
    else:
        state = "no abnormal vertebra", "没有异常椎体"
    sheet.add_caption(
        f"{surface[0]} X-ray {xray.patient}, spine {view[0]}, {curve[0]}, {state[0]}, "
        f"L{xray.first} to L{xray.last} lettered on the {letters[0]}",
        f"{surface[1]}X光片{xray.patient}，脊柱{view[1]}，{curve[1]}，{state[1]}，"
        f"L{xray.first}到L{xray.last}标在{letters[1]}",
    )
    sheet.add_caption(
        f"an X-ray of a lumbar spine {view[0]} with {state[0]}",
        f"腰椎{view[1]}X光片，{state[1]}",
    )
    sheet.add_caption(
        f"spine X-ray of patient {xray.patient}: {state[0]}",
        f"患者{xray.patient}的脊柱X光片：{state[1]}",
    )
    sheet.add_caption(
        f"{surface[0]} with a spine that is {curve[0]}",
        f"{surface[1]}，脊柱{curve[1]}",
    )


def _add_questions(
    sheet: Sheet,
    xray: SpineXray,
    bodies: dict[int, list[Point]],
    letters: dict[int, Box],
    number: Box,
) -> None:
    rng, levels = sheet.rng, list(xray.levels)
    bad = f"L{xray.level}" if xray.level else ""
    level = xray.level if xray.level and rng.random() < 0.5 else rng.choice(levels)
    sheet.add_bilingual_question(
        "attribute",
        ("Which vertebra is abnormal?", "哪个椎体异常？"),
        same_text(bad) if bad else ("none", "无"),
        bodies.get(xray.level),
    )
    sheet.add_bilingual_question(
        "attribute",
        (f"What is L{level} like?", f"L{level}是什么样的？"),
        xray.state(level),
        bodies[level],
    )
    sheet.add_bilingual_question(
        "attribute", ("What film is it on?", "是什么胶片？"), xray.surface.name
    )
    sheet.add_bilingual_question(
        "attribute",
        ("Is the spine straight or curved?", "脊柱是直的还是弯的？"),
        CURVES[xray.curve],
    )
    sheet.add_bilingual_question(
        "attribute", ("From where is the spine seen?", "从哪个方向看脊柱？"), VIEWS[xray.view]
    )
    sheet.add_bilingual_question(
        "count", ("How many vertebrae are lettered?", "标了多少个椎体？"), same_text(len(levels))
    )
    sheet.add_bilingual_question(
        "count",
        ("How many vertebrae are abnormal?", "有多少个异常椎体？"),
        same_text(int(bool(xray.level))),
        bodies.get(xray.level),
    )
    finding = xray.finding if xray.level and rng.random() < 0.5 else rng.choice(tuple(FINDINGS))
    present = finding == xray.finding
    word = FINDINGS[finding]
    sheet.add_bilingual_question(
        "existence",
        (f"Is a vertebra {word[0]}?", f"有{word[1]}的椎体吗？"),
        yes_no(present),
        bodies[xray.level] if present else None,
    )
    sheet.add_bilingual_question(
        "relation",
        ("On which side of the spine are the letters?", "字母在脊柱的哪一边？"),
        SIDES[xray.letters],
    )
    above = rng.choice(levels[1:])
    sheet.add_bilingual_question(
        "relation",
        (f"Which vertebra is just above L{above}?", f"L{above}的上一个是哪个椎体？"),
        same_text(f"L{above - 1}"),
        bodies[above - 1],
    )
    sheet.add_bilingual_question(
        "reading",
        ("What is the patient number?", "患者编号是什么？"),
        same_text(xray.patient),
        number,
    )
    sheet.add_bilingual_question(
        "reading",
        ("What is the lowest vertebra lettered?", "标出的最下面的椎体是哪个？"),
        same_text(f"L{xray.last}"),
        letters[xray.last],
    )
    a, b = rng.sample(levels, 2)
    sheet.add_bilingual_question(
        "comparison",
        (f"Which is lower, L{a} or L{b}?", f"L{a}和L{b}哪个更低？"),
        same_text(f"L{max(a, b)}"),
        bodies[max(a, b)],
    )
    if xray.finding in ("flat", "wedge", "bright"):
        other = rng.choice([n for n in levels if n != xray.level])
        brighter = xray.finding == "bright"
        first, second = sorted((xray.level, other))
        sheet.add_bilingual_question(
            "comparison",
            (
                f"Which is {'brighter' if brighter else 'flatter'}, L{first} or L{second}?",
                f"L{first}和L{second}哪个更{'亮' if brighter else '扁'}？",
            ),
            same_text(bad),
            bodies[xray.level],
        )
    where = rng.choice(levels)
    sheet.add_location_question(f"vertebra L{where}", f"椎体L{where}", bodies[where])
    if xray.level:
        sheet.add_location_question("the abnormal vertebra", "异常椎体", bodies[xray.level])
    absent = [n for n in range(1, 6) if n not in levels]
    if absent:
        sheet.add_unanswerable_question(f"What is L{absent[0]} like?", f"L{absent[0]}是什么样的？")
    sheet.add_unanswerable_question("How old is the patient?", "患者多大年纪？")
    sheet.limit_questions(12)
