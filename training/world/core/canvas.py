"""What every family draws on: a supersampled canvas in coordinates of the finished picture.

Everything is drawn twice as large and reduced once at the end, through the camera. All chance
comes from the ``random.Random`` that is handed in and all text from the shipped fonts, so one seed
gives the same bytes on every machine. Colours are RGB, or RGBA to blend over what is there.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageFilter

from sightline.training.world.core.camera import Point
from sightline.training.world.core.picture import Box
from sightline.training.world.fonts import font_for

Colour = tuple[int, int, int] | tuple[int, int, int, int]
RGB = tuple[int, int, int]
SCALE: Final = 2


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """``a`` with ``share`` (0 to 1) of ``b`` in it."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def darker(colour: RGB, share: float = 0.25) -> RGB:
    """``colour`` with ``share`` of black."""
    return mix(colour, (0, 0, 0), share)


def lighter(colour: RGB, share: float = 0.25) -> RGB:
    """``colour`` with ``share`` of white."""
    return mix(colour, (255, 255, 255), share)


def jitter(rng: random.Random, colour: RGB, amount: int = 10) -> RGB:
    """``colour`` made lighter or darker by up to ``amount``, its hue moved by a third of that."""
    level, hue = rng.randint(-amount, amount), amount // 3
    r, g, b = (min(255, max(0, c + level + rng.randint(-hue, hue))) for c in colour)
    return r, g, b


def box_of(points: Sequence[Point]) -> Box:
    """The box around points."""
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    return min(xs), min(ys), max(xs), max(ys)


