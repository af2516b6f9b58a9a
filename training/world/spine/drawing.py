"""Content and drawing of a spine X-ray."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from sightline.training.world.core.camera import Point
from sightline.training.world.core.scene import Box
from sightline.training.world.core.sheet import BilingualText, Sheet, Surface

FINDINGS: Final[dict[str, BilingualText]] = {
    "wedge": ("wedge-shaped", "楔形"),
    "flat": ("flattened", "压扁"),
    "shifted": ("shifted", "移位"),
    "bright": ("too bright", "过亮"),
    "fracture": ("fractured", "骨折"),
}
NORMAL: Final[BilingualText] = ("normal", "正常")
VIEWS: Final[dict[str, BilingualText]] = {
    "front": ("from the front", "正面"),
    "side": ("from the side", "侧面"),
}
CURVES: Final[dict[int, BilingualText]] = {
    0: ("straight", "笔直"),
    -1: ("curved left", "向左弯"),
    1: ("curved right", "向右弯"),
}
SIDES: Final[dict[int, BilingualText]] = {-1: ("left", "左边"), 1: ("right", "右边")}
FILMS: Final = (
    Surface(("grey film", "灰色胶片"), (24, 25, 27), (236, 237, 238), "film"),
    Surface(("blue film", "蓝色胶片"), (8, 26, 74), (206, 226, 255), "film"),
    Surface(("brown film", "棕色胶片"), (62, 32, 10), (255, 228, 188), "film"),
    Surface(("green film", "绿色胶片"), (6, 52, 34), (212, 250, 222), "film"),
    Surface(("white film", "白色胶片"), (226, 228, 232), (20, 21, 26), "film"),
)
RANGES: Final = ((1, 5), (1, 5), (1, 5), (2, 5), (1, 4))
SIZES: Final = ((320, 384), (320, 400), (340, 360), (360, 400), (330, 330))


@dataclass(frozen=True, slots=True)
class SpineXray:
    """Content of an X-ray; ``level`` is the abnormal vertebra or 0."""

    first: int
    last: int
    level: int
    finding: str
    view: str
    curve: int
    letters: int
    patient: str
    number_above: bool
    surface: Surface

    @property
    def combinations(self) -> tuple[str, ...]:
        """Combinations: level and finding, finding and film."""
        film = f"spine/{self.finding}/{self.surface.name[0]}"
        return (f"spine/L{self.level}/{self.finding}", film) if self.level else (film,)

    @property
    def levels(self) -> range:
        """Numbers of the labeled vertebrae."""
        return range(self.first, self.last + 1)

    def state(self, level: int) -> BilingualText:
        """Return the state of a vertebra in words."""
        return FINDINGS[self.finding] if level == self.level else NORMAL


@dataclass(frozen=True, slots=True)
class _Vertebra:
    """Geometry of a vertebra: center, half width, half height, rotation (rad)."""

    center: Point
    rx: float
    ry: float
    turn: float

    def at(self, u: float, v: float) -> Point:
        """Return the point at ``u`` half widths right, ``v`` half heights down."""
        x, y = u * self.rx, v * self.ry
        c, s = math.cos(self.turn), math.sin(self.turn)
        return self.center[0] + c * x - s * y, self.center[1] + s * x + c * y


def draw_xray(sheet: Sheet, xray: SpineXray) -> tuple[dict[int, list[Point]], dict[int, Box], Box]:
    """Draw the X-ray; return vertebra outlines, label boxes, number box."""
    rng, canvas = sheet.rng, sheet.canvas
    w, h = canvas.size
    x0, y0, x1, y1 = canvas.safe
    size = 0.078 * h * rng.uniform(0.95, 1.1)
    top = y0 + (size * 1.3 if xray.number_above else 0)
    bottom = y1 - (0 if xray.number_above else size * 1.3)
    pitch = (bottom - top) / (len(xray.levels) + 0.5)
    start = top + pitch * 0.25
    middle = w / 2 - xray.letters * w * rng.uniform(0.08, 0.14)
    bend = xray.curve * w * rng.uniform(0.08, 0.11)
    back = rng.choice((-1, 1))
    wide = pitch * (0.86 if xray.view == "front" else 0.68) * rng.uniform(0.92, 1.05)
    wide = min(wide, 0.17 * w)

    def place(level: float) -> _Vertebra:
        t = (level - xray.first + 0.5) / len(xray.levels)
        x = middle + bend * (1 - (2 * t - 1) ** 2) - bend * 0.45
        slope = -4 * bend * (2 * t - 1) / (pitch * len(xray.levels))
        return _Vertebra((x, start + pitch * (level - xray.first + 0.5)), wide * (0.88 + 0.14 * t),
                     pitch * 0.36, -math.atan(slope))  # fmt: skip

    bone = Image.new("L", (w, h))
    pen = ImageDraw.Draw(bone)
    # Also draw the unlabeled neighbors above and below.
    levels = range(xray.first - 1, xray.last + 2)
    bodies = {level: place(level) for level in levels}
    if xray.level and xray.finding == "shifted":
        b = bodies[xray.level]
        way = rng.choice((-1, 1)) * 0.9
        bodies[xray.level] = _Vertebra(b.at(way, 0), b.rx, b.ry, b.turn)
    for level in levels:
        if xray.view == "front":
            _behind_front(pen, bodies[level], ribs=level == 0)
        else:
            _behind_side(pen, bodies[level], back)
    outlines = {}
    side = rng.choice((-1, 1))
    for level in levels:
        if level == 6:
            _sacrum(pen, bodies[level])
            continue
        finding = xray.finding if level == xray.level else "normal"
        outlines[level] = _body(pen, bodies[level], finding, side)
        if xray.view == "front":
            _before_front(pen, bodies[level], finding)
        if finding == "fracture":
            _crack(pen, rng, bodies[level])
    bone = bone.filter(ImageFilter.BoxBlur(1))
    shade = ImageChops.screen(_tissue_mask(sheet, xray, middle), bone)
    canvas.paste(Image.new("RGB", (1, 1), sheet.ink), canvas.full, shade)

    letters = {}
    lx = (x0 + size * 0.8) if xray.letters < 0 else (x1 - size * 0.8)
    for level in xray.levels:
        sheet.add_object("vertebra", outlines[level], name=f"L{level}", state=xray.state(level)[0])
        letters[level] = sheet.write_text(
            (lx, bodies[level].center[1]), f"L{level}", size, font="bold"
        )
    y = y0 + size * 0.5 if xray.number_above else y1 - size * 0.5
    x = x0 + size * 1.5 if xray.letters < 0 else x1 - size * 1.5
    number = sheet.write_text((x, y), xray.patient, size, font="condensed")
    return {level: outlines[level] for level in xray.levels}, letters, number


def _tissue_mask(sheet: Sheet, xray: SpineXray, middle: float) -> Image.Image:
    """Return a mask of the soft tissue around the spine."""
    small = Image.new("L", (24, 24))
    pen = ImageDraw.Draw(small)
    at = 24 * middle / sheet.canvas.size[0]
    pen.ellipse((at - 11, -6, at + 11, 30), 52)
    pen.ellipse((at - 6, -8, at + 6, 32), 84)
    if xray.view == "front":
        pen.ellipse((at - 12, 17, at - 4, 27), 112)
        pen.ellipse((at + 4, 17, at + 12, 27), 112)
    small = small.filter(ImageFilter.BoxBlur(2))
    w, h = sheet.canvas.size
    clouds = Image.frombytes("L", (w // 14, h // 14), sheet.rng.randbytes((w // 14) * (h // 14)))
    clouds = clouds.point([v // 9 for v in range(256)]).resize((w, h), Image.Resampling.BILINEAR)
    return ImageChops.add(small.resize((w, h), Image.Resampling.BILINEAR), clouds, 1, -14)


def _polygon(pen: ImageDraw.ImageDraw, points: list[Point], fill: int, edge: int, w: int) -> None:
    pen.polygon(points, fill)
    pen.line([*points, points[0], points[1]], edge, w, joint="curve")


def _body(pen: ImageDraw.ImageDraw, b: _Vertebra, finding: str, side: int) -> list[Point]:
    """Draw a vertebral body and return its outline."""
    left = right = 1.0
    if finding == "flat":
        left = right = 0.42
    elif finding == "wedge":
        left, right = (0.28, 1.0) if side < 0 else (1.0, 0.28)
    mid = (left + right) / 2
    upper = [b.at(-1, -left), b.at(-0.5, -0.9 * (left + mid) / 2), b.at(0, -0.84 * mid),
             b.at(0.5, -0.9 * (right + mid) / 2), b.at(1, -right)]  # fmt: skip
    lower = [b.at(1, right), b.at(0.5, 0.9 * (right + mid) / 2), b.at(0, 0.84 * mid),
             b.at(-0.5, 0.9 * (left + mid) / 2), b.at(-1, left)]  # fmt: skip
    points = [*upper, b.at(0.88, 0), *lower, b.at(-0.88, 0)]
    fill, edge = (252, 255) if finding == "bright" else (148, 214)
    _polygon(pen, points, fill, edge, 4)
    return points


def _crack(pen: ImageDraw.ImageDraw, rng: random.Random, b: _Vertebra) -> None:
    """Draw a jagged dark fracture line between the end plates."""
    lean = rng.choice((-1, 1)) * 0.45
    line = [
        b.at(lean * v + (0.22 if i % 2 else -0.22), v)
        for i, v in enumerate((-1.2, -0.6, 0.0, 0.6, 1.2))
    ]
    pen.line(line, 0, max(6, round(b.ry * 0.36)), joint="curve")


def _behind_front(pen: ImageDraw.ImageDraw, b: _Vertebra, *, ribs: bool) -> None:
    """Draw transverse processes, or ribs for the vertebra above L1."""
    for way in (-1, 1):
        tip = b.at(way * (2.6 if ribs else 1.75), 1.2 if ribs else -0.25)
        pen.polygon([b.at(way * 0.8, -0.6), tip, b.at(way * 0.8, 0.25)], 92)


def _before_front(pen: ImageDraw.ImageDraw, b: _Vertebra, finding: str) -> None:
    """Draw pedicles as bright rings and the spinous process between them."""
    if finding in ("flat", "bright"):
        return
    for way in (-0.55, 0.55):
        x, y = b.at(way, -0.2)
        pen.ellipse((x - b.rx * 0.15, y - b.ry * 0.3, x + b.rx * 0.15, y + b.ry * 0.3),
                    120, 225, 2)  # fmt: skip
    _polygon(pen, [b.at(0, 0.0), b.at(0.13, 0.9), b.at(0, 1.5), b.at(-0.13, 0.9)], 196, 222, 1)


def _behind_side(pen: ImageDraw.ImageDraw, b: _Vertebra, back: int) -> None:
    """Draw pedicle, joint and spinous process behind the body."""
    pen.polygon([b.at(back * 0.9, -0.6), b.at(back * 1.5, -0.5), b.at(back * 1.5, 0.1),
                 b.at(back * 0.9, -0.1)], 128)  # fmt: skip
    pen.polygon([b.at(back * 1.4, -1.0), b.at(back * 1.7, -0.9), b.at(back * 1.75, 0.9),
                 b.at(back * 1.4, 1.0)], 104)  # fmt: skip
    pen.polygon([b.at(back * 1.6, -0.2), b.at(back * 2.5, 0.3), b.at(back * 2.55, 1.1),
                 b.at(back * 1.65, 0.7)], 116)  # fmt: skip


def _sacrum(pen: ImageDraw.ImageDraw, b: _Vertebra) -> None:
    """Draw the top of the sacrum under L5."""
    points = [b.at(-1.25, -0.9), b.at(1.25, -0.9), b.at(0.7, 3.0), b.at(-0.7, 3.0)]
    _polygon(pen, points, 118, 176, 3)
