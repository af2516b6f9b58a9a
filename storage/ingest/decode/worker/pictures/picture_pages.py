"""Find the pages of a TIFF and the frames of an animation."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.pictures.open_picture import check_size
from sightline.storage.ingest.decode.worker.pictures.rgb_picture import flatten, orientation_of

_ANIMATED_FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
_SUBFILE_TYPE, _REDUCED, _MASK = 254, 1, 4
_FEW_FRAMES = 32  # of so few, each that differs is kept
_MAX_FRAMES_SEEN = 5_000
_COMPARE_SIZE = (64, 64)
_MIN_DIFFERENCE = 24  # of 255
_CHANGED_SHARE, _NEW_SCENE_SHARE = 0.005, 0.35
_MIN_SPACING_SECONDS = 0.5
_DEFAULT_MILLISECONDS = 100

SmallFrame = NDArray[np.int16]


def tiff_pages(image: Image.Image, max_pages: int) -> list[int]:
    """Return the indexes of the pages of a TIFF, without previews and masks.

    Raises MediaError ``too_many_pages``. Directories that cannot be read end the file.
    """
    if image.format != "TIFF":
        return []
    pages: list[int] = []
    for index in range(4 * max_pages + 1):
        try:
            image.seek(index)
        except Exception:  # noqa: BLE001 - also EOFError at the end; Pillow raises anything
            break
        kind = getattr(image, "tag_v2", {}).get(_SUBFILE_TYPE, 0)
        if not (isinstance(kind, int) and kind & (_REDUCED | _MASK)):
            pages.append(index)
        if len(pages) > max_pages:
            raise MediaError("too_many_pages", f"has more than {max_pages:,} pages, the limit")
    image.seek(pages[0] if pages else 0)
    return pages


def is_animation(image: Image.Image) -> bool:
    """Return whether a file has several frames.

    Those of HEIC and MPO are other pictures.
    """
    return image.format in _ANIMATED_FORMATS and bool(getattr(image, "is_animated", False))


def new_frames(
    image: Image.Image, max_pixels: int, report_alive: Callable[[], None]
) -> Iterator[tuple[float, Image.Image]]:
    """Yield the seconds and the upright RGB of each frame that shows something new.

    All that differ of a short animation; of a long one at most one in half a second, and new
    scenes. A broken frame raises errors of decoders.
    """
    has_few = not _has_frame(image, _FEW_FRAMES)
    orientation = orientation_of(image)
    seconds, kept_at = 0.0, 0.0
    kept: SmallFrame | None = None
    for index in range(_MAX_FRAMES_SEEN):
        report_alive()
        try:
            image.seek(index)
        except EOFError:
            return
        check_size(image.size, max_pixels)
        small = _small(image)
        duration = image.info.get("duration") or _DEFAULT_MILLISECONDS  # some know it only now
        if kept is None:
            is_new = True
        else:
            share = float((np.abs(small - kept) > _MIN_DIFFERENCE).any(axis=2).mean())
            is_spaced = has_few or seconds - kept_at >= _MIN_SPACING_SECONDS
            is_new = share >= (_CHANGED_SHARE if is_spaced else _NEW_SCENE_SHARE)
        if is_new:
            kept, kept_at = small, seconds
            yield round(seconds, 3), flatten(image.copy(), orientation, image.size)
        seconds += max(0.0, float(duration)) / 1000
    raise ValueError(f"has more than {_MAX_FRAMES_SEEN:,} frames, the limit")


def _has_frame(image: Image.Image, index: int) -> bool:
    try:
        image.seek(index)
    except EOFError:
        return False
    finally:
        image.seek(0)
    return True


def _small(image: Image.Image) -> SmallFrame:
    small = image.convert("RGBA").resize(_COMPARE_SIZE, Image.Resampling.BOX)
    return np.asarray(small, np.int16)
