"""Turn a picture of any mode into upright 8-bit sRGB without transparency."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from PIL import ImageCms

Info = Mapping[Any, Any]

_ORIENTATION = 0x0112
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = (5, 6, 7, 8)
# Pillow and libheif turn these pictures by themselves, and keep the size upright from the start.
_TURNED_BY_DECODER = ("TIFF", "HEIF")

_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
_LEVELS = 1 << 16
# A picture that uses less of its range is stretched: nobody could see anything in it.
_MIN_USED_RANGE = 0.25
_OUTLIERS = 0.1  # percent at each end
_SAMPLE_EDGE = 512

_BACKGROUNDS = (255, 32, 128)  # white, almost black, gray
_SEEN_CONTRAST = 64  # of 255
_MAX_UNSEEN = 0.5
_ALPHA_EDGE = 128
_OPAQUE = 250

_MAX_PROFILE_BYTES = 4 << 20
_PROFILE_SPACES = {b"RGB ": ("RGB",), b"CMYK": ("CMYK",), b"GRAY": ("L",)}
_PQ, _HLG = 16, 18
_WIDE_PRIMARIES = (9, 12)  # BT.2020, Display P3
_ROWS_AT_ONCE = 256


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation that is still to be applied; 1 if missing or broken."""
    if image.format in _TURNED_BY_DECODER:
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - Pillow raises anything on hostile EXIF
        return 1
    return value if isinstance(value, int) else 1


