"""Supersampled drawing canvas in coordinates of the final image.

The canvas is drawn at twice the size and reduced once, by the camera. All randomness comes from the
``random.Random`` argument and all text from the included fonts, so a seed gives the same bytes on
every machine. Colors are RGB, or RGBA to blend with the existing pixels.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageFilter

from sightline.training.world.core.camera import Point
from sightline.training.world.core.scene import Box
from sightline.training.world.fonts import font_for

Color = tuple[int, int, int] | tuple[int, int, int, int]
RGB = tuple[int, int, int]
SCALE: Final = 2


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """Mix ``share`` (0 to 1) of ``b`` into ``a``."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def darker(color: RGB, share: float = 0.25) -> RGB:
    """Mix ``share`` of black into ``color``."""
    return mix(color, (0, 0, 0), share)


def lighter(color: RGB, share: float = 0.25) -> RGB:
    """Mix ``share`` of white into ``color``."""
    return mix(color, (255, 255, 255), share)


def jitter(rng: random.Random, color: RGB, amount: int = 10) -> RGB:
    """Vary brightness by up to ``amount`` and each channel by a third of it."""
    level, hue = rng.randint(-amount, amount), amount // 3
    r, g, b = (min(255, max(0, c + level + rng.randint(-hue, hue))) for c in color)
    return r, g, b


def box_of(points: Sequence[Point]) -> Box:
    """Return the box around points."""
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    return min(xs), min(ys), max(xs), max(ys)


