"""Pictures that a caller names: an asset id, a data URL, or a path under an allowed root."""

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
from sightline.tools.shared import images
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.view_image import load_picture

_ASSET_ID = re.compile(r"[0-9a-z]{12}")
_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
_URI = "sightline://asset/"
#: No encoder sees more of an example, and a call may name many, each as large as a picture may be.
_EXAMPLE_EDGE_PIXELS = 1024
_LEAST_EDGE_PIXELS = 8


async def example(deps: Dependencies, reference: str) -> str | Image.Image:
    """An asset's id, or what picture a data URL or an allowed path holds, upright and not large.

    Raises InvalidArgumentError, NotAllowedError or MediaError; none of them tells whether a file
    outside the allowed roots exists.
    """
    reference = reference.strip().removeprefix(_URI)
    if _ASSET_ID.fullmatch(reference):
        return reference
    return await _opened(deps, await _bytes_of(deps, reference), edge=_EXAMPLE_EDGE_PIXELS)


async def _bytes_of(deps: Dependencies, reference: str) -> bytes:
    """What a data URL or an allowed path holds."""
    header = _DATA_URL.match(reference[:100])
    if header:
        return decode_upload(reference[header.end() :], most_bytes=deps.limits.upload_bytes)
    if "://" in reference[:20] or reference.startswith("data:"):
        raise InvalidArgumentError(
            f"{shown(reference[:80])} is not a picture that can be opened: give an asset id, a "
            "data URL (data:image/...;base64,...), or a file path; addresses are not fetched"
        )
    return await anyio.to_thread.run_sync(read_allowed, deps, reference)


async def _opened(deps: Dependencies, data: bytes, *, edge: int | None) -> Image.Image:
    async with deps.picture_threads:
        return await images.open_hostile(deps.decoder, data, edge=edge)


async def part_of(
    deps: Dependencies, reference: str, region: list[float]
) -> tuple[Image.Image, str | None, images.Crop]:
    """The part of the picture inside ``region``, the asset that it was cut from, the checked box.

    Raises as `example` does, and InvalidArgumentError for what is no box inside the picture or has
    too few pixels to be compared with anything.
    """
    box = images.parse_crop(region)
    reference = reference.strip().removeprefix(_URI)
    if _ASSET_ID.fullmatch(reference):
        database = await deps.database.get()
        async with database.connection() as connection:
            asset = await assets.fetch_one(connection, reference)
        whole = await load_picture(deps, asset)
    else:
        whole = await _opened(deps, await _bytes_of(deps, reference), edge=None)

    def cut() -> Image.Image:
        part = images.crop(whole, box)
        if min(part.size) < _LEAST_EDGE_PIXELS:
            raise InvalidArgumentError(
                f"the region {shown(region)} has {part.width} x {part.height} pixels of a picture "
                f"of {whole.width} x {whole.height}; a part to search by takes at least "
                f"{_LEAST_EDGE_PIXELS} x {_LEAST_EDGE_PIXELS}"
            )
        part.thumbnail((2 * _EXAMPLE_EDGE_PIXELS, 2 * _EXAMPLE_EDGE_PIXELS))
        return part

    part = await anyio.to_thread.run_sync(cut, limiter=deps.picture_threads)
    return part, reference if _ASSET_ID.fullmatch(reference) else None, box


async def examples(deps: Dependencies, references: Iterable[str]) -> tuple[str | Image.Image, ...]:
    """`example` of each, in order."""
    return tuple([await example(deps, reference) for reference in references])


def decode_upload(encoded: str, *, most_bytes: int) -> bytes:
    """Bytes of base64 text; raises InvalidArgumentError where it is none or too long."""
    if len(encoded) > most_bytes * 4 // 3 + 4:
        raise InvalidArgumentError(
            f"the upload is larger than {most_bytes:,} bytes; send a smaller picture, or put the "
            "file under an allowed root and give its path"
        )
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgumentError(f"the upload is not base64: {error}") from error


def resolve_allowed(deps: Dependencies, path: str) -> Path:
    """The real path of a file under an allowed root.

    Links are followed first, so that neither ``..`` nor a link leads out. Raises NotAllowedError,
    in the same words whether or not anything stands at the path.
    """
    if not deps.allowed_roots:
        raise NotAllowedError(
            f"{shown(path)} was not opened: this server reads no files by path. Set "
            "SIGHTLINE_ALLOWED_ROOTS to the folders that it may read, or send a data URL"
        )
    refusal = NotAllowedError(
        f"{shown(path)} is not a file under the folders that this server may read: "
        + ", ".join(str(root) for root in deps.allowed_roots)
    )
    if "\0" in path:
        raise refusal
    try:
        real = Path(path).expanduser().resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:  # the last for half a surrogate pair
        raise refusal from error
    if not any(real.is_relative_to(root.resolve()) for root in deps.allowed_roots):
        raise refusal
    return real


def read_allowed(deps: Dependencies, path: str) -> bytes:
    """Bytes of a regular file under an allowed root, up to the limit on picture files."""
    real = resolve_allowed(deps, path)
    if not real.is_file():
        raise NotAllowedError(f"{shown(path)} is not a regular file")
    with real.open("rb") as file:
        data = file.read(deps.limits.picture_bytes + 1)
    if len(data) > deps.limits.picture_bytes:
        raise InvalidArgumentError(
            f"{shown(path)} is larger than {deps.limits.picture_bytes:,} bytes"
        )
    return data
