"""Archives, also with parts that no library writes."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile


def zip_of(*files: tuple[str, bytes]) -> bytes:
    """Return a ZIP with these names and contents."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return file.getvalue()


def tar_of(*files: tuple[str, bytes]) -> bytes:
    """Return a TAR with these names and contents."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def with_flag(data: bytes, bit: int) -> bytes:
    """Set a flag of the first member of a ZIP, in both of its headers."""
    changed = bytearray(data)
    for start in (0, data.index(b"PK\x01\x02") + 2):
        flags = struct.unpack_from("<H", changed, start + 6)[0]
        struct.pack_into("<H", changed, start + 6, flags | 1 << bit)
    return bytes(changed)


def pax_header(content: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """Return a header that describes the next member of a TAR."""
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, len(content)
    padding = bytes(-len(content) % 512)
    return header.tobuf(tarfile.USTAR_FORMAT) + content + padding
