"""Read the metadata of a picture: EXIF, XMP, IPTC and the text of a PNG."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.metadata.embedded_metadata import (
    MAX_DESCRIPTION_CHARS,
    NO_METADATA,
    EmbeddedMetadata,
    TimeTag,
)
from sightline.storage.ingest.metadata.exif_tags import is_written, read_exif
from sightline.storage.ingest.metadata.iptc_tags import RESOURCE, find_iptc, read_iptc
from sightline.storage.ingest.metadata.xmp_packet import MAX_XMP_BYTES, read_xmp

_MAX_EXIF_BYTES = 16 << 20
_MAX_CHUNKS = 100_000
_MAX_TEXTS = 200
_ORIENTATION = 0x0112
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JXL_SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
_JXL_CODESTREAM = b"\xff\x0a"
_XMP_KEYWORDS = ("XML:com.adobe.xmp", "xmp")
_GIF_XMP = b"XMP DataXMP"
# Text chunks of PNG that describe the picture; "parameters" is the prompt of an image generator.
_PNG_DESCRIPTIONS = ("description", "comment", "caption", "parameters", "prompt")


@dataclass(slots=True)
class _Blocks:
    """The blocks of metadata in a picture, and the texts of a PNG by name."""

    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    texts: dict[str, str] = field(default_factory=dict)


def read_picture_metadata(data: bytes, open_image: Callable[[], Image.Image]) -> EmbeddedMetadata:
    """Return the metadata in a picture file; a broken block is left out.

    XMP wins over IPTC and that over EXIF, except for times, which cameras write into EXIF. All
    keywords are kept.
    ``open_image`` parses the header of formats other than PNG and JPEG XL.
    """
    try:
        if data.startswith(_PNG_SIGNATURE):
            blocks = _png_blocks(data)
        elif data.startswith((_JXL_SIGNATURE, _JXL_CODESTREAM)):
            blocks = _jxl_blocks(data)
        else:
            blocks = _pillow_blocks(open_image())
            if data.startswith(b"GIF8"):
                blocks.xmp = _gif_xmp(data)
    except (MediaError, OSError):
        raise
    except Exception:  # noqa: BLE001 - Pillow raises anything on hostile files
        return NO_METADATA
    exif, orientation = _read_exif(blocks.exif)
    xmp, iptc = _read_xmp(blocks.xmp, orientation), read_iptc(blocks.iptc)
    found = xmp.or_else(iptc).or_else(exif).or_else(_read_texts(blocks.texts))
    keywords = (*xmp.keywords, *iptc.keywords, *exif.keywords, *found.keywords)
    return replace(found, keywords=keywords, times=exif.or_else(found).times).bounded()


def _read_exif(block: bytes) -> tuple[EmbeddedMetadata, int]:
    """Return the metadata of an EXIF block, and the orientation."""
    if not block or len(block) > _MAX_EXIF_BYTES:
        return NO_METADATA, 1
    try:
        exif = Image.Exif()
        exif.load(block)
        orientation = exif.get(_ORIENTATION, 1)
        return read_exif(exif), orientation if isinstance(orientation, int) else 1
    except Exception:  # noqa: BLE001 - Pillow raises anything on hostile EXIF
        return NO_METADATA, 1


def _read_xmp(packet: bytes, orientation: int) -> EmbeddedMetadata:
    try:
        return read_xmp(packet, orientation) if packet else NO_METADATA
    except ValueError:
        return NO_METADATA


def _read_texts(texts: dict[str, str]) -> EmbeddedMetadata:
    """Return the metadata in the text chunks of a PNG, whose names the standard lists."""
    by_name = {name.casefold(): text for name, text in texts.items()}
    descriptions = (by_name.get(name) for name in _PNG_DESCRIPTIONS)
    time = by_name.get("creation time")
    return EmbeddedMetadata(
        title=by_name.get("title"),
        description=next((each for each in descriptions if each and is_written(each)), None),
        keywords=tuple(by_name.get("keywords", "").replace(";", ",").split(",")),
        author=by_name.get("author"),
        times=(TimeTag(time, "created"),) if time else (),
    )


def _pillow_blocks(image: Image.Image) -> _Blocks:
    blocks = _Blocks()
    info = image.info
    if isinstance(exif := info.get("exif"), bytes):
        blocks.exif = exif
    elif image.format == "TIFF":
        blocks.exif = image.getexif().tobytes()
    xmp = info.get("xmp", b"")
    blocks.xmp = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
    resources = info.get("photoshop")
    if isinstance(resources, dict):
        blocks.iptc = bytes(resources.get(RESOURCE, b""))
    elif image.format == "TIFF":
        tags = getattr(image, "tag_v2", {})
        blocks.iptc = _tiff_bytes(tags.get(33723)) or find_iptc(_tiff_bytes(tags.get(34377)))
    return blocks


def _tiff_bytes(value: object) -> bytes:
    """Return the bytes of a tag, which some programs write as numbers of 32 bits."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, tuple) and all(isinstance(each, int) for each in value):
        return b"".join((each & 0xFFFFFFFF).to_bytes(4, "little") for each in value)
    return b""


