"""Hostile files of the security review: slow PDFs, archives and large pictures."""

from __future__ import annotations

import gzip
import struct
import zlib

from tests.support.archive_files import pax_header, tar_of, with_flag, zip_of
from tests.support.raw_pdf import write_pdf
from tests.support.sample_images import png_chunk

#: Each level of a nested form draws the level below twice.
_FORM_LEVELS = 12
_ZIP_MEMBERS = 1_000_000
_PAX_CHAIN = 400
_PAX_BYTES = 1_000_000


def large_png(width: int = 9_900, height: int = 10_000) -> bytes:
    """Return a PNG of 99 megapixels in a few hundred kilobytes."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(6)
    row = b"\0" + bytes(3 * width)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    chunks = ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*each) for each in chunks)


def slow_pdf(number: int, pages: int = 50, levels: int = _FORM_LEVELS) -> bytes:
    """Return a PDF of nested forms: a few kilobytes, and seconds of work for each page."""
    resources_of = b"/Resources << /XObject << /X%d %d 0 R >> >>"
    objects: list[bytes] = []
    first_form = 3
    kids = " ".join(f"{first_form + levels + 2 * n} 0 R" for n in range(pages))
    objects.append(b"<< /Type /Catalog /Pages 2 0 R >>")
    objects.append(f"<< /Type /Pages /Count {pages} /Kids [{kids}] >>".encode())
    for level in range(levels):
        if level < levels - 1:
            resources = resources_of % (level + 1, first_form + level + 1)
            content = b"/X%d Do /X%d Do" % (level + 1, level + 1)
        else:
            resources = b""
            content = b"0 0 m 300 300 200 50 400 400 c 10 10 m 90 600 500 9 30 30 c S\n" * 16
        form = b"/Type /XObject /Subtype /Form /BBox [0 0 600 800] " + resources
        objects.append(_stream(form, content))
    for page in range(pages):
        content = first_form + levels + 2 * page + 1
        parent = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents %d 0 R " % content
        objects.append(parent + resources_of % (0, first_form) + b" >>")
        objects.append(_stream(b"", b"%% %d of %d\n/X0 Do" % (page, number)))
    return write_pdf(objects, 1)


def _stream(dictionary: bytes, content: bytes) -> bytes:
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (dictionary, len(content), content)


def hostile_archives() -> dict[str, bytes]:
    """Return archives that are slow, large or broken to read, by file name."""
    return {
        "members.zip": _zip_of_many_members(),
        # Its member claims to be compressed patched data.
        "patched.zip": with_flag(with_flag(zip_of(("a.jpg", b"x" * 100)), 5), 6),
        "chain.tar": _tar_with_a_chain_of_headers(),
        "pax.tar": _tar_with_a_long_header(),
        "bomb.tar.gz": gzip.compress(bytes(300_000_000), 6),
    }


def _zip_of_many_members() -> bytes:
    """Return 53 MB of directory for one million empty members."""
    entry = struct.Struct("<4sHHHHHHIIIHHHHHII")
    record = b"".join(
        entry.pack(b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0) + b"%07x" % number
        for number in range(_ZIP_MEMBERS)
    )
    count, size = _ZIP_MEMBERS, len(record)
    zip64 = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, 0)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, size, 1)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return record + zip64 + locator + end


def _tar_with_a_chain_of_headers() -> bytes:
    """Return a TAR of pax headers that each describe the next one."""
    return pax_header(b"11 path=a\n\n") * _PAX_CHAIN + tar_of(("a.jpg", b"x"))


def _tar_with_a_long_header() -> bytes:
    """Return a TAR whose pax header takes quadratic time in unpatched interpreters."""
    return pax_header(b"1" * _PAX_BYTES) + tar_of(("a.jpg", b"x"))
