"""Metadata blocks of pictures: XMP, IPTC and EXIF with a position."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from PIL import Image

_NAMESPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "MP": "http://ns.microsoft.com/photo/1.2/",
    "MPRI": "http://ns.microsoft.com/photo/1.2/t/RegionInfo#",
    "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
}


def xmp(attributes: str = "", elements: str = "") -> bytes:
    """Return an XMP packet of one description with these attributes and elements."""
    names = " ".join(f'xmlns:{name}="{uri}"' for name, uri in _NAMESPACES.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {names} {attributes}>{elements}</rdf:Description>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def bag(name: str, items: Sequence[str], kind: str = "Bag") -> str:
    """Return a property with a list; ``kind`` is Bag, Seq or Alt."""
    listed = "".join(
        f'<rdf:li xml:lang="x-default">{each}</rdf:li>'
        if kind == "Alt"
        else f"<rdf:li>{each}</rdf:li>"
        for each in items
    )
    return f"<{name}><rdf:{kind}>{listed}</rdf:{kind}></{name}>"


def face(name: str, x: float, y: float, width: float, height: float) -> str:
    """Return the MWG regions with one face: its center and size, normalized."""
    return (
        '<mwg-rs:Regions rdf:parseType="Resource">'
        '<mwg-rs:AppliedToDimensions stDim:w="48" stDim:h="32" stDim:unit="pixel"/>'
        "<mwg-rs:RegionList><rdf:Bag><rdf:li>"
        f'<rdf:Description mwg-rs:Name="{name}" mwg-rs:Type="Face">'
        f'<mwg-rs:Area stArea:x="{x}" stArea:y="{y}" stArea:w="{width}" stArea:h="{height}" '
        'stArea:unit="normalized"/></rdf:Description>'
        "</rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
    )


def iptc(records: Sequence[tuple[int, bytes]], *, utf8: bool = False) -> bytes:
    """Return IPTC records of the second kind, as (dataset, value)."""
    marked = [(1, 90, b"\x1b%G")] if utf8 else []
    listed = [*marked, *((2, number, value) for number, value in records)]
    return b"".join(
        struct.pack(">BBBH", 0x1C, record, number, len(value)) + value
        for record, number, value in listed
    )


def with_iptc(jpeg: bytes, records: bytes) -> bytes:
    """Return a JPEG with IPTC records, in the resources of Photoshop."""
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records
    content = b"Photoshop 3.0\0" + resource + b"\0" * (len(records) % 2)
    return jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


def exif_tags(
    main: Mapping[int, object] | None = None,
    shot: Mapping[int, object] | None = None,
    gps: Mapping[int, object] | None = None,
) -> bytes:
    """Return EXIF data with these tags of the picture, of the shot and of GPS."""
    fields = Image.Exif()
    for tag, value in (main or {}).items():
        fields[tag] = value
    fields.get_ifd(0x8769).update(shot or {})
    fields.get_ifd(0x8825).update(gps or {})
    return fields.tobytes()


def gps_tags(latitude: float, longitude: float, utc: str | None = None) -> dict[int, object]:
    """Return the GPS tags of a position in degrees, at ``2024:05:03 15:22:10``."""
    tags: dict[int, object] = {
        1: "S" if latitude < 0 else "N",
        2: _sexagesimal(abs(latitude)),
        3: "W" if longitude < 0 else "E",
        4: _sexagesimal(abs(longitude)),
    }
    if utc is not None:
        date, time = utc.split(" ")
        tags |= {7: tuple(float(each) for each in time.split(":")), 29: date}
    return tags


def _sexagesimal(degrees: float) -> tuple[float, float, float]:
    minutes = degrees % 1 * 60
    return (float(int(degrees)), float(int(minutes)), round(minutes % 1 * 60, 4))
