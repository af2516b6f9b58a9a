"""Open a picture of any format of the table, within the limit of pixels."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageFile, UnidentifiedImageError

from sightline.storage.errors import MediaError
from sightline.storage.ingest.formats import HEAD_BYTES, FileFormat, format_of, format_of_name

_NCLX = b"colrnclx"
_CICP = b"cICP"
_DNG_VERSION = 50706
_SEARCHED_BYTES = 64 << 10
_NUMBER = re.compile(r"\d+")  # of pixels, in an error of Pillow


def open_image(data: bytes, max_pixels: int, name: str = "") -> Image.Image:
    """Open a picture; most formats are only decoded when their pixels are needed.

    ``name`` decides between formats that start alike, such as TIFF and camera RAW. Raises
    MediaError ``not_an_image``, ``unsupported`` or ``too_many_pixels``.
    """
    known = format_of(name, data[:HEAD_BYTES])
    if known is None or known.kind not in ("image", "unsupported"):
        raise MediaError("not_an_image", "is not an image of a supported format")
    if not known.is_available:
        raise known.refusal()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # our own limit is an error
        try:
            image = _open(data, known, max_pixels)
        except Image.DecompressionBombError as error:
            raise _too_large(error, max_pixels) from error
    check_size(image.size, max_pixels)
    return image


def check_size(size: tuple[int, int], max_pixels: int) -> None:
    """Raise MediaError ``too_many_pixels`` above the limit."""
    width, height = size
    if width * height > max_pixels:
        raise MediaError(
            "too_many_pixels",
            f"has {width:,} x {height:,} = {width * height:,} pixels; the limit is {max_pixels:,}",
        )


@contextmanager
def truncated_allowed() -> Iterator[None]:
    """Decode what is there of a file that lacks its end; the rest is gray."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _too_large(error: Image.DecompressionBombError, max_pixels: int) -> MediaError:
    found = _NUMBER.search(str(error))
    pixels = f"{int(found[0]):,}" if found else "far more"
    return MediaError("too_many_pixels", f"has {pixels} pixels; the limit is {max_pixels:,}")


def _open(data: bytes, known: FileFormat, max_pixels: int) -> Image.Image:
    if known.name == "JPEG XL":
        return _open_jpeg_xl(data, max_pixels)
    if known.decoder == "dicom":
        from sightline.storage.ingest.decode.worker.pictures.dicom_picture import read_dicom

        return read_dicom(data, max_pixels).frame(0)
    if known.decoder == "raw":
        from sightline.storage.ingest.decode.worker.pictures.camera_raw import open_raw

        return open_raw(data, max_pixels)
    if known.decoder == "svg":
        from sightline.storage.ingest.decode.worker.pictures.svg_picture import render_svg

        return render_svg(data, max_pixels)
    if known.name == "HEIC":
        _register_heif()
    image = _open_with_pillow(data, known.decoder)
    if image.format == "TIFF" and _DNG_VERSION in getattr(image, "tag_v2", {}):
        return _open(data, format_of_name(".x.dng") or known, max_pixels)
    if known.name in ("AVIF", "PNG"):
        _add_coding(image, data)
    return image


def _open_with_pillow(data: bytes, decoder: str) -> Image.Image:
    """Open with the plugin ``decoder`` only: some of the others start programs."""
    try:
        return Image.open(io.BytesIO(data), formats=decoder.split())
    except UnidentifiedImageError as error:
        raise MediaError("not_an_image", "is not an image of a supported format") from error


def _open_jpeg_xl(data: bytes, max_pixels: int) -> Image.Image:
    from sightline.storage.ingest.decode.worker.pictures.jpeg_xl import (
        decode_jpeg_xl,
        jpeg_xl_size,
    )

    check_size(jpeg_xl_size(data), max_pixels)
    decoded = decode_jpeg_xl(data)
    return decoded if isinstance(decoded, Image.Image) else _open_with_pillow(decoded, "JPEG")


def _register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener(
        decode_threads=1, thumbnails=False, depth_images=False, aux_images=False
    )


def _add_coding(image: Image.Image, data: bytes) -> None:
    """Note the primaries and transfer of a picture, ITU-T H.273."""
    start = data[:_SEARCHED_BYTES]
    if image.format == "AVIF":
        at, size = start.find(_NCLX) + len(_NCLX), 2
    else:
        at, size = start.find(_CICP) + len(_CICP), 1
    if at > 8 and len(start) >= at + 2 * size:
        image.info["nclx_profile"] = {
            "color_primaries": int.from_bytes(start[at : at + size], "big"),
            "transfer_characteristics": int.from_bytes(start[at + size : at + 2 * size], "big"),
        }
