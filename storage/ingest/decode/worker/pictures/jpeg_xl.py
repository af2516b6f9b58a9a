"""Decode JPEG XL; the size is read first, because the library allocates at once."""

from __future__ import annotations

from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.metadata.media_boxes import outer_boxes

_CODESTREAM = b"\xff\x0a"
_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_SIZE_BITS = (9, 13, 18, 30)
_HEADER_BYTES = 16


def jpeg_xl_size(data: bytes) -> tuple[int, int]:
    """Return width and height from the header. Raises MediaError ``not_an_image``."""
    header = data if data.startswith(_CODESTREAM) else _codestream(data)
    if not header.startswith(_CODESTREAM):
        raise MediaError("not_an_image", "is not JPEG XL that can be read")
    bits = _Bits(header[len(_CODESTREAM) : _HEADER_BYTES])
    is_small = bits.take(1)
    height = _side(bits, is_small)
    ratio = bits.take(3)
    if ratio == 0:
        return _side(bits, is_small), height
    across, down = _RATIOS[ratio]
    return height * across // down, height


def decode_jpeg_xl(data: bytes) -> bytes | Image.Image:
    """Return the picture, upright, or the JPEG that was packed into the file."""
    from pillow_jxl import Decoder

    jpeg, info, pixels, profile, _ = Decoder(num_threads=0)(data)
    if jpeg:
        return bytes(pixels)
    mode = "F" if info.mode == "F;16" else info.mode
    image = Image.frombytes(mode, (info.width, info.height), bytes(pixels))
    if profile:
        image.info["icc_profile"] = bytes(profile)
    return image


def _codestream(data: bytes) -> bytes:
    """Return the start of the code stream in a container."""
    if not data.startswith(_CONTAINER):
        return b""
    for kind, start, _ in outer_boxes(data):
        if kind in (b"jxlc", b"jxlp"):
            at = start + 4 * (kind == b"jxlp")  # after the number of the part
            return data[at : at + _HEADER_BYTES]
    return b""


class _Bits:
    """Bits of bytes, the lowest first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value


def _side(bits: _Bits, is_small: int) -> int:
    if is_small:
        return 8 * (bits.take(5) + 1)
    return bits.take(_SIZE_BITS[bits.take(2)]) + 1