def overlap(a: Box, b: Box) -> bool:
    """Whether two boxes share a point."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


class Canvas:
    """A picture in the making. ``size`` is that of the finished picture."""

    def __init__(self, size: tuple[int, int], ground: RGB = (255, 255, 255)) -> None:
        self.size = size
        self.image = Image.new("RGB", (size[0] * SCALE, size[1] * SCALE), ground)
        self._opaque = ImageDraw.Draw(self.image)
        self._blend = ImageDraw.Draw(self.image, "RGBA")

    def _pen(self, *colours: Colour | None) -> ImageDraw.ImageDraw:
        """Blending costs several times as much as covering, so it is done only where asked for."""
        blends = any(colour is not None and len(colour) == 4 for colour in colours)
        return self._blend if blends else self._opaque

    @property
    def full(self) -> Box:
        """The box of the whole canvas."""
        return 0, 0, *self.size

    @property
    def safe(self) -> Box:
        """The box that a hand-held camera never cuts."""
        w, h = self.size
        return 0.07 * w, 0.07 * h, 0.93 * w, 0.93 * h

    # Outlines -------------------------------------------------------------------------------

    def polygon(
        self,
        points: Sequence[Point],
        fill: Colour | None = None,
        outline: Colour | None = None,
        width: float = 1,
    ) -> Box:
        """Draw a polygon; returns the box around it."""
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self._pen(fill).polygon(scaled, fill)
        if outline is not None:
            ring = [*scaled, *scaled[:2]]
            self._pen(outline).line(ring, outline, max(1, round(width * SCALE)), joint="curve")
        return box_of(points)

    def rectangle(
        self,
        box: Box,
        fill: Colour | None = None,
        outline: Colour | None = None,
        width: float = 1,
        radius: float = 0,
    ) -> Box:
        """Draw a rectangle, with round corners where ``radius`` is given; returns its box."""
        x0, y0, x1, y1 = _scaled(box)
        pen, draw = max(1, round(width * SCALE)), self._pen(fill, outline)
        if radius:
            draw.rounded_rectangle((x0, y0, x1, y1), radius * SCALE, fill, outline, pen)
        else:
            draw.rectangle((x0, y0, x1, y1), fill, outline, pen)
        return box

    def ellipse(
        self,
        box: Box,
        fill: Colour | None = None,
        outline: Colour | None = None,
        width: float = 1,
    ) -> Box:
        """Draw an ellipse; returns its box."""
        pen = max(1, round(width * SCALE))
        self._pen(fill, outline).ellipse(_scaled(box), fill, outline, pen)
        return box

    def circle(
        self,
        centre: Point,
        radius: float,
        fill: Colour | None = None,
        outline: Colour | None = None,
        width: float = 1,
    ) -> Box:
        """Draw a circle; returns its box."""
        x, y = centre
        return self.ellipse((x - radius, y - radius, x + radius, y + radius), fill, outline, width)

    def pieslice(
        self, box: Box, start: float, end: float, fill: Colour, outline: Colour | None = None
    ) -> None:
        """Draw a slice of a pie from ``start`` to ``end``, degrees clockwise from 3 o'clock."""
        self._pen(fill, outline).pieslice(_scaled(box), start, end, fill, outline, SCALE)

    def arc(self, box: Box, start: float, end: float, fill: Colour, width: float = 1) -> None:
        """Draw part of an ellipse's outline, degrees clockwise from 3 o'clock."""
        self._pen(fill).arc(_scaled(box), start, end, fill, max(1, round(width * SCALE)))

    def line(self, points: Sequence[Point], fill: Colour, width: float = 1) -> Box:
        """Draw a line through points; returns the box around it, without the pen's width."""
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self._pen(fill).line(scaled, fill, max(1, round(width * SCALE)), joint="curve")
        return box_of(points)

    def dashes(
        self, start: Point, end: Point, fill: Colour, width: float = 1, dash: float = 6
    ) -> None:
        """Draw a dashed line."""
        (x0, y0), (x1, y1) = start, end
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        count = max(1, round(length / (2 * dash)))
        for i in range(count):
            a, b = i / count, (i + 0.55) / count
            self.line([(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t) for t in (a, b)], fill, width)

    # Text -----------------------------------------------------------------------------------

    def text_box(
        self, at: Point, text: str, size: float, font: str = "sans", anchor: str = "la"
    ) -> Box:
        """Where ``text`` would have its ink, without drawing it."""
        face = font_for(text, font, round(size * SCALE))
        x0, y0, x1, y1 = self._opaque.textbbox(
            (at[0] * SCALE, at[1] * SCALE), text, font=face, anchor=anchor
        )
        return x0 / SCALE, y0 / SCALE, x1 / SCALE, y1 / SCALE

    def text(
        self,
        at: Point,
        text: str,
        size: float,
        fill: Colour,
        font: str = "sans",
        anchor: str = "la",
    ) -> Box:
        """Draw one line of text, ``size`` pixels high; returns the box of its ink.

        ``anchor`` is Pillow's: "la" left and ascender, "mm" the middle. Text with Chinese in it
        is set in the Chinese font whatever ``font`` says.
        """
        face = font_for(text, font, round(size * SCALE))
        at = (at[0] * SCALE, at[1] * SCALE)
        self._pen(fill).text(at, text, fill, face, anchor)
        x0, y0, x1, y1 = self._opaque.textbbox(at, text, font=face, anchor=anchor)
        return x0 / SCALE, y0 / SCALE, x1 / SCALE, y1 / SCALE

    def slanted_text(
        self,
        centre: Point,
        text: str,
        size: float,
        fill: RGB,
        degrees: float,
        *,
        font: str = "sans",
    ) -> Box:
        """Draw text about ``centre``, turned counter-clockwise; returns the box of its ink."""
        face = font_for(text, font, round(size * SCALE))
        x0, y0, x1, y1 = face.getbbox(text)
        mask = Image.new("L", (round(x1 - x0) + 4, round(y1 - y0) + 4))
        ImageDraw.Draw(mask).text((2 - x0, 2 - y0), text, 255, face)
        mask = mask.rotate(degrees, Image.Resampling.BILINEAR, expand=True)
        mask = mask.crop(mask.getbbox())
        left = round(centre[0] * SCALE - mask.width / 2)
        top = round(centre[1] * SCALE - mask.height / 2)
        self.image.paste(fill, (left, top), mask)
        return (
            left / SCALE,
            top / SCALE,
            (left + mask.width) / SCALE,
            (top + mask.height) / SCALE,
        )

    # Surfaces -------------------------------------------------------------------------------

    def gradient(self, box: Box, first: RGB, last: RGB, *, across: bool = False) -> None:
        """Fill a box from ``first`` (top) to ``last`` (bottom), or from left to right."""
        steps = 128
        strip = Image.new("RGB", (steps, 1) if across else (1, steps))
        strip.putdata([mix(first, last, i / (steps - 1)) for i in range(steps)])
        x0, y0, x1, y1 = (round(v) for v in _scaled(box))
        size = max(1, x1 - x0), max(1, y1 - y0)
        self.image.paste(strip.resize(size, Image.Resampling.NEAREST), (x0, y0))

    def texture(self, rng: random.Random, box: Box, amount: int, grain: float = 3) -> None:
        """Darken a box unevenly, by up to 1.5 ``amount`` of 255, in spots of ``grain`` pixels."""
        x0, y0, x1, y1 = (round(v) for v in _clipped(_scaled(box), self.image.size))
        if x1 <= x0 or y1 <= y0:
            return
        w = max(2, round((x1 - x0) / (grain * SCALE)))
        h = max(2, round((y1 - y0) / (grain * SCALE)))
        spots = Image.frombytes("L", (w, h), rng.randbytes(w * h))
        spots = spots.point([v * amount * 3 // 512 for v in range(256)])
        spots = spots.resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR)
        self.image.paste((0, 0, 0), (x0, y0), spots)

    def shadow(self, box: Box, strength: float = 0.45) -> None:
        """Darken a soft-edged ellipse that fills ``box``, as under a thing that stands."""
        x0, y0, x1, y1 = _scaled(box)
        mask = Image.new("L", (24, 24))
        ImageDraw.Draw(mask).ellipse((4, 4, 19, 19), round(255 * strength))
        mask = mask.filter(ImageFilter.BoxBlur(3))
        size = max(2, round((x1 - x0) * 1.3)), max(2, round((y1 - y0) * 1.3))
        mask = mask.resize(size, Image.Resampling.BILINEAR)
        at = round((x0 + x1 - size[0]) / 2), round((y0 + y1 - size[1]) / 2)
        self.image.paste((8, 8, 12), at, mask)

    def paste(self, picture: Image.Image, box: Box, mask: Image.Image | None = None) -> None:
        """Put a picture, resized, into a box; ``mask`` (mode L) says where it shows."""
        self._paste(picture, box, mask)

    def _paste(self, picture: Image.Image, box: Box, mask: Image.Image | None = None) -> None:
        x0, y0, x1, y1 = (round(v) for v in _scaled(box))
        size = max(1, x1 - x0), max(1, y1 - y0)
        fitted = picture.resize(size, Image.Resampling.BILINEAR)
        shown = mask.resize(size, Image.Resampling.BILINEAR) if mask is not None else None
        self.image.paste(fitted, (x0, y0), shown)


def _scaled(box: Box) -> Box:
    x0, y0, x1, y1 = box
    return x0 * SCALE, y0 * SCALE, x1 * SCALE, y1 * SCALE


def _clipped(box: Box, size: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = box
    return max(0.0, x0), max(0.0, y0), min(float(size[0]), x1), min(float(size[1]), y1)
