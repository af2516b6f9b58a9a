"""Errors of images say what they are about, and advise what helps."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from sightline.storage.blobs import BlobStore
from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.image_decoder import ImageDecoder
from sightline.tools.shared.image_loading import load_external, render_asset


@pytest.fixture
async def deps(tmp_path: Path) -> AsyncIterator[Any]:
    decoder = ImageDecoder(max_pixels=10_000, memory_mib=4096, timeout_seconds=60, workers=1)
    yield SimpleNamespace(decoder=decoder, blobs=BlobStore(tmp_path / "data"))
    await decoder.close()


def stored(blobs: BlobStore) -> Any:
    content = io.BytesIO()
    Image.effect_noise((90, 90), 80).save(content, "PNG")
    location = blobs.put(content.getvalue())
    sha256 = bytes.fromhex(location.removeprefix("object:"))
    return SimpleNamespace(location=location, sha256=sha256, source="a.png")


async def test_a_path_that_cannot_be_opened_is_an_error_of_the_file(
    deps: Any, tmp_path: Path
) -> None:
    with pytest.raises(MediaError, match=r"^The file cannot be opened: .*\. Give a whole JPEG"):
        await load_external(deps, str(tmp_path / "gone.png"), max_edge=50)


async def test_a_picture_that_does_not_fit_is_no_error_of_the_file(deps: Any) -> None:
    with pytest.raises(MediaError, match=r"^The picture does not fit in 100 bytes\.$") as raised:
        await render_asset(deps, stored(deps.blobs), max_edge=50, max_bytes=100)
    assert raised.value.code == "result_too_large"


async def test_a_stored_file_that_is_gone_is_named(deps: Any) -> None:
    asset = stored(deps.blobs)
    deps.blobs.discard([asset.location])
    with pytest.raises(MediaError, match=r"^a\.png no longer exists\. Restore it"):
        await render_asset(deps, asset, max_edge=50, max_bytes=9_000)
