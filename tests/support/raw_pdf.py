"""PDF files written object by object, for structures that no library writes."""

from __future__ import annotations

from collections.abc import Sequence


def write_pdf(objects: Sequence[bytes], root: int) -> bytes:
    """Return a PDF with these objects, numbered from 1; ``root`` is the catalog's number."""
    out, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root %d 0 R >>\n" % (len(objects) + 1, root)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % table)
