"""Camera model: a slight rotation and perspective, applied to pixels and boxes.

A camera is a homography between the canvas and the final image. It views a quadrilateral inside the
canvas, so the image has no empty corners. Families draw important content inside ``Canvas.safe``.
``add_camera_effects`` adds uneven light, blur and noise.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageFilter

from sightline.training.world.core.scene import Box

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Camera:
    """Image corners (TL, TR, BR, BL) on the canvas, in canvas pixels."""

    size: tuple[int, int]
    corners: tuple[Point, Point, Point, Point]

    @classmethod
    def straight(cls, size: tuple[int, int]) -> Camera:
        """Return a camera without rotation and perspective."""
        w, h = size
        return cls(size, ((0, 0), (w, 0), (w, h), (0, h)))

    @classmethod
    def handheld(cls, rng: random.Random, size: tuple[int, int], strength: float = 1.0) -> Camera:
        """Sample a camera with up to 2.5 degrees and 2% perspective."""
        w, h = size
        angle = math.radians(rng.uniform(-2.5, 2.5) * strength)
        lean = 0.02 * strength
        grow = math.cos(angle) + abs(math.sin(angle)) * max(w / h, h / w) + 1.5 * lean
        c, s = math.cos(angle) / grow, math.sin(angle) / grow
        corners: list[Point] = []
        for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
            x = sx * w / 2 * (1 + rng.uniform(-lean, lean))
            y = sy * h / 2 * (1 + rng.uniform(-lean, lean))
            corners.append((round(w / 2 + c * x - s * y, 3), round(h / 2 + s * x + c * y, 3)))
        return cls(size, (corners[0], corners[1], corners[2], corners[3]))

    def _to_canvas(self) -> tuple[float, ...]:
        """Return the homography from image to canvas pixels as nine numbers."""
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = self.corners
        w, h = self.size
        dx1, dx2, sx = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
        dy1, dy2, sy = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
        det = dx1 * dy2 - dx2 * dy1
        g = (sx * dy2 - dx2 * sy) / det
        k = (dx1 * sy - sx * dy1) / det
        a, b = x1 - x0 + g * x1, x3 - x0 + k * x3
        d, e = y1 - y0 + g * y1, y3 - y0 + k * y3
        return (a / w, b / h, x0, d / w, e / h, y0, g / w, k / h, 1.0)

    def warp(self, canvas: Image.Image, scale: int) -> Image.Image:
        """Warp a canvas that was drawn ``scale`` times larger into an image."""
        a, b, c, d, e, f, g, h, _ = self._to_canvas()
        if self == Camera.straight(self.size):
            return canvas.reduce(scale)
        values = (a * scale, b * scale, c * scale, d * scale, e * scale, f * scale, g, h)
        return canvas.transform(
            self.size,
            Image.Transform.PERSPECTIVE,
            tuple(round(v, 10) for v in values),
            Image.Resampling.BILINEAR,
        )

    def project_point(self, x: float, y: float) -> Point:
        """Map a canvas point to image pixels."""
        a, b, c, d, e, f, g, h, _ = self._to_canvas()
        # The inverse of a 3x3 matrix up to scale is its adjugate.
        u = (e - f * h) * x + (c * h - b) * y + (b * f - c * e)
        v = (f * g - d) * x + (a - c * g) * y + (c * d - a * f)
        z = (d * h - e * g) * x + (b * g - a * h) * y + (a * e - b * d)
        return u / z, v / z

    def project_box(self, outline: Iterable[Point]) -> Box:
        """Return the box around canvas points, clipped to the image."""
        points = [self.project_point(x, y) for x, y in outline]
        w, h = self.size
        xs = [round(min(max(x, 0.0), w), 1) for x, _ in points]
        ys = [round(min(max(y, 0.0), h), 1) for _, y in points]
        return min(xs), min(ys), max(xs), max(ys)


def add_camera_effects(
    image: Image.Image, rng: random.Random, *, light: float, noise: float, blur: float
) -> Image.Image:
    """Add uneven light (0 to 1), blur (pixels) and noise (0 to 255)."""
    if light:
        tint = [rng.uniform(0, 0.025) for _ in range(3)]
        levels = [1 - light * rng.random() for _ in range(9)]
        patch = Image.new("RGB", (3, 3))
        patch.putdata([tuple(round(255 * level * (1 - t)) for t in tint) for level in levels])
        image = ImageChops.multiply(image, patch.resize(image.size, Image.Resampling.BILINEAR))
    if blur:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    if noise >= 1:
        w, h = image.size
        grain = Image.frombytes("L", (w, h), rng.randbytes(w * h))
        grain = grain.point([128 + round((v - 127.5) / 127.5 * noise) for v in range(256)])
        image = ImageChops.add(image, Image.merge("RGB", (grain,) * 3), 1, -128)
    return image
