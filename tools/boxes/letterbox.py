"""Resize an image for a model, so that its server does not shift boxes.

`place` computes the placement from sizes alone; `render` makes the image with the same steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from PIL import Image, ImageOps

from sightline.tools.boxes.geometry import Placement, Size

#: Larger images are reduced before they are padded: a thin strip would become a huge square.
_MAX_SQUARE_EDGE = 2048
_MIN_SOURCE_EDGE = 1024


@dataclass(frozen=True, slots=True)
class PaddedSquare:
    """Center on a square of ``color``, then resize to ``edge`` x ``edge`` pixels."""

    edge: int
    color: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Resized:
    """Resize and keep the proportions as far as ``multiple`` allows.

    Both sides are multiples of ``multiple`` and between ``min_edge`` and ``max_edge``, with at most
    ``max_pixels`` together. Images are enlarged only to reach ``min_edge``.
    """

    max_edge: int
    max_pixels: int
    multiple: int = 1
    min_edge: int = 28


Fit = PaddedSquare | Resized


def upright(image: Image.Image) -> Image.Image:
    """Return an RGB image with EXIF rotation applied and transparency on white."""
    turned = ImageOps.exif_transpose(image)
    if turned.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in turned.info:
        rgba = turned.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        white.alpha_composite(rgba)
        turned = white
    return turned if turned.mode == "RGB" else turned.convert("RGB")


def place(fit: Fit, size: Size) -> Placement:
    """Return where an upright original lies in the image that `render` makes."""
    match fit:
        case PaddedSquare():
            width, height = _fit_max_square(fit, size)
            left, top = _margins((width, height))
            scale = fit.edge / max(width, height)
            right, bottom = (left + width) * scale, (top + height) * scale
            content = (left * scale, top * scale, right, bottom)
            return Placement(size, (fit.edge, fit.edge), content)
        case Resized():
            sent = _resized_size(fit, size)
            return Placement(size, sent, (0.0, 0.0, float(sent[0]), float(sent[1])))
        case _:
            assert_never(fit)


def source_edge(fit: Fit) -> int:
    """Return the longer side in pixels that an image needs before `render`.

    More would not be seen: it is twice that of the image to send, within limits.
    """
    edge = fit.edge if isinstance(fit, PaddedSquare) else fit.max_edge
    return min(max(2 * edge, _MIN_SOURCE_EDGE), _MAX_SQUARE_EDGE)


def render(fit: Fit, image: Image.Image) -> Image.Image:
    """Return the image to send. ``image`` must be upright RGB."""
    match fit:
        case PaddedSquare():
            inner = _fit_max_square(fit, image.size)
            square = Image.new("RGB", (max(inner), max(inner)), fit.color)
            square.paste(image.resize(inner, Image.Resampling.BOX), _margins(inner))
            return square.resize((fit.edge, fit.edge), Image.Resampling.BICUBIC)
        case Resized():
            return image.resize(_resized_size(fit, image.size), Image.Resampling.BICUBIC)
        case _:
            assert_never(fit)


def _margins(size: Size) -> tuple[int, int]:
    side = max(size)
    return (side - size[0]) // 2, (side - size[1]) // 2


def _fit_max_square(fit: PaddedSquare, size: Size) -> Size:
    scale = min(1.0, max(2 * fit.edge, _MAX_SQUARE_EDGE) / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _resized_size(fit: Resized, size: Size) -> Size:
    width, height = size
    scale = min(1.0, fit.max_edge / max(size), math.sqrt(fit.max_pixels / (width * height)))
    scaled = width * scale, height * scale
    sent = _round_to_multiples(fit, scaled, round)
    if sent[0] * sent[1] > fit.max_pixels:
        sent = _round_to_multiples(fit, scaled, math.floor)
    return sent


def _round_to_multiples(
    fit: Resized, size: tuple[float, float], whole_number: Callable[[float], int]
) -> Size:
    first = math.ceil(fit.min_edge / fit.multiple)
    last = max(first, fit.max_edge // fit.multiple)
    steps = [min(max(whole_number(side / fit.multiple), first), last) for side in size]
    return steps[0] * fit.multiple, steps[1] * fit.multiple
