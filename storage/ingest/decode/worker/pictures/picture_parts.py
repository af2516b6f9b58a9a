"""Decode a picture file: one image, or its pages or frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.image import decode_image, load_upright
from sightline.storage.ingest.decode.worker.pictures.motion_photo import motion_film
from sightline.storage.ingest.decode.worker.pictures.open_picture import (
    check_size,
    open_image,
    truncated_allowed,
)
from sightline.storage.ingest.decode.worker.pictures.picture_pages import (
    is_animation,
    new_frames,
    tiff_pages,
)
from sightline.storage.ingest.decode.worker.pictures.rgb_picture import flatten
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.ingest.formats import FileFormat
from sightline.storage.ingest.metadata.picture_metadata import read_picture_metadata

if TYPE_CHECKING:
    from sightline.storage.ingest.decode.worker.pictures.dicom_picture import DicomFile

# Of the time for the file: the parent ends a worker that takes all of it.
_WORK_SHARE = 0.8
_RAW_HEADER_BYTES = 16 << 20
_PAGE_EDGE = 4000  # pixels
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
    if known.decoder == "dicom":
        yield from _dicom_parts(data, sha256, known, request, context)
        return
    image = open_image(data, context.limits.max_pixels, request.name)
    header = _raw_header(data, image) if known.decoder == "raw" else image
    embedded = read_picture_metadata(data, lambda: header)
    pages = tiff_pages(image, context.limits.max_pages)
    if len(pages) > 1:
        loads = [partial(_tiff_page, image, index, context.limits.max_pixels) for index in pages]
        yield from _page_parts(loads, request, context)
    elif is_animation(image):
        yield from _animation_parts(image, data, request, context)
    else:
        yield from _image_parts(image, data, request, context)
        if not request.metadata_only and (film := motion_film(data)) is not None:
            from sightline.storage.ingest.decode.worker.media.video import film_parts

            seconds = _WORK_SHARE * request.work_seconds
            yield from film_parts(film, context, request._replace(work_seconds=seconds))
    yield messages.SourceInfo("image", sha256, len(data), known.mime_type, embedded)


def _raw_header(data: bytes, preview: Image.Image) -> Image.Image:
    """Return the header of a RAW file, which is TIFF, or that of its preview."""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return preview
    header = Image.new("L", (1, 1))
    header.info["exif"] = data[:_RAW_HEADER_BYTES]
    return header


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
            upright = load_upright(data, max_pixels, for_ocr=True, name=request.name)
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


def _tiff_page(image: Image.Image, index: int, max_pixels: int) -> Image.Image:
    image.seek(index)
    check_size(image.size, max_pixels)
    return flatten(image.copy(), 1, (_PAGE_EDGE, _PAGE_EDGE))


def _dicom_parts(
    data: bytes,
    sha256: str,
    known: FileFormat,
    request: messages.DecodeRequest,
    context: WorkerContext,
) -> Iterator[messages.JobPart]:
    """Yield the parts of a DICOM file: an image, pages or frames."""
    from sightline.storage.ingest.decode.worker.pictures.dicom_picture import read_dicom

    limits = context.limits
    dicom = read_dicom(data, limits.max_pixels)
    if dicom.frame_count == 1:
        yield from _image_parts(dicom.frame(0), data, request, context)
    else:
        most = limits.max_pages if dicom.frame_seconds is None else limits.max_video_frames
        step = math.ceil(dicom.frame_count / most)
        if step > 1:
            reason = f"has {dicom.frame_count:,} frames; each {step}th is read"
            yield messages.PartWarning(code="document_cut_short", reason=reason)
        indexes = range(0, dicom.frame_count, step)
        loads = [partial(_dicom_page, dicom, index) for index in indexes]
        seconds = dicom.frame_seconds
        times = None if seconds is None else [round(index * seconds, 3) for index in indexes]
        yield from _page_parts(loads, request, context, times)
    if dicom.is_truncated:
        yield messages.PartWarning(code="picture_truncated", reason=_TRUNCATED)
    embedded = dicom.metadata(keep_patients=limits.keep_patients)
    yield messages.SourceInfo("image", sha256, len(data), known.mime_type, embedded)


def _dicom_page(dicom: DicomFile, index: int) -> Image.Image:
    return flatten(dicom.frame(index), 1, (_PAGE_EDGE, _PAGE_EDGE))


def _page_parts(
    loads: Sequence[Callable[[], Image.Image]],
    request: messages.DecodeRequest,
    context: WorkerContext,
    times: Sequence[float] | None = None,
) -> Iterator[messages.JobPart]:
    """Yield the parts of every page, or frame at its time; a broken one is a warning."""
    broken = 0
    for ordinal, load in enumerate(loads):
        context.report_alive()
        if why := _why_full(request, context):
            reason = f"{why}; kept {ordinal:,} of {len(loads):,} pages"
            yield messages.PartWarning(code="document_cut_short", reason=reason)
            return
        try:
            picture = load()
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - decoders raise anything on broken files
            broken += 1
            yield messages.PartWarning("page_broken", f"page {ordinal + 1}: {error}"[:500])
            continue
        if times is not None:
            yield from _frame_parts(times[ordinal], picture, ordinal, request, context)
            continue
        if not request.metadata_only:
            facts = {"kind": "page", "ordinal": ordinal, "page": ordinal + 1}
            yield from context.picture_parts(picture, len(loads), **facts)
        yield from context.region_parts(picture, request, ordinal, page=ordinal + 1)
    if broken == len(loads):
        raise MediaError("broken", f"has {broken} pages and none of them can be decoded")


def _animation_parts(
    image: Image.Image, data: bytes, request: messages.DecodeRequest, context: WorkerContext
) -> Iterator[messages.JobPart]:
    """Yield the frames that show something new; a still animation is one image."""
    limits = context.limits
    frames = new_frames(image, limits.max_pixels, context.report_alive)
    waiting: list[tuple[float, Image.Image]] = []
    count = 0
    try:
        for seconds, frame in frames:
            why = _why_full(request, context)
            if count >= limits.max_video_frames:
                why = f"has more than {limits.max_video_frames} frames that differ"
            if why is not None:
                reason = f"{why}; was cut at {seconds:.1f} s"
                yield messages.PartWarning(code="animation_cut_short", reason=reason)
                break
            waiting.append((seconds, frame))
            if count == 0 and len(waiting) == 1:
                continue  # it may be the only one
            for at, each in waiting:
                yield from _frame_parts(at, each, count, request, context)
                count += 1
            waiting.clear()
    except (MediaError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - decoders raise anything on broken files
        if count:
            reason = f"after {count} frames: {error}"[:500]
            yield messages.PartWarning(code="picture_truncated", reason=reason)
    if count == 0:
        still = open_image(data, limits.max_pixels, request.name)
        yield from _image_parts(still, data, request, context)


def _frame_parts(
    seconds: float,
    frame: Image.Image,
    ordinal: int,
    request: messages.DecodeRequest,
    context: WorkerContext,
) -> Iterator[messages.JobPart]:
    if not request.metadata_only:
        facts = {"kind": "frame", "ordinal": ordinal, "frame_seconds": seconds}
        yield from context.picture_parts(frame, context.limits.max_video_frames, **facts)
    yield from context.region_parts(frame, request, ordinal, start_seconds=seconds)


def _why_full(request: messages.DecodeRequest, context: WorkerContext) -> str | None:
    """Return why no more pages or frames are decoded."""
    if context.clock.seconds > _WORK_SHARE * request.work_seconds:
        return f"took longer than {_WORK_SHARE * request.work_seconds:g} s"
    if not context.has_room_for_picture():
        return "has pictures that take far more bytes than the file"
    return None
