"""How a picture is sized for a model, on our side, so that no server's resizing shifts a box.

``place`` says where the original will lie, from sizes alone; ``render`` makes the picture. They
agree by construction: both go through the same steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from PIL import Image, ImageOps

from sightline.tools.boxes.geometry import Placement, Size, whole

#: A picture whose square would be larger is made smaller before it is padded: a thin strip of
#: allowed size would otherwise become a square of terabytes.
_LARGEST_SQUARE_EDGE = 2048


@dataclass(frozen=True, slots=True)
class PaddedSquare:
    """Centred on a square of ``colour``, then resized to ``edge`` by ``edge`` pixels."""

    edge: int
    colour: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Resized:
    """The whole picture, its proportions kept as far as ``multiple`` allows.

    Both sides are multiples of ``multiple``, neither is under ``shortest`` or over ``longest``, and
    together they have ``most_pixels`` at most. Pictures are enlarged only to reach ``shortest``.
    """

    longest: int
    most_pixels: int
    multiple: int = 1
    shortest: int = 28


Fit = PaddedSquare | Resized


def upright(image: Image.Image) -> Image.Image:
    """RGB, EXIF rotation applied, transparency on white."""
    turned = ImageOps.exif_transpose(image)
    if turned.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in turned.info:
        rgba = turned.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        white.alpha_composite(rgba)
        turned = white
    return turned if turned.mode == "RGB" else turned.convert("RGB")


def place(fit: Fit, size: Size) -> Placement:
    """Where an upright original of ``size`` lies in the picture that `render` makes of it."""
    match fit:
        case PaddedSquare():
            inner = _within_largest_square(fit, size)
            side = max(inner)
            left, top = _margins(inner)
            scale = fit.edge / side
            content = (
                left * scale,
                top * scale,
                (left + inner[0]) * scale,
                (top + inner[1]) * scale,
            )
            return Placement(size, (fit.edge, fit.edge), content)
        case Resized():
            sent = _resized(fit, size)
            return Placement(size, sent, whole(sent).content)
        case _:
            assert_never(fit)


def render(fit: Fit, image: Image.Image) -> Image.Image:
    """The picture to send; ``image`` must be `upright` already."""
    match fit:
        case PaddedSquare():
            inner = _within_largest_square(fit, image.size)
            if inner != image.size:
                image = image.resize(inner, Image.Resampling.BOX)
            side = max(inner)
            if image.width != image.height:
                square = Image.new("RGB", (side, side), fit.colour)
                square.paste(image, _margins(inner))
                image = square
            if side == fit.edge:
                return image
            return image.resize((fit.edge, fit.edge), Image.Resampling.BICUBIC)
        case Resized():
            sent = _resized(fit, image.size)
            return image if sent == image.size else image.resize(sent, Image.Resampling.BICUBIC)
        case _:
            assert_never(fit)


def _margins(size: Size) -> tuple[int, int]:
    side = max(size)
    return (side - size[0]) // 2, (side - size[1]) // 2


def _within_largest_square(fit: PaddedSquare, size: Size) -> Size:
    most = max(2 * fit.edge, _LARGEST_SQUARE_EDGE)
    side = max(size)
    if side <= most:
        return size
    scale = most / side
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _resized(fit: Resized, size: Size) -> Size:
    width, height = size
    scale = min(1.0, fit.longest / max(size), math.sqrt(fit.most_pixels / (width * height)))
    scaled = width * scale, height * scale
    sent = _in_multiples(fit, scaled, round)
    if sent[0] * sent[1] > fit.most_pixels:
        sent = _in_multiples(fit, scaled, math.floor)
    return sent


def _in_multiples(
    fit: Resized, size: tuple[float, float], whole_number: Callable[[float], int]
) -> Size:
    first = math.ceil(fit.shortest / fit.multiple)
    last = max(first, fit.longest // fit.multiple)
    steps = [min(max(whole_number(side / fit.multiple), first), last) for side in size]
    return steps[0] * fit.multiple, steps[1] * fit.multiple
