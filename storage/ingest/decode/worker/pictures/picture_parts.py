"""Decode a picture file: one image, the pages of a TIFF, or the frames of an animation."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.image import OCR_EDGE, decode_image, load_upright
from sightline.storage.ingest.decode.worker.pictures.open_picture import (
    open_image,
    truncated_allowed,
)
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.ingest.formats import FileFormat
from sightline.storage.ingest.metadata.picture_metadata import read_picture_metadata

_TRUNCATED = "lacks its end or is damaged; what could be decoded is kept"


def decode_picture(
    data: bytes,
    sha256: str,
    known: FileFormat,
    request: messages.DecodeRequest,
    context: WorkerContext,
) -> Iterator[messages.JobPart]:
    """Yield the parts of a picture file and its facts.

    Of a truncated file, what is there is kept with a warning. Raises MediaError; on broken files
    decoders raise other errors too.
    """
    image = open_image(data, context.limits.max_pixels, request.name)
    embedded = read_picture_metadata(data, lambda: image)
    yield from _image_parts(image, data, request, context)
    yield messages.SourceInfo("image", sha256, len(data), known.mime_type, embedded)


def _image_parts(
    image: Image.Image, data: bytes, request: messages.DecodeRequest, context: WorkerContext
) -> Iterator[messages.JobPart]:
    upright = None
    if not request.metadata_only:
        try:
            part, upright = decode_image(image, context.preprocess)
        except (MediaError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - decoders raise anything on broken files
            part, upright = _decode_truncated(data, request, context, error)
            yield messages.PartWarning(code="picture_truncated", reason=_TRUNCATED)
        yield part
    if request.ocr != "off" or request.tiles:
        if upright is None:
            max_pixels = context.limits.max_pixels
            upright = load_upright(data, max_pixels, edge=OCR_EDGE, name=request.name)
        yield from context.region_parts(upright, request, 0)


def _decode_truncated(
    data: bytes, request: messages.DecodeRequest, context: WorkerContext, error: Exception
) -> tuple[messages.ImagePart, Image.Image | None]:
    """Decode what is there. Raises MediaError if that is nothing."""
    code = "truncated" if "truncated" in str(error) else "broken"
    failure = MediaError(code, f"cannot be decoded: {error}")
    with truncated_allowed():
        try:
            image = open_image(data, context.limits.max_pixels, request.name)
            part, upright = decode_image(image, context.preprocess)
        except (MediaError, MemoryError):
            raise
        except Exception:  # noqa: BLE001
            raise failure from error
    if part.hashes is None:  # one even color: nothing was decoded
        raise failure from error
    return part, upright
