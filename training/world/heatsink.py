"""Technical drawings of heat sinks: mounting holes, their spacing in millimetres, a part number.

What one asks such a drawing is whether the holes fit a board, so the spacings of real sockets occur
as often as others, and the plate is drawn to scale.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from sightline.training.world.camera import Point
from sightline.training.world.canvas import RGB, mix
from sightline.training.world.language import yes_no
from sightline.training.world.scene import Box, Picture, Split
from sightline.training.world.sheet import (
    BLUEPRINT,
    GREEN_BOARD,
    GREY,
    GRID,
    PINK,
    WHITE,
    YELLOW,
    Sheet,
    Surface,
    Words,
    same,
)
from sightline.training.world.splits import choose

#: Spacing of a board's mounting holes in millimetres, across and along.
SOCKETS: Final[dict[str, tuple[int, int]]] = {
    "AM4": (90, 54),
    "AM3": (96, 48),
    "LGA1700": (78, 78),
    "LGA1200": (75, 75),
    "LGA2066": (80, 80),
    "LGA775": (72, 72),
}
OTHER: Final = (50, 56, 60, 64, 66, 70, 84, 88, 92, 98)
#: What is seen on the plate; from below, its polished base and no fins.
FINS: Final[dict[str, Words]] = {
    "upright": ("upright fins", "竖鳍片"),
    "flat": ("flat fins", "横鳍片"),
    "pins": ("pins", "针柱"),
    "rings": ("round fins", "圆形鳍片"),
    "base": ("bottom view", "底视图"),
}
SURFACES: Final = (WHITE, YELLOW, GREY, PINK, GRID, BLUEPRINT, BLUEPRINT, GREEN_BOARD)
SIZES: Final = ((384, 320), (400, 320), (420, 340), (400, 360), (360, 330))
CORNERS: Final[dict[Point, Words]] = {
    (-1, -1): ("the top left hole", "左上角的孔"),
    (1, -1): ("the top right hole", "右上角的孔"),
    (1, 1): ("the bottom right hole", "右下角的孔"),
    (-1, 1): ("the bottom left hole", "左下角的孔"),
}


@dataclass(frozen=True, slots=True)
class HeatSink:
    """What a drawing shows. With two holes, in a row across, ``along`` is 0."""

    part: str
    fins: str
    holes: int
    across: int
    along: int
    socket: str
    surface: Surface
    part_above: bool
    shaded: str
    view_named: bool

    @property
    def view(self) -> Words:
        """From where the heat sink is drawn."""
        return ("bottom view", "底视图") if self.fins == "base" else ("top view", "俯视图")

    @property
    def title(self) -> str:
        """What stands across from the part number: the socket, the view, or nothing."""
        return self.socket or (self.view[0].upper() if self.view_named else "")

    @property
    def combinations(self) -> tuple[str, ...]:
        """The attributes that are combined: fins and paper, fins and spacing."""
        return (
            f"heatsink/{self.fins}/{self.surface.name[0]}",
            f"heatsink/{self.fins}/{self.across}x{self.along}",
        )

    def fits(self, socket: str) -> bool:
        """Whether four holes stand as the board of ``socket`` has them."""
        return self.holes == 4 and (self.across, self.along) == SOCKETS[socket]


def draw(rng: random.Random, seed: int, split: Split) -> Picture:
    """Draw the heat sink of ``seed``."""
    sink, unseen = choose(rng, split, lambda: _invent(rng), lambda s: s.combinations)
    sheet = Sheet("heatsink", rng, seed, split, rng.choice(SIZES), sink.surface)
    _Drawing(sheet, sink).paint()
    _caption(sheet, sink)
    return sheet.photograph(sink.combinations, unseen)


def _invent(rng: random.Random) -> HeatSink:
    holes = rng.choice((2, 4, 4))
    named = rng.random() < 0.45
    socket = rng.choice(tuple(SOCKETS))
    if named or rng.random() < 0.4:
        across, along = SOCKETS[socket]
    else:
        across, along = rng.choice(OTHER), rng.choice(OTHER)
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


class _Drawing:
    """One drawing in the making: places, then ink."""

    def __init__(self, sheet: Sheet, sink: HeatSink) -> None:
        self.sheet, self.sink, self.rng = sheet, sink, sheet.rng
        x0, y0, x1, y1 = sheet.canvas.safe
        self.size = 0.085 * sheet.canvas.size[1] * self.rng.uniform(0.95, 1.1)
        top = y0 + self.size * (1.2 if sink.part_above else 0.3)
        bottom = y1 - self.size * (0.3 if sink.part_above else 1.2)
        if sink.title:
            top, bottom = (top, bottom - self.size * 1.0) if sink.part_above else (
                top + self.size * 1.0, bottom)  # fmt: skip
        # Dimensions stand above the plate and on one side of it.
        self.side = self.rng.choice((-1, 1))
        room = self.size * 2.3
        left, right = (x0 + room, x1 - 4) if self.side < 0 else (x0 + 4, x1 - room)
        top += self.size * 1.3
        plate_w = sink.across + 22
        plate_h = (sink.along or 56) + 22
        scale = min((right - left) / plate_w, (bottom - top) / plate_h, 2.4)
        scale *= self.rng.uniform(0.92, 1.0)
        cx = left + plate_w * scale / 2 + self.rng.uniform(0, right - left - plate_w * scale)
        cy = top + plate_h * scale / 2 + self.rng.uniform(0, bottom - top - plate_h * scale)
        self.scale, self.centre = scale, (cx, cy)
        w, h = plate_w * scale / 2, plate_h * scale / 2
        self.plate: Box = (cx - w, cy - h, cx + w, cy + h)

    @property
    def metal(self) -> RGB:
        surface = self.sheet.surface
        if self.sink.shaded == "outline":
            return mix(surface.ground, surface.ink, 0.06)
        return mix(surface.ground, (205, 210, 218) if surface.dark else (128, 138, 152), 0.55)

    def hole(self, corner: Point) -> Point:
        cx, cy = self.centre
        return (
            cx + corner[0] * self.sink.across * self.scale / 2,
            cy + corner[1] * self.sink.along * self.scale / 2,
        )

    def paint(self) -> None:
        """Paint all and pose the questions."""
        sheet, sink, size = self.sheet, self.sink, self.size
        canvas, ink = sheet.canvas, sheet.ink
        x0, y0, x1, y1 = canvas.safe
        canvas.rectangle(self.plate, self.metal, ink, 2, radius=6)
        self._fins()
        sheet.thing("heat sink", self.plate, fins=FINS[sink.fins][0], part=sink.part)
        corners = tuple(CORNERS) if sink.holes == 4 else ((-1, 0), (1, 0))
        holes: dict[Point, Box] = {}
        for corner in corners:
            at = self.hole(corner)
            canvas.circle(at, 10, self.metal)
            ring = canvas.circle(at, 7.5, sheet.surface.ground, ink, 2.2)
            canvas.line([(at[0] - 11, at[1]), (at[0] + 11, at[1])], ink, 0.8)
            canvas.line([(at[0], at[1] - 11), (at[0], at[1] + 11)], ink, 0.8)
            holes[corner] = ring
            sheet.thing("hole", ring)
        across = self._across()
        along = self._along() if sink.along else None
        font = self.rng.choice(("bold", "condensed", "slab"))
        lines = [y0 + size * 0.5, y1 - size * 0.5]
        if not sink.part_above:
            lines.reverse()
        mid = (x0 + x1) / 2
        part = sheet.write((mid, lines[0]), sink.part, size * 1.15, font=font)
        title = None
        if sink.title:
            title = sheet.write((mid, lines[1]), sink.title, size * 1.1, font=font)
        _ask(sheet, sink, self.plate, holes, across, along, part, title)

    def _fins(self) -> None:
        sink, canvas = self.sink, self.sheet.canvas
        x0, y0, x1, y1 = self.plate
        pad = 20 * self.scale
        if sink.holes == 2 or x1 - x0 > y1 - y0:
            box = (x0 + pad, y0 + 7, x1 - pad, y1 - 7)
        else:
            box = (x0 + 7, y0 + pad, x1 - 7, y1 - pad)
        bx0, by0, bx1, by1 = box
        ink = self.sheet.ink
        fill = mix(self.metal, ink, 0.2)
        if sink.fins == "base":
            half = min(bx1 - bx0, by1 - by0) * 0.36
            (cx, cy), copper = self.centre, mix(self.metal, (214, 128, 62), 0.6)
            canvas.rectangle((cx - half, cy - half, cx + half, cy + half), copper, ink, 2)
            for k in (-0.5, 0, 0.5):
                canvas.line([(cx - half, cy + half * k), (cx - half * k, cy + half)], ink, 0.8)
            return
        if sink.fins == "rings":
            r = min(bx1 - bx0, by1 - by0) / 2
            cx, cy = self.centre
            for k in range(4):
                canvas.circle((cx, cy), r * (1 - 0.24 * k), fill if k % 2 else self.metal, ink, 1.8)
            return
        if sink.fins == "pins":
            nx = max(3, round((bx1 - bx0) / 17))
            ny = max(3, round((by1 - by0) / 17))
            dx, dy = (bx1 - bx0) / nx, (by1 - by0) / ny
            for i in range(nx):
                for j in range(ny):
                    at = bx0 + dx * (i + 0.5), by0 + dy * (j + 0.5)
                    canvas.circle(at, min(dx, dy) * 0.3, fill, ink, 1.5)
            return
        upright = sink.fins == "upright"
        length = bx1 - bx0 if upright else by1 - by0
        count = max(4, round(length / 15))
        step = length / count
        for i in range(count):
            a = step * (i + 0.2)
            b = a + step * 0.55
            fin = (bx0 + a, by0, bx0 + b, by1) if upright else (bx0, by0 + a, bx1, by0 + b)
            canvas.rectangle(fin, fill, ink, 1.3)

    def _across(self) -> Box:
        """The dimension above the plate; returns the box of its number."""
        sheet, canvas, ink, size = self.sheet, self.sheet.canvas, self.sheet.ink, self.size
        (xa, ya), (xb, _) = self.hole((-1, -1)), self.hole((1, -1))
        y = self.plate[1] - size * 0.65
        text = str(self.sink.across)
        gap = size * (0.35 + 0.3 * len(text))
        for x in (xa, xb):
            canvas.line([(x, ya - 10), (x, y - 5)], ink, 1)
        mid = (xa + xb) / 2
        for end, inner in ((xa, mid - gap), (xb, mid + gap)):
            canvas.line([(end, y), (inner, y)], ink, 1.6)
            way = 1 if inner > end else -1
            canvas.polygon([(end, y), (end + 9 * way, y - 4), (end + 9 * way, y + 4)], ink)
        number = sheet.write((mid, y), text, size, font="bold")
        sheet.thing("dimension", (xa, y - size / 2, xb, y + size / 2), direction="horizontal",
                    millimetres=text)  # fmt: skip
        return number

    def _along(self) -> Box:
        """The dimension beside the plate; returns the box of its number."""
        sheet, canvas, ink, size = self.sheet, self.sheet.canvas, self.sheet.ink, self.size
        (xa, ya), (_, yb) = self.hole((self.side, -1)), self.hole((self.side, 1))
        x = (self.plate[0] if self.side < 0 else self.plate[2]) + self.side * size * 1.0
        text = str(self.sink.along)
        gap = size * 0.65
        for y in (ya, yb):
            canvas.line([(xa + 10 * self.side, y), (x + 5 * self.side, y)], ink, 1)
        mid = (ya + yb) / 2
        for end, inner in ((ya, mid - gap), (yb, mid + gap)):
            canvas.line([(x, end), (x, inner)], ink, 1.6)
            way = 1 if inner > end else -1
            canvas.polygon([(x, end), (x - 4, end + 9 * way), (x + 4, end + 9 * way)], ink)
        number = sheet.write((x, mid), text, size, font="bold")
        sheet.thing("dimension", (x - size * 0.6, ya, x + size * 0.6, yb), direction="vertical",
                    millimetres=text)  # fmt: skip
        return number


# Words --------------------------------------------------------------------------------------


def _caption(sheet: Sheet, sink: HeatSink) -> None:
    surface, fins = sink.surface.name, FINS[sink.fins]
    spacing = f"{sink.across} by {sink.along}" if sink.along else str(sink.across)
    spacing_zh = f"{sink.across}×{sink.along}" if sink.along else str(sink.across)
    board = (f" for {sink.socket}", f"适用{sink.socket}，") if sink.socket else ("", "")
    holes = ("four", "四") if sink.holes == 4 else ("two", "两")
    sheet.caption(
        f"heat sink {sink.part}{board[0]} on {surface[0]}, {fins[0]}, {holes[0]} holes "
        f"{spacing} mm apart",
        f"{surface[1]}上的散热器{sink.part}，{board[1]}{fins[1]}，{holes[1]}个孔，"
        f"孔距{spacing_zh}毫米",
    )
    sheet.caption(
        f"a drawing of a heat sink with {fins[0]} and {holes[0]} mounting holes, {spacing} mm",
        f"带{fins[1]}和{holes[1]}个安装孔的散热器图纸，孔距{spacing_zh}毫米",
    )
    sheet.caption(
        f"technical drawing of part {sink.part}, a CPU cooler{board[0]}",
        f"零件{sink.part}的技术图纸，{board[1]}CPU散热器",
    )
    sheet.caption(
        f"mounting hole spacing {spacing} mm, drawn on {surface[0]}",
        f"画在{surface[1]}上的安装孔距{spacing_zh}毫米",
    )


def _ask(
    sheet: Sheet,
    sink: HeatSink,
    plate: Box,
    holes: dict[Point, Box],
    across: Box,
    along: Box | None,
    part: Box,
    title: Box | None,
) -> None:
    rng = sheet.rng
    socket = title if sink.socket else None
    if sink.fins == "base":
        sheet.ask_in_vain("What fins does it have?", "它有什么鳍片？")
    else:
        sheet.pose(
            "attribute", ("What fins does it have?", "它有什么鳍片？"), FINS[sink.fins], plate
        )
    sheet.pose(
        "attribute",
        ("Which view is it?", "这是哪个视图？"),
        sink.view,
        plate if sink.socket else title or plate,
    )
    sheet.pose("attribute", ("What is it drawn on?", "画在什么上面？"), sink.surface.name)
    sheet.pose("count", ("How many holes are there?", "有多少个孔？"), same(sink.holes))
    sheet.pose("existence", ("Is a socket named?", "标了插座名吗？"), yes_no(bool(socket)), socket)
    if rng.random() < 0.5:
        sheet.pose("existence", ("Are there pins?", "有针柱吗？"), yes_no(sink.fins == "pins"))
    where = ("above", "上面") if sink.part_above else ("below", "下面")
    sheet.pose(
        "relation",
        ("Is the part number above or below the heat sink?", "零件号在散热器的上面还是下面？"),
        where,
        part,
    )
    sheet.pose("reading", ("What is the part number?", "零件号是什么？"), same(sink.part), part)
    sheet.pose(
        "reading",
        ("What is the horizontal hole spacing in mm?", "水平孔距是多少毫米？"),
        same(sink.across),
        across,
    )
    sheet.ask_where("the part number", "零件号", part)
    sheet.ask_where("the heat sink", "散热器", plate)
    if along:
        sheet.pose(
            "reading",
            ("What is the vertical hole spacing in mm?", "垂直孔距是多少毫米？"),
            same(sink.along),
            along,
        )
        wider = (
            ("horizontal", "水平") if sink.across > sink.along
            else ("vertical", "垂直") if sink.across < sink.along
            else ("equal", "相等")
        )  # fmt: skip
        sheet.pose(
            "comparison",
            ("Which spacing is larger, horizontal or vertical?", "水平和垂直孔距哪个更大？"),
            wider,
        )
        corner = rng.choice(tuple(CORNERS))
        sheet.ask_where(*CORNERS[corner], holes[corner])
    else:
        sheet.ask_in_vain("What is the vertical hole spacing in mm?", "垂直孔距是多少毫米？")
        limit = rng.choice((60, 70, 80, 90))
        sheet.pose(
            "comparison",
            (f"Is the hole spacing more than {limit} mm?", f"孔距大于{limit}毫米吗？"),
            yes_no(sink.across > limit),
            across,
        )
    fitting = [name for name in SOCKETS if sink.fits(name)]
    board = rng.choice(fitting) if fitting and rng.random() < 0.6 else rng.choice(tuple(SOCKETS))
    sheet.pose(
        "comparison",
        (f"Do these holes fit an {board} board?", f"这些孔适合{board}主板吗？"),
        yes_no(sink.fits(board)),
        across,
    )
    if socket:
        sheet.pose(
            "reading", ("Which socket is it for?", "适用哪种插座？"), same(sink.socket), socket
        )
    else:
        sheet.ask_in_vain("Which socket is it for?", "适用哪种插座？")
    sheet.ask_in_vain("How much does it weigh?", "它有多重？")
    sheet.keep(12)
