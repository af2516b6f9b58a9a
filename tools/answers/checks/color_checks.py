"""Name the color of an object by the pixels inside its box.

Pixels are named in CIE LCh (lightness, chroma, hue under D65). The colors that surround the box are
taken as its background and count less. Neighbors such as red and orange do not contradict each
other, because light shifts colors.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.storage.types import Box
from sightline.tools.answers.checks.check_types import CheckResult, FoundPlace, Outcome, outcome_of
from sightline.tools.answers.checks.scene import Scene, only_sure
from sightline.tools.answers.statements.color_words import COLORS, with_color
from sightline.tools.answers.statements.statement_types import ClaimStatement
from sightline.tools.shared.images import crop

#: Colors of paper and ink.
_PAPER: Final = ("white", "gray", "black")
#: Pairs that are easily taken for each other.
_NEIGHBORS: Final = frozenset(
    map(
        frozenset,
        (
            *(("red", "orange"), ("red", "brown"), ("red", "pink"), ("red", "purple")),
            *(("orange", "yellow"), ("orange", "brown"), ("orange", "pink"), ("yellow", "brown")),
            *(("yellow", "white"), ("yellow", "green"), ("green", "blue"), ("green", "gray")),
            *(("green", "black"), ("blue", "purple"), ("blue", "gray"), ("blue", "black")),
            *(("purple", "pink"), ("purple", "gray"), ("purple", "black"), ("pink", "white")),
            *(("brown", "black"), ("brown", "gray"), ("white", "gray"), ("gray", "black")),
        ),
    )
)
_MAX_EDGE_PIXELS: Final = 96
#: Part of a box at each side that may show the background.
_INSET: Final = 0.12
_RING: Final = 0.15
#: The color of an object has this share of its pixels, and at least this share of the most
#: frequent color.
_MIN_SHARE: Final = 0.25
_MIN_OF_BEST: Final = 0.8
#: A color with less is not that of an object which is mostly of another color.
_MAX_OTHER_SHARE: Final = 0.1
_MIN_OTHER_SHARE: Final = 0.4
_MIN_EDGE_PIXELS: Final = 6
#: What surrounds everything else has this share of the edge of the image.
_MIN_GROUND_SHARE: Final = 0.6
_GROUND: Final = re.compile(
    r"(?:the )?(?:paper|card|film|background|ground|walls?)|纸张?|底色?|卡片|胶片|背景|墙壁?|墙面",
    re.IGNORECASE,
)

Array = NDArray[np.float32]


async def color(statement: ClaimStatement, scene: Scene, box: Box | None) -> CheckResult | None:
    """Compare a color with the pixels in the box of the object.

    The colored area around a written name is that of what it names, unless it is paper.
    """
    if statement.kind != "color" or not statement.value or not statement.subject:
        return None
    if _GROUND.fullmatch(statement.subject):
        return await _judge_ground(statement, scene) if scene.is_drawn else None
    written = scene.written_place(statement.subject)
    found = None if written else await scene.detect([statement.subject])
    place = only_sure(found[0]) if found else None
    if place is not None:
        return await _judge("color", statement, scene, place.box, (place,))
    if found is not None and statement.holds:
        colored = await scene.detect([with_color(statement.value, statement.subject)])
        if colored and only_sure(colored[0]) is not None:
            reason = f"the detector finds a {statement.value} {statement.subject!r}"
            return CheckResult("color", "supported", reason, tuple(colored[0][:1]))
    if written is not None:
        result = await _judge("color", statement, scene, _around(written.box), (written,))
        if result is not None and dict(result.measured)["colorful"]:
            return result
    return None if box is None else await _judge("color in claim box", statement, scene, box, ())


async def _judge(
    check: str, statement: ClaimStatement, scene: Scene, box: Box, places: tuple[FoundPlace, ...]
) -> CheckResult | None:
    shares = await asyncio.to_thread(object_colors, scene.image, box)
    if not shares:
        return None
    outcome = judge_color(statement.value, shares)
    if outcome != "unknown":
        outcome = outcome_of(outcome == "supported", statement)
    best = max(shares, key=lambda name: shares[name])
    claimed = shares[statement.value]
    reason = f"{claimed:.0%} of {statement.subject!r} is {statement.value}"
    reason += f", {shares[best]:.0%} {best}" if best != statement.value else ""
    measured = (("share", claimed), ("colorful", float(best not in _PAPER)))
    return CheckResult(check, outcome, reason, places, measured=measured)


async def _judge_ground(statement: ClaimStatement, scene: Scene) -> CheckResult:
    """Compare a color with the edge of the image, where the ground is seen."""
    shares = await asyncio.to_thread(ground_colors, scene.image)
    best = max(shares, key=lambda name: shares[name])
    claimed = shares[statement.value]
    outcome: Outcome = "unknown"
    if claimed >= _MIN_GROUND_SHARE:
        outcome = outcome_of(True, statement)
    elif shares[best] >= _MIN_GROUND_SHARE and not _are_neighbors(best, statement.value):
        outcome = outcome_of(False, statement)
    reason = f"{claimed:.0%} of the edge of the image is {statement.value}"
    reason += f", {shares[best]:.0%} {best}" if best != statement.value else ""
    return CheckResult("ground color", outcome, reason, measured=(("share", claimed),))


def ground_colors(image: Image.Image) -> dict[str, float]:
    """Return the share (0 to 1) of each color at the upper edges of the image."""
    counted = _histogram(_ring(_names(image)))
    return {name: float(share) for name, share in zip(COLORS, counted, strict=True)}


def _are_neighbors(a: str, b: str) -> bool:
    return a == b or frozenset((a, b)) in _NEIGHBORS


def _around(box: Box) -> Box:
    """Return the box with a margin of most of its height, inside the image."""
    x0, y0, x1, y1 = box
    dx, dy = 0.1 * (x1 - x0), 0.7 * (y1 - y0)
    return max(x0 - dx, 0.0), max(y0 - dy, 0.0), min(x1 + dx, 1.0), min(y1 + dy, 1.0)


def judge_color(claimed: str, shares: dict[str, float]) -> Outcome:
    """Return whether an object with these shares of colors has the claimed color."""
    best = max(shares, key=lambda name: shares[name])
    if shares[claimed] >= max(_MIN_SHARE, _MIN_OF_BEST * shares[best]):
        return "supported"
    is_other = not _are_neighbors(best, claimed)
    if is_other and shares[claimed] <= _MAX_OTHER_SHARE and shares[best] >= _MIN_OTHER_SHARE:
        return "contradicted"
    return "unknown"


def object_colors(image: Image.Image, box: Box) -> dict[str, float]:
    """Return the share (0 to 1) of each color of the object in the box.

    Empty for a box of a few pixels.
    """
    x0, y0, x1, y1 = box
    width, height = (x1 - x0) * image.width, (y1 - y0) * image.height
    if min(width, height) < _MIN_EDGE_PIXELS:
        return {}
    dx, dy = _INSET * (x1 - x0), _INSET * (y1 - y0)
    inside = _histogram(_names(crop(image, (x0 + dx, y0 + dy, x1 - dx, y1 - dy))))
    mx, my = _RING * (x1 - x0), _RING * (y1 - y0)
    outer = (max(x0 - mx, 0.0), max(y0 - my, 0.0), min(x1 + mx, 1.0), min(y1 + my, 1.0))
    ring = _ring(_names(crop(image, outer)))
    background = _histogram(ring) if ring.size else np.zeros_like(inside)
    # What fills the surroundings is background where it shines through.
    own = np.maximum(inside - 0.5 * background * inside.sum(), 0.25 * inside)
    own /= max(float(own.sum()), 1e-6)
    return {name: float(share) for name, share in zip(COLORS, own, strict=True)}


def _ring(names: NDArray[np.int_]) -> NDArray[np.int_]:
    """Return the outer tenth of an array of shape (height, width), flat."""
    height, width = names.shape
    dy, dx = max(height // 10, 1), max(width // 10, 1)
    inner = np.zeros(names.shape, dtype=bool)
    inner[dy:-dy, dx:-dx] = True
    return names[~inner]


def _histogram(names: NDArray[np.int_]) -> Array:
    counts = np.bincount(names.ravel(), minlength=len(COLORS)).astype(np.float32)
    return counts / max(float(counts.sum()), 1.0)


def _names(image: Image.Image) -> NDArray[np.int_]:
    """Return the index in `COLORS` of each pixel, shape (height, width)."""
    small = image.convert("RGB")
    # Nearest pixel: the mean of red and green stripes would be brown.
    small.thumbnail((_MAX_EDGE_PIXELS, _MAX_EDGE_PIXELS), Image.Resampling.NEAREST)
    lightness, chroma, hue = to_lch(np.asarray(small, dtype=np.float32))
    names = np.full(lightness.shape, COLORS.index("gray"))

    def name(color: str, where: NDArray[np.bool_]) -> None:
        names[where] = COLORS.index(color)

    is_gray = chroma < np.where(lightness < 30, 8, 11)
    name("white", is_gray & (lightness >= 80))
    name("black", is_gray & (lightness < 27))
    dark = ~is_gray & (lightness < 13)
    name("black", dark)
    colored = ~is_gray & ~dark
    for color, start, end in (
        *(("red", 350, 360), ("red", 0, 46), ("orange", 46, 76), ("yellow", 76, 108)),
        *(("green", 108, 205), ("blue", 205, 308), ("purple", 308, 350)),
    ):
        name(color, colored & (hue >= start) & (hue < end))
    warm = colored & (hue >= 30) & (hue < 100)
    name("brown", warm & ((lightness < 50) | ((chroma < 28) & (lightness < 68))))
    name("red", colored & (hue >= 30) & (hue < 46) & (chroma >= 45) & (lightness < 60))
    reddish = colored & ((hue >= 318) | (hue < 40))
    name("pink", reddish & (lightness >= 60) & (chroma < 62))
    name("white", colored & (lightness >= 92) & (chroma < 14))
    return names


def to_lch(pixels: Array) -> tuple[Array, Array, Array]:
    """Return lightness, chroma and hue (degrees) of sRGB, shape (..., 3).

    Channels are 0 to 255, lightness is 0 to 100.
    """
    scaled = pixels / 255
    linear = np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T / _WHITE
    cubic = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lightness = 116 * cubic[..., 1] - 16
    a, b = 500 * (cubic[..., 0] - cubic[..., 1]), 200 * (cubic[..., 1] - cubic[..., 2])
    hue = np.degrees(np.arctan2(b, a)) % 360
    return lightness, np.hypot(a, b), hue


_TO_XYZ: Final = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]],
    dtype=np.float32,
)
_WHITE: Final = np.array([0.95047, 1.0, 1.08883], dtype=np.float32)
