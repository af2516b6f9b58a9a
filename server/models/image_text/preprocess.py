"""Pictures made ready for an encoder without torch: what worker processes run.

The result is open_clip's own, bit for bit, before normalisation, for every picture that reaches
open_clip upright and in RGB; the encoder normalises whole batches. Three things are ours:
EXIF rotation is applied, transparency is laid on white (open_clip shows the hidden pixels), and a
16-bit scan keeps its high byte (Pillow would clip it to white).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, cast, get_args

import numpy as np
from PIL import Image, ImageOps

from sightline.storage.errors import ConfigurationError, choices, shown
from sightline.storage.interfaces import Pixels

ResizeMode = Literal["shortest", "longest", "squash"]
Interpolation = Literal["bicubic", "bilinear"]
Size = tuple[int, int]

#: Part of every fingerprint: raise it when the same picture would give other pixels.
_REVISION = 1
#: A picture more elongated than this is cut to its middle first: enlarging the short side of a
#: 1 x 100,000,000 strip to the model's size would take all memory.
_MAX_ASPECT = 64
_RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class Preprocess:
    """A picture to uint8 of shape (height, width, 3); picklable, and needs no torch.

    ``mean`` and ``std`` are per channel in 0..1; ``fill`` is the grey of padding, 0..255.
    """

    height: int
    width: int
    resize: ResizeMode = "shortest"
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = _CLIP_MEAN
    std: tuple[float, float, float] = _CLIP_STD
    fill: int = 0

    @classmethod
    def from_open_clip(cls, config: Mapping[str, Any]) -> Self:
        """From a ``preprocess_cfg``; missing keys take open_clip's defaults.

        Raises ConfigurationError for a mode that open_clip does not have either.
        """
        height, width = _pair(config.get("size", 224))
        resize = config.get("resize_mode") or "shortest"
        interpolation = config.get("interpolation") or "bicubic"
        if interpolation == "random":  # speaks of training; open_clip infers with bicubic then
            interpolation = "bicubic"
        return cls(
            height=height,
            width=width,
            resize=cast("ResizeMode", _one_of(get_args(ResizeMode), "resize_mode", resize)),
            interpolation=cast(
                "Interpolation", _one_of(get_args(Interpolation), "interpolation", interpolation)
            ),
            mean=_triple(config.get("mean") or _CLIP_MEAN),
            std=_triple(config.get("std") or _CLIP_STD),
            fill=int(config.get("fill_color") or 0),
        )

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of everything that decides which pixels the model sees."""
        text = json.dumps({"revision": _REVISION, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def __call__(self, image: Image.Image) -> Pixels:
        """Uint8 of shape (height, width, 3), RGB, of a picture in any mode and orientation."""
        picture = _without_extremes(upright_rgb(image))
        target = (self.height, self.width)
        resample = _RESAMPLING[self.interpolation]
        if self.resize == "squash":
            picture = _resized(picture, target, resample)
        elif self.resize == "longest":
            picture = _resized(picture, _kept_ratio(picture, target, longest=True), resample)
            picture = _cropped_or_padded(picture, target, self.fill)
        elif self.height == self.width:
            picture = _resized(picture, _shortest_edge(picture, self.height), resample)
            picture = _cropped_or_padded(picture, target, 0)
        else:
            # open_clip resizes to a target that is not square with bicubic, whatever is set.
            size = _kept_ratio(picture, target, longest=False)
            picture = _resized(picture, size, Image.Resampling.BICUBIC)
            picture = _cropped_or_padded(picture, target, 0)
        return np.asarray(picture, dtype=np.uint8)


def upright_rgb(image: Image.Image) -> Image.Image:
    """The picture as a person sees it: EXIF rotation applied, on white, 8-bit RGB."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        upright = _eight_bit(upright)
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        page = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        upright = Image.alpha_composite(page, layer)
    return upright.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """A grey picture of 16 or 32 bits by its high byte; one that stays within 0..255 as it is."""
    values = np.asarray(image).astype(np.float32)
    if values.max() > 255:
        values /= 257
    return Image.fromarray(np.clip(np.nan_to_num(values), 0, 255).astype(np.uint8))


def _without_extremes(image: Image.Image) -> Image.Image:
    width, height = image.size
    if max(width, height) <= _MAX_ASPECT * min(width, height):
        return image
    kept_width = min(width, height * _MAX_ASPECT)
    kept_height = min(height, width * _MAX_ASPECT)
    left, top = (width - kept_width) // 2, (height - kept_height) // 2
    return image.crop((left, top, left + kept_width, top + kept_height))


def _resized(image: Image.Image, size: Size, resample: Image.Resampling) -> Image.Image:
    height, width = size
    if image.size == (width, height):
        return image
    return image.resize((width, height), resample)


def _shortest_edge(image: Image.Image, edge: int) -> Size:
    """(height, width) with the shorter ``edge``; the longer rounds down, as in torchvision."""
    width, height = image.size
    if width <= height:
        return int(edge * height / width), edge
    return edge, int(edge * width / height)


def _kept_ratio(image: Image.Image, target: Size, *, longest: bool) -> Size:
    """(height, width) that just fits in ``target`` (longest) or just covers it."""
    width, height = image.size
    ratios = height / target[0], width / target[1]
    ratio = max(ratios) if longest else min(ratios)
    return max(1, round(height / ratio)), max(1, round(width / ratio))


def _cropped_or_padded(image: Image.Image, target: Size, fill: int) -> Image.Image:
    """The middle of the picture at exactly ``target`` (height, width)."""
    height, width = target
    missing_x, missing_y = max(0, width - image.width), max(0, height - image.height)
    if missing_x or missing_y:
        page = Image.new(
            "RGB", (image.width + missing_x, image.height + missing_y), (fill, fill, fill)
        )
        page.paste(image, (missing_x // 2, missing_y // 2))
        image = page
    if image.size == (width, height):
        return image
    top = round((image.height - height) / 2.0)
    left = round((image.width - width) / 2.0)
    return image.crop((left, top, left + width, top + height))


def _pair(size: int | Sequence[int]) -> Size:
    values = (size, size) if isinstance(size, int) else tuple(size)
    if len(values) == 1:
        values = (values[0], values[0])
    if len(values) != 2 or not all(isinstance(value, int) and value > 0 for value in values):
        msg = f"preprocess size {shown(size)} is not one or two positive numbers of pixels"
        raise ConfigurationError(msg)
    return values[0], values[1]


def _triple(value: float | Sequence[float]) -> tuple[float, float, float]:
    values = tuple(value) if isinstance(value, Sequence) else (value, value, value)
    if len(values) != 3:
        msg = f"preprocess mean and std take one or three numbers, not {shown(value)}"
        raise ConfigurationError(msg)
    return float(values[0]), float(values[1]), float(values[2])


def _one_of(allowed: tuple[str, ...], what: str, value: object) -> str:
    if value not in allowed:
        msg = f"preprocess {what} {shown(value)} is not known; there are: {choices(allowed)}"
        raise ConfigurationError(msg)
    return str(value)