def overlap(a: Box, b: Box) -> bool:
    """Return whether two boxes overlap."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


class Canvas:
    """A drawing surface. ``size`` is the size of the final image."""

    def __init__(self, size: tuple[int, int], ground: RGB = (255, 255, 255)) -> None:
        self.size = size
        self.image = Image.new("RGB", (size[0] * SCALE, size[1] * SCALE), ground)
        self._opaque = ImageDraw.Draw(self.image)
        self._blend = ImageDraw.Draw(self.image, "RGBA")

    def _pen(self, *colors: Color | None) -> ImageDraw.ImageDraw:
        """Return the blending pen only for RGBA colors, because it is slower."""
        blends = any(color is not None and len(color) == 4 for color in colors)
        return self._blend if blends else self._opaque

    @property
    def full(self) -> Box:
        """Box of the whole canvas."""
        return 0, 0, *self.size

    @property
    def safe(self) -> Box:
        """Box that a hand-held camera never cuts."""
        w, h = self.size
        return 0.07 * w, 0.07 * h, 0.93 * w, 0.93 * h

    # Outlines -------------------------------------------------------------------------------

    def polygon(
        self,
        points: Sequence[Point],
        fill: Color | None = None,
        outline: Color | None = None,
        width: float = 1,
    ) -> Box:
        """Draw a polygon and return its box."""
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self._pen(fill).polygon(scaled, fill)
        if outline is not None:
            ring = [*scaled, *scaled[:2]]
            self._pen(outline).line(ring, outline, max(1, round(width * SCALE)), joint="curve")
        return box_of(points)

    def rectangle(
        self,
        box: Box,
        fill: Color | None = None,
        outline: Color | None = None,
        width: float = 1,
        radius: float = 0,
    ) -> Box:
        """Draw a rectangle (rounded if ``radius`` > 0) and return its box."""
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
        fill: Color | None = None,
        outline: Color | None = None,
        width: float = 1,
    ) -> Box:
        """Draw an ellipse and return its box."""
        pen = max(1, round(width * SCALE))
        self._pen(fill, outline).ellipse(_scaled(box), fill, outline, pen)
        return box

    def circle(
        self,
        center: Point,
        radius: float,
        fill: Color | None = None,
        outline: Color | None = None,
        width: float = 1,
    ) -> Box:
        """Draw a circle and return its box."""
        x, y = center
        return self.ellipse((x - radius, y - radius, x + radius, y + radius), fill, outline, width)

    def pieslice(
        self, box: Box, start: float, end: float, fill: Color, outline: Color | None = None
    ) -> None:
        """Draw a pie slice; angles in degrees clockwise from 3 o'clock."""
        self._pen(fill, outline).pieslice(_scaled(box), start, end, fill, outline, SCALE)

    def arc(self, box: Box, start: float, end: float, fill: Color, width: float = 1) -> None:
        """Draw an ellipse arc; angles in degrees clockwise from 3 o'clock."""
        self._pen(fill).arc(_scaled(box), start, end, fill, max(1, round(width * SCALE)))

    def line(self, points: Sequence[Point], fill: Color, width: float = 1) -> Box:
        """Draw a line and return the box of its points, without line width."""
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self._pen(fill).line(scaled, fill, max(1, round(width * SCALE)), joint="curve")
        return box_of(points)

    def dashes(
        self, start: Point, end: Point, fill: Color, width: float = 1, dash: float = 6
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
        """Return the ink box of ``text`` without drawing it."""
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
        fill: Color,
        font: str = "sans",
        anchor: str = "la",
    ) -> Box:
        """Draw one line of text, ``size`` pixels high, and return its ink box.

        ``anchor`` is a Pillow anchor: "la" is left and ascender, "mm" is the middle. Text with
        Chinese characters always uses the Chinese font.
        """
        face = font_for(text, font, round(size * SCALE))
        at = (at[0] * SCALE, at[1] * SCALE)
        self._pen(fill).text(at, text, fill, face, anchor)
        x0, y0, x1, y1 = self._opaque.textbbox(at, text, font=face, anchor=anchor)
        return x0 / SCALE, y0 / SCALE, x1 / SCALE, y1 / SCALE

    def slanted_text(
        self,
        center: Point,
        text: str,
        size: float,
        fill: RGB,
        degrees: float,
        *,
        font: str = "sans",
    ) -> Box:
        """Draw text rotated counter-clockwise and return its ink box."""
        face = font_for(text, font, round(size * SCALE))
        x0, y0, x1, y1 = face.getbbox(text)
        mask = Image.new("L", (round(x1 - x0) + 4, round(y1 - y0) + 4))
        ImageDraw.Draw(mask).text((2 - x0, 2 - y0), text, 255, face)
        mask = mask.rotate(degrees, Image.Resampling.BILINEAR, expand=True)
        mask = mask.crop(mask.getbbox())
        left = round(center[0] * SCALE - mask.width / 2)
        top = round(center[1] * SCALE - mask.height / 2)
        self.image.paste(fill, (left, top), mask)
        return (
            left / SCALE,
            top / SCALE,
            (left + mask.width) / SCALE,
            (top + mask.height) / SCALE,
        )

    # Surfaces -------------------------------------------------------------------------------

    def gradient(self, box: Box, first: RGB, last: RGB, *, across: bool = False) -> None:
        """Fill a box with a gradient, top to bottom or left to right."""
        steps = 128
        strip = Image.new("RGB", (steps, 1) if across else (1, steps))
        strip.putdata([mix(first, last, i / (steps - 1)) for i in range(steps)])
        x0, y0, x1, y1 = (round(v) for v in _scaled(box))
        size = max(1, x1 - x0), max(1, y1 - y0)
        self.image.paste(strip.resize(size, Image.Resampling.NEAREST), (x0, y0))

    def texture(self, rng: random.Random, box: Box, amount: int, grain: float = 3) -> None:
        """Darken random spots of ``grain`` pixels by up to 1.5 * ``amount``."""
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
        """Draw a soft elliptical shadow that fills ``box``."""
        x0, y0, x1, y1 = _scaled(box)
        mask = Image.new("L", (24, 24))
        ImageDraw.Draw(mask).ellipse((4, 4, 19, 19), round(255 * strength))
        mask = mask.filter(ImageFilter.BoxBlur(3))
        size = max(2, round((x1 - x0) * 1.3)), max(2, round((y1 - y0) * 1.3))
        mask = mask.resize(size, Image.Resampling.BILINEAR)
        at = round((x0 + x1 - size[0]) / 2), round((y0 + y1 - size[1]) / 2)
        self.image.paste((8, 8, 12), at, mask)

    def paste(self, image: Image.Image, box: Box, mask: Image.Image | None = None) -> None:
        """Paste an image into a box, resized; ``mask`` (mode L) is its opacity."""
        x0, y0, x1, y1 = (round(v) for v in _scaled(box))
        size = max(1, x1 - x0), max(1, y1 - y0)
        fitted = image.resize(size, Image.Resampling.BILINEAR)
        opacity = mask.resize(size, Image.Resampling.BILINEAR) if mask is not None else None
        self.image.paste(fitted, (x0, y0), opacity)


def _scaled(box: Box) -> Box:
    x0, y0, x1, y1 = box
    return x0 * SCALE, y0 * SCALE, x1 * SCALE, y1 * SCALE


def _clipped(box: Box, size: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = box
    return max(0.0, x0), max(0.0, y0), min(float(size[0]), x1), min(float(size[1]), y1)
