"""Resolve an image argument: an asset id, a data URL, or an allowed path."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from pathlib import Path

import anyio.to_thread
from PIL import Image

from sightline.storage.errors import InvalidArgumentError, NotAllowedError, shown
from sightline.storage.records import assets
from sightline.storage.types import ASSET_ID, Box
from sightline.tools.shared import images
from sightline.tools.shared.dependencies import Dependencies

_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
_ASSET_URI = "sightline://asset/"
#: Encoders use less, and one call may name many large images.
_EXAMPLE_EDGE_PIXELS = 1024
_MIN_EDGE_PIXELS = 8


async def resolve_example(deps: Dependencies, reference: str) -> str | Image.Image:
    """Return an asset id, or the reduced upright image of a URL or path.

    Raises InvalidArgumentError, NotAllowedError or MediaError. No error reveals whether a file
    outside the allowed folders exists.
    """
    reference = reference.strip().removeprefix(_ASSET_URI)
    if ASSET_ID.fullmatch(reference):
        return reference
    return await _load_external(deps, reference, edge=_EXAMPLE_EDGE_PIXELS)


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
    reference = reference.strip().removeprefix(_ASSET_URI)
    asset_id = reference if ASSET_ID.fullmatch(reference) else None
    if asset_id is not None:
        async with deps.connection() as connection:
            asset = await assets.fetch_one(connection, asset_id)
        image = await images.load_image(deps, asset)
    else:
        image = await _load_external(deps, reference, edge=None)

    def cut() -> Image.Image:
        part = images.crop(image, box)
        if min(part.size) < _MIN_EDGE_PIXELS:
            raise InvalidArgumentError(
                f"The region {shown(region)} has only {part.width} x {part.height} pixels of an "
                f"image of {image.width} x {image.height}. Use at least {_MIN_EDGE_PIXELS} x "
                f"{_MIN_EDGE_PIXELS}."
            )
        part.thumbnail((2 * _EXAMPLE_EDGE_PIXELS, 2 * _EXAMPLE_EDGE_PIXELS))
        return part

    return await anyio.to_thread.run_sync(cut, limiter=deps.image_threads), asset_id, box


async def _load_external(deps: Dependencies, reference: str, *, edge: int | None) -> Image.Image:
    if header := _DATA_URL.match(reference[:100]):
        data = decode_upload(reference[header.end() :], max_bytes=deps.limits.max_upload_bytes)
    elif "://" in reference[:20] or reference.startswith("data:"):
        raise InvalidArgumentError(
            f"{shown(reference[:80])} is not an image reference. Give an asset id, a data URL "
            "(data:image/...;base64,...), or a file path. URLs are not fetched."
        )
    else:
        data = await anyio.to_thread.run_sync(_read_allowed, deps, reference)
    async with deps.image_threads:
        return await images.decode_untrusted(deps.decoder, data, edge=edge)


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
    same message whether or not the path exists.
    """
    if not deps.allowed_roots:
        raise NotAllowedError(
            f"{shown(path)} was not opened: this server reads no files by path. Set "
            "SIGHTLINE_ALLOWED_ROOTS to the folders that it may read, or send a data URL."
        )
    refusal = NotAllowedError(
        f"{shown(path)} is not a file under the folders that this server may read: "
        + ", ".join(str(root) for root in deps.allowed_roots)
    )
    if "\0" in path:
        raise refusal
    try:
        real = Path(path).expanduser().resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:  # ValueError: a lone surrogate
        raise refusal from error
    if not any(real.is_relative_to(root.resolve()) for root in deps.allowed_roots):
        raise refusal
    return real


def _read_allowed(deps: Dependencies, path: str) -> bytes:
    real = resolve_allowed(deps, path)
    if not real.is_file():
        raise NotAllowedError(f"{shown(path)} is not a regular file.")
    max_bytes = deps.limits.max_image_bytes
    with real.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise InvalidArgumentError(f"{shown(path)} is larger than {max_bytes:,} bytes.")
    return data
