"""Technical drawings of heat sinks: mounting holes, spacing and part number.

The typical question is whether the holes fit a board. Spacings of real sockets are therefore as
frequent as others, and the plate is drawn to scale.
"""

from __future__ import annotations

import random

from sightline.training.world.core.language import yes_no
from sightline.training.world.core.scene import Scene, Split
from sightline.training.world.core.sheet import Sheet, same_text
from sightline.training.world.core.splits import sample_attributes
from sightline.training.world.heatsink.drawing import (
    CORNERS,
    FINS,
    OTHER_SPACINGS,
    SIZES,
    SOCKETS,
    SURFACES,
    DrawnAreas,
    HeatSink,
    HeatSinkDrawing,
)


def draw(rng: random.Random, seed: int, split: Split) -> Scene:
    """Draw a heat sink with captions and questions."""
    sink, unseen = sample_attributes(rng, split, lambda: _sample(rng), lambda s: s.combinations)
    sheet = Sheet("heatsink", rng, seed, split, rng.choice(SIZES), sink.surface)
    _add_questions(sheet, sink, HeatSinkDrawing(sheet, sink).paint())
    _add_captions(sheet, sink)
    return sheet.render_sheet(sink.combinations, unseen)


def _sample(rng: random.Random) -> HeatSink:
    holes = rng.choice((2, 4, 4))
    named = rng.random() < 0.45
    socket = rng.choice(tuple(SOCKETS))
    if named or rng.random() < 0.4:
        across, along = SOCKETS[socket]
    else:
        across, along = rng.choice(OTHER_SPACINGS), rng.choice(OTHER_SPACINGS)
    return HeatSink(
        part=f"{rng.choice(('HS', 'CX', 'TR', 'KV'))}-{rng.randint(10, 99)}",
        fins=rng.choice(tuple(FINS)),
        holes=holes,
        across=across,
        along=along if holes == 4 else 0,
        socket=socket if named and holes == 4 else "",
        surface=rng.choice(SURFACES),
        part_above=rng.random() < 0.5,
        shaded=rng.choice(("outline", "shaded")),
        view_named=rng.random() < 0.7,
    )


def _add_captions(sheet: Sheet, sink: HeatSink) -> None:
    surface, fins = sink.surface.name, FINS[sink.fins]
    spacing = f"{sink.across} by {sink.along}" if sink.along else str(sink.across)
    spacing_zh = f"{sink.across}×{sink.along}" if sink.along else str(sink.across)
    board = (f" for {sink.socket}", f"适用{sink.socket}，") if sink.socket else ("", "")
    holes = ("four", "四") if sink.holes == 4 else ("two", "两")
    sheet.add_caption(
        f"heat sink {sink.part}{board[0]} on {surface[0]}, {fins[0]}, {holes[0]} holes "
        f"{spacing} mm apart",
        f"{surface[1]}上的散热器{sink.part}，{board[1]}{fins[1]}，{holes[1]}个孔，"
        f"孔距{spacing_zh}毫米",
    )
    sheet.add_caption(
        f"a drawing of a heat sink with {fins[0]} and {holes[0]} mounting holes, {spacing} mm",
        f"带{fins[1]}和{holes[1]}个安装孔的散热器图纸，孔距{spacing_zh}毫米",
    )
    sheet.add_caption(
        f"technical drawing of part {sink.part}, a CPU cooler{board[0]}",
        f"零件{sink.part}的技术图纸，{board[1]}CPU散热器",
    )
    sheet.add_caption(
        f"mounting hole spacing {spacing} mm, drawn on {surface[0]}",
        f"画在{surface[1]}上的安装孔距{spacing_zh}毫米",
    )


def _add_questions(sheet: Sheet, sink: HeatSink, areas: DrawnAreas) -> None:
    plate, across, part = areas.plate, areas.across, areas.part
    title, along = areas.title, areas.along
    rng = sheet.rng
    socket = title if sink.socket else None
    if sink.fins == "base":
        sheet.add_unanswerable_question("What fins does it have?", "它有什么鳍片？")
    else:
        sheet.add_bilingual_question(
            "attribute", ("What fins does it have?", "它有什么鳍片？"), FINS[sink.fins], plate
        )
    sheet.add_bilingual_question(
        "attribute",
        ("Which view is it?", "这是哪个视图？"),
        sink.view,
        plate if sink.socket else title or plate,
    )
    sheet.add_bilingual_question(
        "attribute", ("What is it drawn on?", "画在什么上面？"), sink.surface.name
    )
    sheet.add_bilingual_question(
        "count", ("How many holes are there?", "有多少个孔？"), same_text(sink.holes)
    )
    sheet.add_bilingual_question(
        "existence", ("Is a socket named?", "标了插座名吗？"), yes_no(bool(socket)), socket
    )
    if rng.random() < 0.5:
        sheet.add_bilingual_question(
            "existence", ("Are there pins?", "有针柱吗？"), yes_no(sink.fins == "pins")
        )
    where = ("above", "上面") if sink.part_above else ("below", "下面")
    sheet.add_bilingual_question(
        "relation",
        ("Is the part number above or below the heat sink?", "零件号在散热器的上面还是下面？"),
        where,
        part,
    )
    sheet.add_bilingual_question(
        "reading", ("What is the part number?", "零件号是什么？"), same_text(sink.part), part
    )
    sheet.add_bilingual_question(
        "reading",
        ("What is the horizontal hole spacing in mm?", "水平孔距是多少毫米？"),
        same_text(sink.across),
        across,
    )
    sheet.add_location_question("the part number", "零件号", part)
    sheet.add_location_question("the heat sink", "散热器", plate)
    if along:
        sheet.add_bilingual_question(
            "reading",
            ("What is the vertical hole spacing in mm?", "垂直孔距是多少毫米？"),
            same_text(sink.along),
            along,
        )
        wider = (
            ("horizontal", "水平") if sink.across > sink.along
            else ("vertical", "垂直") if sink.across < sink.along
            else ("equal", "相等")
        )  # fmt: skip
        sheet.add_bilingual_question(
            "comparison",
            ("Which spacing is larger, horizontal or vertical?", "水平和垂直孔距哪个更大？"),
            wider,
        )
        corner = rng.choice(tuple(CORNERS))
        sheet.add_location_question(*CORNERS[corner], areas.holes[corner])
    else:
        sheet.add_unanswerable_question(
            "What is the vertical hole spacing in mm?", "垂直孔距是多少毫米？"
        )
        limit = rng.choice((60, 70, 80, 90))
        sheet.add_bilingual_question(
            "comparison",
            (f"Is the hole spacing more than {limit} mm?", f"孔距大于{limit}毫米吗？"),
            yes_no(sink.across > limit),
            across,
        )
    fitting = [name for name in SOCKETS if sink.fits(name)]
    board = rng.choice(fitting) if fitting and rng.random() < 0.6 else rng.choice(tuple(SOCKETS))
    sheet.add_bilingual_question(
        "comparison",
        (f"Do these holes fit an {board} board?", f"这些孔适合{board}主板吗？"),
        yes_no(sink.fits(board)),
        across,
    )
    if socket:
        sheet.add_bilingual_question(
            "reading", ("Which socket is it for?", "适用哪种插座？"), same_text(sink.socket), socket
        )
    else:
        sheet.add_unanswerable_question("Which socket is it for?", "适用哪种插座？")
    sheet.add_unanswerable_question("How much does it weigh?", "它有多重？")
    sheet.limit_questions(12)
