"""Read the metadata of a picture: EXIF, XMP, IPTC and the text of a PNG."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.metadata.embedded_metadata import (
    MAX_DESCRIPTION_CHARS,
    NO_METADATA,
    EmbeddedMetadata,
    TimeTag,
    split_keywords,
)
from sightline.storage.ingest.metadata.exif_tags import is_written, read_exif
from sightline.storage.ingest.metadata.iptc_tags import RESOURCE, find_iptc, read_iptc
from sightline.storage.ingest.metadata.media_boxes import outer_boxes
from sightline.storage.ingest.metadata.xmp_packet import MAX_XMP_BYTES, read_xmp

_MAX_EXIF_BYTES = 16 << 20
_MAX_CHUNKS = 100_000
_MAX_TEXTS = 200
_ORIENTATION = 0x0112
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JXL_SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
_JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*")
_XMP_TAG, _IPTC_TAG, _PHOTOSHOP_TAG = 700, 33723, 34377
_EXIF_RESOURCE, _XMP_RESOURCE = 1058, 1060
_UUIDS = {
    b"JpgTiffExif->JP2": b"Exif",
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): b"xml ",
    bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"): b"IPTC",
}
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
    ``open_image`` parses the header of formats that this module does not know.
    """
    try:
        blocks = _own_blocks(data)
        if blocks is None:
            blocks = _pillow_blocks(open_image())
    except MediaError:
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
    if not block:
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
        keywords=split_keywords(by_name.get("keywords")),
        author=by_name.get("author"),
        times=(TimeTag(time, "created"),) if time else (),
    )


def _own_blocks(data: bytes) -> _Blocks | None:
    """Return the blocks of formats of which Pillow reads too little; None for others."""
    if data.startswith(_PNG_SIGNATURE):
        return _png_blocks(data)
    if data.startswith((_JXL_SIGNATURE, _JP2_SIGNATURE)):
        return _box_blocks(data)
    if data.startswith(_TIFF_SIGNATURES):
        return _tiff_blocks(data)
    if data.startswith(b"GIF8"):
        return _Blocks(xmp=_gif_xmp(data))
    return None


def _pillow_blocks(image: Image.Image) -> _Blocks:
    blocks = _Blocks()
    info = image.info
    if isinstance(exif := info.get("exif"), bytes):
        blocks.exif = exif
    xmp = info.get("xmp", b"")
    blocks.xmp = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
    resources = info.get("photoshop")
    if not isinstance(resources, dict):  # of a file of Photoshop: (signature, number, name, data)
        resources = {}
        for each in getattr(image, "resources", ()):
            number, content = each[-3], each[-1]
            resources[number] = content
    blocks.iptc = bytes(resources.get(RESOURCE, b""))
    blocks.exif = blocks.exif or bytes(resources.get(_EXIF_RESOURCE, b""))
    blocks.xmp = blocks.xmp or bytes(resources.get(_XMP_RESOURCE, b""))
    return blocks


def _tiff_blocks(data: bytes) -> _Blocks:
    """Read the first directory of a TIFF or of a camera's raw file."""
    tags = Image.Exif()
    tags.load(data)
    return _Blocks(
        exif=data,
        xmp=_tiff_bytes(tags.get(_XMP_TAG)),
        iptc=_tiff_bytes(tags.get(_IPTC_TAG)) or find_iptc(_tiff_bytes(tags.get(_PHOTOSHOP_TAG))),
    )


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


def _box_blocks(data: bytes) -> _Blocks:
    """Read the boxes of JPEG XL and JPEG 2000."""
    blocks = _Blocks()
    for kind, start, end in outer_boxes(data):
        content = data[start:end] if kind in (b"Exif", b"xml ", b"uuid", b"brob") else b""
        if kind == b"brob":
            kind, content = content[:4], _decompress(content[4:])  # noqa: PLW2901
        if kind == b"uuid":
            kind, content = _UUIDS.get(content[:16], b""), content[16:]  # noqa: PLW2901
        if kind == b"Exif" and not content.startswith(_TIFF_SIGNATURES):
            content = content[4 + int.from_bytes(content[:4], "big") :]
        if kind == b"Exif":
            blocks.exif = content
        elif kind == b"xml ":
            blocks.xmp = content
        elif kind == b"IPTC":
            blocks.iptc = content
    return blocks


def _decompress(data: bytes) -> bytes:
    """Return the start of Brotli data; nothing if it is broken."""
    try:
        import brotli
    except ModuleNotFoundError:  # comes with py7zr on CPython
        return b""
    try:
        return bytes(brotli.Decompressor().process(data, output_buffer_limit=MAX_XMP_BYTES))
    except brotli.error:
        return b""


def _gif_xmp(data: bytes) -> bytes:
    """Return the XMP packet of a GIF, which stands there as it is, before a trailer."""
    start = data.find(_GIF_XMP)
    if start < 0:
        return b""
    start += len(_GIF_XMP)
    end = data.find(b"<?xpacket end", start, start + MAX_XMP_BYTES)
    return data[start : data.find(b"?>", end) + 2] if end > 0 else b""
