"""Image preprocessing for encoders, without torch. Runs in worker processes.

For upright RGB images the result equals open_clip's, bit for bit, before normalization; the
encoder normalizes whole batches. Three differences: EXIF rotation is applied, transparent pixels
become white, and 16-bit scans keep their high byte (Pillow would clip them to white).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
from PIL import Image, ImageOps

from sightline.storage.errors import ConfigurationError, choices, shown
from sightline.storage.interfaces import Pixels

ResizeMode = Literal["shortest", "longest", "squash"]
Interpolation = Literal["bicubic", "bilinear"]
Size = tuple[int, int]

#: Part of every fingerprint. Increase it when the same image would give different pixels.
_REVISION = 1
#: Longer images are cropped to their center first: resizing a 1 x 100,000,000 strip by its short
#: side would use all memory.
_MAX_ASPECT = 64
_RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
#: Numbers of Pillow's filters, which transformers writes.
_PILLOW_BICUBIC = 3
_PILLOW: Mapping[int, Interpolation] = {2: "bilinear", _PILLOW_BICUBIC: "bicubic"}
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Converts an image to uint8 of shape (height, width, 3). Picklable.

    ``mean`` and ``std`` are per channel, 0..1. ``fill`` is the gray level of padding, 0..255.
    """

    height: int
    width: int
    resize: ResizeMode = "shortest"
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = _CLIP_MEAN
    std: tuple[float, float, float] = _CLIP_STD
    fill: int = 0
    #: Crops half a pixel further up and left, as transformers does; open_clip rounds to even.
    floors_crop: bool = False

    @classmethod
    def from_open_clip(cls, config: Mapping[str, Any]) -> Self:
        """Create it from a ``preprocess_cfg`` with open_clip's defaults.

        Raises ConfigurationError for a mode that open_clip does not have.
        """
        height, width = _height_width(config.get("size", 224))
        if config.get("interpolation") == "random":  # open_clip then infers with bicubic
            config = {**config, "interpolation": "bicubic"}
        return cls(
            height=height,
            width=width,
            resize=_option(config, "resize_mode", ResizeMode, "shortest"),
            interpolation=_option(config, "interpolation", Interpolation, "bicubic"),
            mean=_per_channel(config.get("mean") or _CLIP_MEAN),
            std=_per_channel(config.get("std") or _CLIP_STD),
            fill=int(config.get("fill_color") or 0),
        )

    @classmethod
    def from_transformers(cls, config: Mapping[str, Any]) -> Self:
        """Create it from a ``preprocessor_config.json``.

        Raises ConfigurationError for a step that Sightline does not have.
        """
        if "image_mean" not in config and "mean" in config:  # jina-clip has open_clip's keys
            return cls.from_open_clip(config)
        size = config.get("size", 224)
        crop = config.get("crop_size", size) if config.get("do_center_crop") else None
        edge = size.get("shortest_edge") if isinstance(size, Mapping) else size
        # A number is the short edge if a crop follows, else both edges.
        if isinstance(edge, int) and (crop is not None or isinstance(size, Mapping)):
            resize: ResizeMode = "shortest"
            target = _transformers_size(edge if crop is None else crop)
            if min(target) != edge:
                raise ConfigurationError(f"Cannot crop {target} from images with edge {edge}.")
        else:
            resize, target = "squash", _transformers_size(size)
        resample = config.get("resample", _PILLOW_BICUBIC)
        if resample not in _PILLOW or not config.get("do_resize", True):
            raise ConfigurationError(
                f"Unknown preprocess resample {shown(resample)}. Available: "
                f"{choices(map(str, _PILLOW))}."
            )
        normalizes = config.get("do_normalize", True)
        return cls(
            height=target[0],
            width=target[1],
            resize=resize,
            interpolation=_PILLOW[resample],
            mean=_per_channel(config.get("image_mean", _CLIP_MEAN) if normalizes else 0.0),
            std=_per_channel(config.get("image_std", _CLIP_STD) if normalizes else 1.0),
            floors_crop=True,
        )

    @property
    def fingerprint(self) -> str:
        """Return the hexadecimal SHA-256 of all parameters that change the pixels."""
        values = asdict(self)
        if not self.floors_crop:
            del values["floors_crop"]  # as it was before it existed
        text = json.dumps({"revision": _REVISION, **values}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def __call__(self, image: Image.Image) -> Pixels:
        """Return uint8 RGB of shape (height, width, 3) for an image of any mode."""
        result = _crop_extreme_aspect(upright_rgb(image))
        target = (self.height, self.width)
        resample, fill = _RESAMPLING[self.interpolation], 0
        if self.resize == "squash":
            size = target
        elif self.resize == "longest":
            size, fill = _scaled_size(result, target, longest=True), self.fill
        elif self.height == self.width:
            size = _short_edge_size(result, self.height)
        else:
            # open_clip always uses bicubic for a target that is not square.
            size, resample = _scaled_size(result, target, longest=False), _RESAMPLING["bicubic"]
        if result.size != size[::-1]:
            result = result.resize(size[::-1], resample)
        return np.asarray(
            _crop_or_pad(result, target, fill, floors=self.floors_crop), dtype=np.uint8
        )


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return the image as 8-bit RGB, upright, with transparent pixels in white."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        upright = _to_eight_bit(upright)
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        canvas = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        upright = Image.alpha_composite(canvas, layer)
    return upright.convert("RGB")


def _to_eight_bit(image: Image.Image) -> Image.Image:
    """Convert a 16 or 32-bit gray image to 8 bits; keep values within 0..255."""
    values = np.asarray(image).astype(np.float32)
    if values.max() > 255:
        values /= 257
    return Image.fromarray(np.clip(np.nan_to_num(values), 0, 255).astype(np.uint8))


def _crop_extreme_aspect(image: Image.Image) -> Image.Image:
    width, height = image.size
    if max(width, height) <= _MAX_ASPECT * min(width, height):
        return image
    crop_width = min(width, height * _MAX_ASPECT)
    crop_height = min(height, width * _MAX_ASPECT)
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    return image.crop((left, top, left + crop_width, top + crop_height))


def _short_edge_size(image: Image.Image, edge: int) -> Size:
    """Return (height, width) for a short edge; rounds down like torchvision."""
    width, height = image.size
    if width <= height:
        return int(edge * height / width), edge
    return edge, int(edge * width / height)


def _scaled_size(image: Image.Image, target: Size, *, longest: bool) -> Size:
    """Return the (height, width) that fits in ``target`` (longest) or covers it."""
    width, height = image.size
    ratios = height / target[0], width / target[1]
    ratio = max(ratios) if longest else min(ratios)
    return max(1, round(height / ratio)), max(1, round(width / ratio))


def _crop_or_pad(image: Image.Image, target: Size, fill: int, *, floors: bool) -> Image.Image:
    """Crop or pad the image around its center to ``target`` (height, width)."""
    height, width = target
    pad_x, pad_y = max(0, width - image.width), max(0, height - image.height)
    if pad_x or pad_y:
        canvas = Image.new("RGB", (image.width + pad_x, image.height + pad_y), (fill, fill, fill))
        canvas.paste(image, (pad_x // 2, pad_y // 2))
        image = canvas
    if image.size == (width, height):
        return image
    top, left = (image.height - height) / 2, (image.width - width) / 2
    top, left = (int(top), int(left)) if floors else (round(top), round(left))
    return image.crop((left, top, left + width, top + height))


def _height_width(size: int | Sequence[int]) -> Size:
    values = [size] if isinstance(size, int) else [*size]
    if len(values) not in (1, 2) or not all(isinstance(each, int) and each > 0 for each in values):
        raise ConfigurationError(
            f"The preprocess size {shown(size)} is not one or two positive numbers of pixels."
        )
    return values[0], values[-1]


def _transformers_size(size: object) -> Size:
    """Return (height, width) of ``{"height": 224, "width": 224}`` or of a number."""
    if isinstance(size, Mapping):
        size = [size.get("height"), size.get("width")]
    return _height_width(size if isinstance(size, list) else [size, size])  # type: ignore[list-item]


def _per_channel(value: float | Sequence[float]) -> tuple[float, float, float]:
    values = [*value] if isinstance(value, Sequence) else [value] * 3
    if len(values) != 3:
        raise ConfigurationError(
            f"preprocess mean and std take one or three numbers, not {shown(value)}."
        )
    return float(values[0]), float(values[1]), float(values[2])


def _option(config: Mapping[str, Any], name: str, literal: Any, default: str) -> Any:
    """Return the value of ``name``, which must be one of a ``Literal`` type."""
    value = config.get(name) or default
    if value not in get_args(literal):
        raise ConfigurationError(
            f"Unknown preprocess {name} {shown(value)}. Available: {choices(get_args(literal))}."
        )
    return value
