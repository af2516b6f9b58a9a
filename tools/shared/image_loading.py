"""Load and render images in worker processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from PIL import Image

from sightline.storage.blobs import BlobStore
from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.image_decoder import (
    DecodedImage,
    DocumentPage,
    ImageDecoder,
)
from sightline.storage.ingest.decode.render.overlays import BoxOverlay, Style
from sightline.storage.ingest.decode.worker.worker_protocol import BlobSource
from sightline.storage.records.assets import Asset, AssetTextLine
from sightline.storage.records.source_text import fetch_document
from sightline.storage.types import Box
from sightline.tools.shared.dependencies import Dependencies, principal
from sightline.tools.shared.images import FORMATS, EncodedImage

_RGB_BYTES: Final = 3
#: A crop is enlarged to this, so that vision models read small print.
CROP_EDGE_PIXELS: Final = 768
#: Errors of documents whose pages cannot be rendered again, for the note.
_DOCUMENT_ERRORS: Final = {
    "missing": "no longer exists",
    "changed": "has changed since ingest",
    "timeout": "takes too long to render",
}
#: Errors of the blob store and of the picture that we draw: they say what they are about.
_BLOB_CODES: Final = frozenset(
    {"missing", "unreadable", "changed", "too_large", "result_too_large"}
)


async def load_asset(
    deps: Dependencies, asset: Asset, *, max_edge: int, crop: Box | None = None
) -> Image.Image:
    """Return the upright image of an asset, or its part inside ``crop``, reduced.

    The file is verified against the ingested bytes. Raises MediaError if it has changed or is gone.
    """
    with _explain_errors(_BLOB_CODES):
        loaded = await deps.decoder.load(
            blob_source(deps.blobs, asset), principal=principal(), crop=crop, max_edge=max_edge
        )
    return loaded.image


async def load_whole(decoder: ImageDecoder, blobs: BlobStore, asset: Asset) -> Image.Image:
    """Return the whole upright image of an asset, for commands of the operator."""
    with _explain_errors(_BLOB_CODES):
        return (await decoder.load(blob_source(blobs, asset))).image


async def load_external(
    deps: Dependencies, source: bytes | str, *, max_edge: int, crop: Box | None = None
) -> DecodedImage:
    """Load a caller's image: bytes, or the real path of an allowed file."""
    with _explain_errors():
        return await deps.decoder.load(source, principal=principal(), crop=crop, max_edge=max_edge)


async def render_asset(
    deps: Dependencies,
    asset: Asset,
    *,
    max_edge: int,
    max_bytes: int | None = None,
    crop: Box | None = None,
    overlays: Sequence[BoxOverlay] = (),
    style: Style = "box",
) -> EncodedImage:
    """Return a JPEG of an asset, or its part inside ``crop``, with boxes.

    A small part is enlarged; that of a page is rendered from its document at the needed resolution.
    ``overlays`` are boxes of the whole image, drawn at the final size, so that lines stay sharp.
    Raises MediaError.
    """
    page = None if crop is None else await _document_page(deps, asset)
    with _explain_errors(_BLOB_CODES):
        jpeg = await deps.decoder.render(
            blob_source(deps.blobs, asset),
            max_edge=max_edge,
            max_bytes=deps.limits.max_inline_bytes if max_bytes is None else max_bytes,
            principal=principal(),
            crop=crop,
            overlays=overlays,
            style=style,
            min_edge=0 if crop is None else CROP_EDGE_PIXELS,
            page=page,
        )
    note = None
    if jpeg.document_error is not None:
        reason = _DOCUMENT_ERRORS.get(jpeg.document_error, "cannot be rendered again")
        note = f"The document {reason}: its stored page picture was enlarged, without more detail."
    return EncodedImage(jpeg.data, "image/jpeg", jpeg.width, jpeg.height, note)


async def load_text_lines(
    deps: Dependencies, asset: Asset, stored: Sequence[AssetTextLine]
) -> Sequence[AssetTextLine]:
    """Return the stored text of an asset, and the lines of the text layer of a page.

    Lines of a text layer are read from the document, because only its paragraphs are stored. If
    that fails, there are none.
    """
    page = None
    if any(line.paragraph_box for line in stored):
        page = await _document_page(deps, asset)
    if page is None:
        return stored
    try:
        lines = await deps.decoder.text_lines(page, principal=principal())
    except MediaError:
        return stored
    return [*(AssetTextLine(text, box) for text, box in lines), *stored]


@asynccontextmanager
async def image_memory(deps: Dependencies, *edges: int) -> AsyncIterator[None]:
    """Hold the memory of square images with these edges, as long as a call keeps them.

    Raises ModelOverloadedError if too many calls of the principal wait for it.
    """
    count = sum(_RGB_BYTES * edge * edge for edge in edges)
    async with deps.decoder.memory.hold(principal(), count):
        yield


def blob_source(blobs: BlobStore, asset: Asset) -> BlobSource:
    """Return where a worker finds the bytes of an asset."""
    return BlobSource(str(blobs.data_dir), asset.location, asset.sha256.hex(), asset.source)


async def _document_page(deps: Dependencies, asset: Asset) -> DocumentPage | None:
    """Return the page of the document that an asset shows, None for another asset."""
    if asset.page is None:
        return None
    async with deps.connection() as connection:
        document = await fetch_document(connection, asset.source_id)
    if document is None:
        return None
    place = (str(deps.blobs.data_dir), document.location, document.sha256.hex(), asset.source)
    return DocumentPage(BlobSource(*place), asset.page, (asset.width, asset.height))


@contextmanager
def _explain_errors(named: frozenset[str] = frozenset()) -> Iterator[None]:
    """Add the file to errors that do not name it; those in ``named`` do."""
    try:
        yield
    except MediaError as error:
        if error.code in named:
            raise
        raise MediaError(error.code, f"The file {error}. Give a {FORMATS}.") from error
