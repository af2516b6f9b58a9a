"""Content and drawing of a heat sink, to scale and with dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sightline.training.world.core.camera import Point
from sightline.training.world.core.canvas import RGB, mix
from sightline.training.world.core.scene import Box
from sightline.training.world.core.sheet import (
    BLUEPRINT,
    GRAY,
    GREEN_BOARD,
    GRID,
    PINK,
    WHITE,
    YELLOW,
    BilingualText,
    Sheet,
    Surface,
)

#: Socket to the spacing of its mounting holes in millimeters (horizontal, vertical).
SOCKETS: Final[dict[str, tuple[int, int]]] = {
    "AM4": (90, 54),
    "AM3": (96, 48),
    "LGA1700": (78, 78),
    "LGA1200": (75, 75),
    "LGA2066": (80, 80),
    "LGA775": (72, 72),
}
OTHER_SPACINGS: Final = (50, 56, 60, 64, 66, 70, 84, 88, 92, 98)
#: Visible side of the plate: fins from above, or the polished base from below.
FINS: Final[dict[str, BilingualText]] = {
    "upright": ("upright fins", "竖鳍片"),
    "flat": ("flat fins", "横鳍片"),
    "pins": ("pins", "针柱"),
    "rings": ("round fins", "圆形鳍片"),
    "base": ("bottom view", "底视图"),
}
SURFACES: Final = (WHITE, YELLOW, GRAY, PINK, GRID, BLUEPRINT, BLUEPRINT, GREEN_BOARD)
SIZES: Final = ((384, 320), (400, 320), (420, 340), (400, 360), (360, 330))
CORNERS: Final[dict[Point, BilingualText]] = {
    (-1, -1): ("the top left hole", "左上角的孔"),
    (1, -1): ("the top right hole", "右上角的孔"),
    (1, 1): ("the bottom right hole", "右下角的孔"),
    (-1, 1): ("the bottom left hole", "左下角的孔"),
}


@dataclass(frozen=True, slots=True)
class HeatSink:
    """Content of a drawing; with two holes, ``along`` is 0."""

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
    def view(self) -> BilingualText:
        """Name of the drawn view."""
        return ("bottom view", "底视图") if self.fins == "base" else ("top view", "俯视图")

    @property
    def title(self) -> str:
        """Title: the socket, the view, or empty."""
        return self.socket or (self.view[0].upper() if self.view_named else "")

    @property
    def combinations(self) -> tuple[str, ...]:
        """Combinations: fins and paper, fins and spacing."""
        return (
            f"heatsink/{self.fins}/{self.surface.name[0]}",
            f"heatsink/{self.fins}/{self.across}x{self.along}",
        )

    def fits(self, socket: str) -> bool:
        """Return whether the four holes match ``socket``."""
        return self.holes == 4 and (self.across, self.along) == SOCKETS[socket]


@dataclass(frozen=True, slots=True)
class DrawnAreas:
    """Boxes of plate, holes by corner, and texts."""

    plate: Box
    holes: dict[Point, Box]
    across: Box
    along: Box | None
    part: Box
    title: Box | None


class HeatSinkDrawing:
    """Computes the layout of a drawing and draws it."""

    def __init__(self, sheet: Sheet, sink: HeatSink) -> None:
        self.sheet, self.sink, self.rng = sheet, sink, sheet.rng
        x0, y0, x1, y1 = sheet.canvas.safe
        self.size = 0.085 * sheet.canvas.size[1] * self.rng.uniform(0.95, 1.1)
        top = y0 + self.size * (1.2 if sink.part_above else 0.3)
        bottom = y1 - self.size * (0.3 if sink.part_above else 1.2)
        if sink.title:
            top, bottom = (top, bottom - self.size * 1.0) if sink.part_above else (
                top + self.size * 1.0, bottom)  # fmt: skip
        # Dimensions are above the plate and on one side.
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
        self.scale, self.center = scale, (cx, cy)
        w, h = plate_w * scale / 2, plate_h * scale / 2
        self.plate: Box = (cx - w, cy - h, cx + w, cy + h)

    @property
    def metal(self) -> RGB:
        surface = self.sheet.surface
        if self.sink.shaded == "outline":
            return mix(surface.ground, surface.ink, 0.06)
        return mix(surface.ground, (205, 210, 218) if surface.dark else (128, 138, 152), 0.55)

    def hole(self, corner: Point) -> Point:
        cx, cy = self.center
        return (
            cx + corner[0] * self.sink.across * self.scale / 2,
            cy + corner[1] * self.sink.along * self.scale / 2,
        )

    def paint(self) -> DrawnAreas:
        """Draw everything and return the boxes."""
        sheet, sink, size = self.sheet, self.sink, self.size
        canvas, ink = sheet.canvas, sheet.ink
        x0, y0, x1, y1 = canvas.safe
        canvas.rectangle(self.plate, self.metal, ink, 2, radius=6)
        self._fins()
        sheet.add_object("heat sink", self.plate, fins=FINS[sink.fins][0], part=sink.part)
        corners = tuple(CORNERS) if sink.holes == 4 else ((-1, 0), (1, 0))
        holes: dict[Point, Box] = {}
        for corner in corners:
            at = self.hole(corner)
            canvas.circle(at, 10, self.metal)
            ring = canvas.circle(at, 7.5, sheet.surface.ground, ink, 2.2)
            canvas.line([(at[0] - 11, at[1]), (at[0] + 11, at[1])], ink, 0.8)
            canvas.line([(at[0], at[1] - 11), (at[0], at[1] + 11)], ink, 0.8)
            holes[corner] = ring
            sheet.add_object("hole", ring)
        across = self._across()
        along = self._along() if sink.along else None
        font = self.rng.choice(("bold", "condensed", "slab"))
        lines = [y0 + size * 0.5, y1 - size * 0.5]
        if not sink.part_above:
            lines.reverse()
        mid = (x0 + x1) / 2
        part = sheet.write_text((mid, lines[0]), sink.part, size * 1.15, font=font)
        title = None
        if sink.title:
            title = sheet.write_text((mid, lines[1]), sink.title, size * 1.1, font=font)
        return DrawnAreas(self.plate, holes, across, along, part, title)

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
            (cx, cy), copper = self.center, mix(self.metal, (214, 128, 62), 0.6)
            canvas.rectangle((cx - half, cy - half, cx + half, cy + half), copper, ink, 2)
            for k in (-0.5, 0, 0.5):
                canvas.line([(cx - half, cy + half * k), (cx - half * k, cy + half)], ink, 0.8)
            return
        if sink.fins == "rings":
            r = min(bx1 - bx0, by1 - by0) / 2
            cx, cy = self.center
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
        """Draw the dimension above the plate and return its number box."""
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
        number = sheet.write_text((mid, y), text, size, font="bold")
        sheet.add_object(
            "dimension",
            (xa, y - size / 2, xb, y + size / 2),
            direction="horizontal",
            millimetres=text,
        )
        return number

    def _along(self) -> Box:
        """Draw the dimension beside the plate and return its number box."""
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
        number = sheet.write_text((x, mid), text, size, font="bold")
        sheet.add_object(
            "dimension",
            (x - size * 0.6, ya, x + size * 0.6, yb),
            direction="vertical",
            millimetres=text,
        )
        return number
