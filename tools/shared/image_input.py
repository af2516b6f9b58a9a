"""Resolve an image argument: an asset id, a data URL, or an allowed path."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import anyio.to_thread
from PIL import Image

from sightline.storage.errors import InvalidArgumentError, NotAllowedError, shown
from sightline.storage.ingest.decode.image_decoder import DecodedImage
from sightline.storage.ingest.decode.render.view_geometry import crop_pixels
from sightline.storage.records import assets
from sightline.storage.types import ASSET_ID, Box
from sightline.tools.shared import images
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.image_loading import image_memory, load_asset, load_external

_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
#: Encoders use less, and one call may name many large images.
EXAMPLE_EDGE_PIXELS = 1024
_MIN_EDGE_PIXELS = 8
_MAX_HINT_CHARS = 100


def example_memory(
    deps: Dependencies, references: Iterable[str], *, has_crop: bool
) -> AbstractAsyncContextManager[None]:
    """Hold the memory of the images that a search loads; asset ids need none."""
    stored = [ASSET_ID.fullmatch(each) for each in references]
    return image_memory(deps, *[EXAMPLE_EDGE_PIXELS] * (stored.count(None) + has_crop))


async def resolve_example(deps: Dependencies, reference: str) -> str | Image.Image:
    """Return an asset id, or the reduced upright image of a URL or path.

    Raises InvalidArgumentError, NotAllowedError or MediaError. No error reveals whether a file
    outside the allowed folders exists.
    """
    if ASSET_ID.fullmatch(reference):
        return reference
    return (await _load_external(deps, reference)).image


async def resolve_examples(
    deps: Dependencies, references: Iterable[str]
) -> tuple[str | Image.Image, ...]:
    return tuple([await resolve_example(deps, reference) for reference in references])


async def resolve_crop(
    deps: Dependencies, reference: str, region: list[float]
) -> tuple[Image.Image, str | None, Box]:
    """Return the part inside ``region``, its asset id, and the valid box.

    Raises the errors of `resolve_example`, and InvalidArgumentError for an invalid or tiny box.
    """
    box = images.parse_box(region)
    if not ASSET_ID.fullmatch(reference):
        loaded = await _load_external(deps, reference, box)
        _check_size(loaded.source_size, box, region)
        return loaded.image, None, box
    async with deps.connection() as connection:
        asset = await assets.fetch_one(connection, reference)
    _check_size((asset.width, asset.height), box, region)
    part = await load_asset(deps, asset, crop=box, max_edge=EXAMPLE_EDGE_PIXELS)
    return part, reference, box


def _check_size(size: tuple[int, int], box: Box, region: list[float]) -> None:
    left, top, right, bottom = crop_pixels(size, box)
    if min(right - left, bottom - top) < _MIN_EDGE_PIXELS:
        raise InvalidArgumentError(
            f"The region {shown(region)} has only {right - left} x {bottom - top} pixels of an "
            f"image of {size[0]} x {size[1]}. Use at least {_MIN_EDGE_PIXELS} x "
            f"{_MIN_EDGE_PIXELS}."
        )


async def _load_external(
    deps: Dependencies, reference: str, crop: Box | None = None
) -> DecodedImage:
    source: bytes | str
    if header := _DATA_URL.match(reference[:100]):
        source = decode_upload(reference[header.end() :], max_bytes=deps.limits.max_upload_bytes)
    elif "://" in reference[:20] or reference.startswith("data:"):
        raise InvalidArgumentError(
            f"{shown(reference[:80])} is not an image reference. Give the asset id of a hit, a "
            "data URL (data:image/...;base64,...), or a file path. URLs are not fetched."
        )
    else:
        # The worker opens it, and refuses a path that has become a link since.
        source = str(await anyio.to_thread.run_sync(resolve_allowed, deps, reference))
    return await load_external(deps, source, crop=crop, max_edge=EXAMPLE_EDGE_PIXELS)


def decode_upload(encoded: str, *, max_bytes: int) -> bytes:
    """Decode base64 text. Raises InvalidArgumentError if it is invalid or too long."""
    if len(encoded) > max_bytes * 4 // 3 + 4:
        raise InvalidArgumentError(
            f"The upload is larger than {max_bytes:,} bytes. Send a smaller image, or put the file "
            "under an allowed folder and give its path."
        )
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgumentError(f"The upload is not base64: {error}") from error


def resolve_allowed(deps: Dependencies, path: str) -> Path:
    """Return the real path of a file under an allowed folder.

    Links are resolved first, so neither ``..`` nor a link escapes. Raises NotAllowedError with the
    same message whether or not the path exists. Only the operator may know the folders.
    """
    file = {"file_name": path.replace("\\", "/").rpartition("/")[2][:_MAX_HINT_CHARS]}
    hint = (
        "For an image of a collection, give its asset id: the `asset` of a hit, such as of "
        f"search_images with the filters {shown(file)}."
    )
    if not deps.allowed_roots:
        raise NotAllowedError(
            f"{shown(path)} was not opened: this server reads no files by path. Set "
            f"SIGHTLINE_ALLOWED_ROOTS to the folders that it may read, or send a data URL. {hint}"
        )
    real = None
    with suppress(OSError, RuntimeError, ValueError):  # ValueError: NUL or a lone surrogate
        real = Path(path).expanduser().resolve(strict=True)
    if real is None or not any(real.is_relative_to(root) for root in deps.allowed_roots):
        raise NotAllowedError(
            f"{shown(path)} is not a file under the folders that this server may read. Ask its "
            f"operator for them (SIGHTLINE_ALLOWED_ROOTS), or send a data URL. {hint}",
            details=", ".join(map(str, deps.allowed_roots)),
        )
    return real