def _png_blocks(data: bytes) -> _Blocks:
    """Read the chunks of a PNG, also those after the picture, without decoding it."""
    blocks = _Blocks()
    place = len(_PNG_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        size = int.from_bytes(data[place : place + 4], "big")
        kind = data[place + 4 : place + 8]
        if len(kind) < 4 or kind == b"IEND":
            break
        if kind == b"eXIf" and size <= _MAX_EXIF_BYTES:
            blocks.exif = data[place + 8 : place + 8 + size]
        elif kind in (b"tEXt", b"zTXt", b"iTXt") and size <= MAX_XMP_BYTES:
            name, text = _png_text(kind, data[place + 8 : place + 8 + size])
            if name in _XMP_KEYWORDS:
                blocks.xmp = text
            elif name == "Raw profile type iptc":
                blocks.iptc = find_iptc(_raw_profile(text)) or _raw_profile(text)
            elif name in ("Raw profile type exif", "Raw profile type APP1"):
                blocks.exif = blocks.exif or _raw_profile(text)
            elif len(blocks.texts) < _MAX_TEXTS:
                text = text[: 4 * MAX_DESCRIPTION_CHARS]
                blocks.texts[name] = text.decode(
                    "utf-8" if kind == b"iTXt" else "latin-1", "replace"
                )
        place += size + 12
    return blocks


def _png_text(kind: bytes, chunk: bytes) -> tuple[str, bytes]:
    """Return the name and the text of a chunk; too long a text is cut."""
    name, _, rest = chunk.partition(b"\0")
    if kind == b"tEXt":
        return name.decode("latin-1"), rest
    if kind == b"zTXt":
        return name.decode("latin-1"), _inflate(rest[1:])
    is_compressed, rest = rest[:1] == b"\1", rest[2:]
    text = rest.partition(b"\0")[2].partition(b"\0")[2]  # after language and translated name
    return name.decode("latin-1"), _inflate(text) if is_compressed else text


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MAX_XMP_BYTES)
    except zlib.error:
        return b""


def _raw_profile(text: bytes) -> bytes:
    """Return a profile that ImageMagick wrote in hexadecimal after two lines."""
    try:
        return bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
    except ValueError:
        return b""


def _jxl_blocks(data: bytes) -> _Blocks:
    """Read the boxes of JPEG XL; compressed ones are left out."""
    blocks = _Blocks()
    for kind, start, end in _boxes(data):
        if kind == b"Exif" and end - start > 4:
            skipped = int.from_bytes(data[start : start + 4], "big")
            blocks.exif = data[start + 4 + skipped : end]
        elif kind == b"xml ":
            blocks.xmp = data[start:end]
    return blocks


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start, end) of the outer boxes of an ISO media file."""
    place = 0
    for _ in range(_MAX_CHUNKS):
        size, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        start = place + 8
        if size == 1:
            size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        end = place + size if size else len(data)
        if len(kind) < 4 or end <= start or data[:2] == _JXL_CODESTREAM:
            return
        yield kind, start, min(end, len(data))
        place = end


def _gif_xmp(data: bytes) -> bytes:
    """Return the XMP packet of a GIF, which stands there as it is, before a trailer."""
    start = data.find(_GIF_XMP)
    if start < 0:
        return b""
    start += len(_GIF_XMP)
    end = data.find(b"<?xpacket end", start, start + MAX_XMP_BYTES)
    return data[start : data.find(b"?>", end) + 2] if end > 0 else b""