def turned(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return the size of the upright image."""
    return (size[1], size[0]) if orientation in _SWAPS_SIDES else size


def is_reducible(image: Image.Image) -> bool:
    """Return whether a picture is a JPEG that may be reduced before `srgb_pixels`."""
    if image.format not in ("JPEG", "MPO"):
        return False
    return image.mode == "RGB" or (image.mode == "L" and not _other_profile(image.info))


def srgb_pixels(pixels: NDArray[np.uint8], info: Info) -> NDArray[np.uint8]:
    """Convert RGB, (height, width, 3), from the color profile of its picture."""
    if _other_profile(info) is None:
        return pixels
    return np.asarray(_to_srgb(Image.fromarray(pixels), info))


def flatten(image: Image.Image, orientation: int, size: tuple[int, int]) -> Image.Image:
    """Return the image upright, 8-bit sRGB without transparency.

    ``size`` bounds it before turning. Deep grays are scaled by content, colors are converted from
    the profile of the picture, and transparent parts get a background of good contrast.
    """
    info = image.info
    if image.mode in _DEEP_MODES:
        image = _eight_bit(image)
    elif image.has_transparency_data and image.mode not in _ALPHA_MODES:
        image = image.convert("RGBA")
    elif image.mode in ("P", "1"):
        image = image.convert("RGB" if image.mode == "P" else "L")
    # reducing_gap averages whole pixels first: a third of the time, and it looks as good.
    image.thumbnail(size, Image.Resampling.BILINEAR, reducing_gap=1.0)
    alpha = None
    if image.mode in _ALPHA_MODES:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    flat = _to_srgb(image, info)
    if alpha is not None:
        flat = _on_background(flat, alpha)
    if orientation in TRANSPOSE:
        flat = flat.transpose(TRANSPOSE[orientation])
    flat.info.clear()
    return flat


def _eight_bit(image: Image.Image) -> Image.Image:
    """Return a gray picture of 16 or 32 bits as 8 bits, scaled by its content."""
    values = np.asarray(image)
    step = max(1, max(values.shape) // _SAMPLE_EDGE)
    low, high = _black_and_white(values, values[::step, ::step])
    scale = 255 / (high - low)
    if values.dtype == np.uint16:
        levels = np.arange(_LEVELS, dtype=np.float32)
        return Image.fromarray(_rounded((levels - low) * scale)[values])
    rows = [
        _rounded((values[top : top + _ROWS_AT_ONCE].astype(np.float32) - low) * scale)
        for top in range(0, len(values), _ROWS_AT_ONCE)
    ]
    return Image.fromarray(np.concatenate(rows))


def _rounded(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    finite = np.nan_to_num(values, nan=0, posinf=255, neginf=0)
    return np.clip(np.round(finite), 0, 255).astype(np.uint8)


def _black_and_white(values: NDArray[Any], sample: NDArray[Any]) -> tuple[float, float]:
    """Return the values that become black and white.

    The range is that of the fewest bits that hold all values, such as 12 bits, or 0..1 for floats.
    The values themselves are the range if they use little of it.
    """
    finite = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample
    if finite.size == 0:
        return 0.0, 1.0
    everything = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    darkest, brightest = float(everything.min()), float(everything.max())
    low, high = (float(each) for each in np.percentile(finite, (_OUTLIERS, 100 - _OUTLIERS)))
    if low == high:  # a few marks on an even ground
        low, high = darkest, brightest
    if values.dtype.kind == "f":
        whole = 1.0 if darkest >= 0 and brightest <= 1 else 0.0
    else:
        whole = float((1 << int(max(high, 1)).bit_length()) - 1) if darkest >= 0 else 0.0
    if whole and (high == low or high - low >= _MIN_USED_RANGE * whole):
        return 0.0, whole
    return (low, high) if high > low else (low - 1, low + 1)


def _to_srgb(image: Image.Image, info: Info) -> Image.Image:
    """Return the picture in sRGB: HDR is tone-mapped, and profiles are applied."""
    coding = info.get("nclx_profile")
    coding = coding if isinstance(coding, dict) else {}
    transfer = int(coding.get("transfer_characteristics", 0))
    primaries = int(coding.get("color_primaries", 0))
    if transfer in (_PQ, _HLG) or (primaries in _WIDE_PRIMARIES and not info.get("icc_profile")):
        return _from_coded_colors(image.convert("RGB"), transfer, primaries)
    profile = _other_profile(info)
    if profile and image.mode in _PROFILE_SPACES.get(profile[16:20], ()):
        converted = _from_profile(image, profile)
        if converted is not None:
            return converted
    return image.convert("RGB")


def _from_coded_colors(image: Image.Image, transfer: int, primaries: int) -> Image.Image:
    from sightline.storage.ingest.decode.worker.media.video_picture import to_srgb

    values = np.asarray(image)
    rows = [
        to_srgb(values[top : top + _ROWS_AT_ONCE].astype(np.uint16) * 257, transfer, primaries)
        for top in range(0, len(values), _ROWS_AT_ONCE)
    ]
    return Image.fromarray(np.concatenate(rows))


def _from_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    from PIL import ImageCms

    try:
        return ImageCms.applyTransform(image, _transform(profile, image.mode))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None  # broken: the numbers are taken as sRGB, as viewers do


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    """Return the conversion to sRGB. The pictures of a camera share their profile."""
    from PIL import ImageCms

    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")


def _other_profile(info: Info) -> bytes | None:
    """Return the color profile unless it is sRGB, or too large to be true."""
    profile = info.get("icc_profile")
    if not isinstance(profile, bytes) or not 132 <= len(profile) <= _MAX_PROFILE_BYTES:
        return None
    return None if _is_srgb(profile) else profile


def _is_srgb(profile: bytes) -> bool:
    for name, offset, length in _profile_tags(profile):
        if name == b"desc":
            text = profile[offset : offset + min(length, 1000)].replace(b"\0", b"")
            return b"sRGB" in text or text.endswith((b"c2", b"uRGB"))
    return False


def _profile_tags(profile: bytes) -> Iterator[tuple[bytes, int, int]]:
    (count,) = struct.unpack_from(">I", profile, 128)
    for index in range(min(count, 100)):
        at = 132 + 12 * index
        if at + 12 > len(profile):
            return
        yield struct.unpack_from(">4sII", profile, at)


def _on_background(flat: Image.Image, alpha: Image.Image) -> Image.Image:
    background = _background(flat, alpha)
    canvas = Image.new("RGB", flat.size, (background,) * 3)
    canvas.paste(flat, mask=alpha)
    return canvas


def _background(flat: Image.Image, alpha: Image.Image) -> int:
    """Return the gray behind a picture: white, unless most of it is too bright."""
    if int(np.asarray(alpha).min()) >= _OPAQUE:
        return _BACKGROUNDS[0]
    step = max(1, max(flat.size) // _SAMPLE_EDGE)
    small = flat.reduce(step) if step > 1 else flat
    mask = alpha.reduce(step) if step > 1 else alpha
    visible = np.asarray(small.convert("L"), np.int16)[np.asarray(mask) >= _ALPHA_EDGE // 2]
    if visible.size == 0:
        return _BACKGROUNDS[0]
    unseen = [float((np.abs(visible - gray) < _SEEN_CONTRAST).mean()) for gray in _BACKGROUNDS]
    return _BACKGROUNDS[0] if unseen[0] < _MAX_UNSEEN else _BACKGROUNDS[int(np.argmin(unseen))]
