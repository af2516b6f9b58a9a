"""Read XMP packets and sidecars: description, keywords, people, place, times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sightline.storage.ingest.metadata.embedded_metadata import (
    MAX_BOXES,
    MAX_KEYWORDS,
    EmbeddedMetadata,
    NamedRegion,
    TimeKind,
    TimeTag,
    clean_box,
    split_keywords,
)
from sightline.storage.ingest.metadata.exif_tags import camera_name, is_written, stars_of_percent
from sightline.storage.types import Box

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_XMP_BYTES = 4 << 20
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_DC = "{http://purl.org/dc/elements/1.1/}"
_XMP = "{http://ns.adobe.com/xap/1.0/}"
_EXIF = "{http://ns.adobe.com/exif/1.0/}"
_EXIF_EX = "{http://cipa.jp/exif/1.0/}"
_AUX = "{http://ns.adobe.com/exif/1.0/aux/}"
_TIFF = "{http://ns.adobe.com/tiff/1.0/}"
_PDF = "{http://ns.adobe.com/pdf/1.3/}"
_PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
_LIGHTROOM = "{http://ns.adobe.com/lightroom/1.0/}"
_DIGIKAM = "{http://www.digikam.org/ns/1.0/}"
_MICROSOFT = "{http://ns.microsoft.com/photo/1.0/}"
_IPTC_CORE = "{http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/}"
_IPTC_EXT = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
_MWG = "{http://www.metadataworkinggroup.com/schemas/regions/}"
_AREA = "{http://ns.adobe.com/xmp/sType/Area#}"
_SIZE = "{http://ns.adobe.com/xap/1.0/sType/Dimensions#}"
_MP = "{http://ns.microsoft.com/photo/1.2/}"
_MP_INFO = "{http://ns.microsoft.com/photo/1.2/t/RegionInfo#}"
_MP_REGION = "{http://ns.microsoft.com/photo/1.2/t/Region#}"
_TIMES: tuple[tuple[str, TimeKind, bool], ...] = (
    (f"{_EXIF}DateTimeOriginal", "original", False),
    (f"{_PHOTOSHOP}DateCreated", "created", False),
    (f"{_EXIF}DateTimeDigitized", "digitized", False),
    (f"{_XMP}CreateDate", "digitized", False),
    (f"{_PDF}CreationDate", "digitized", False),
    (f"{_EXIF}GPSTimeStamp", "satellites", True),
)
_PLACES = (
    *(f"{_IPTC_CORE}Location", f"{_PHOTOSHOP}City", f"{_PHOTOSHOP}State", f"{_PHOTOSHOP}Country"),
)
_LOCATION_PARTS = ("LocationName", "Sublocation", "City", "ProvinceState", "CountryName")
_COORDINATE = re.compile(
    r"(\d{1,3})(?:,(\d{1,2}(?:\.\d+)?))?(?:,(\d{1,2}(?:\.\d+)?))?([NSEW])", re.I
)
_FACE_TYPES = ("", "face", "pet")
_XMP_START = re.compile(rb"<\?xpacket begin|<x:xmpmeta|<rdf:RDF|<\?xml")


def read_xmp(data: bytes, orientation: int | None = None) -> EmbeddedMetadata:
    """Return the metadata of an XMP packet or sidecar.

    ``orientation`` is that of the picture, in EXIF's numbers: boxes are relative to the picture as
    stored. A sidecar has its own. Raises ValueError if it is no XMP, is too large, or defines
    entities.
    """
    properties = _Properties(_parse(data))
    if orientation is None:
        orientation = round(properties.number(f"{_TIFF}Orientation") or 1)
    people = [
        *_mwg_people(properties, orientation),
        *_microsoft_people(properties, orientation),
    ]
    named = {each.label for each in people}
    people += [
        NamedRegion(name)
        for name in properties.texts(f"{_IPTC_EXT}PersonInImage")
        if name not in named
    ]
    descriptions = (
        properties.text(f"{_DC}description"),
        properties.text(f"{_EXIF}UserComment"),
        properties.text(f"{_TIFF}ImageDescription"),
    )
    location = next(
        (
            each
            for name in ("LocationShown", "LocationCreated")
            for each in properties.structures(f"{_IPTC_EXT}{name}")
        ),
        None,
    )
    place = tuple(text for name in _PLACES if (text := properties.text(name)))
    if not place and location is not None:
        parts = (location.text(f"{_IPTC_EXT}{name}") for name in _LOCATION_PARTS)
        place = tuple(part for part in parts if part)
    return EmbeddedMetadata(
        title=properties.text(f"{_DC}title") or properties.text(f"{_PHOTOSHOP}Headline"),
        description=next((each for each in descriptions if each and is_written(each)), None),
        keywords=tuple(_keywords(properties)),
        rating=_rating(properties),
        people=tuple(people),
        author=properties.text(f"{_DC}creator"),
        camera=camera_name(properties.text(f"{_TIFF}Make"), properties.text(f"{_TIFF}Model")),
        lens=properties.text(f"{_EXIF_EX}LensModel") or properties.text(f"{_AUX}Lens"),
        place=place,
        position=_position(properties, location),
        times=tuple(
            TimeTag(value, kind, is_utc=is_utc)
            for name, kind, is_utc in _TIMES
            if (value := properties.text(name))
        ),
    )


class _Properties:
    """The properties of a resource, which RDF writes as attributes or as elements."""

    def __init__(self, nodes: list[Element]) -> None:
        self._attributes: dict[str, str] = {}
        self._elements: dict[str, Element] = {}
        for node in nodes:
            for name, value in node.attrib.items():
                self._attributes.setdefault(name, value)
            for child in node:
                self._elements.setdefault(str(child.tag), child)

    def texts(self, name: str) -> list[str]:
        """Return the texts of a property, the one in the default language first."""
        element = self._elements.get(name)
        if element is None:
            value = self._attributes.get(name, "").strip()
            return [value] if value else []
        items = _items(element)
        items.sort(key=lambda each: each.get(_LANGUAGE) != "x-default")
        texts = [(each.text or "").strip() for each in items or [element]]
        return [each for each in texts if each]

    def text(self, name: str) -> str | None:
        return next(iter(self.texts(name)), None)

    def number(self, name: str) -> float | None:
        try:
            return float(self.text(name) or "")
        except ValueError:
            return None

    def structures(self, name: str) -> list[_Properties]:
        """Return the structures of a property: one, or those of a list."""
        element = self._elements.get(name)
        if element is None:
            return []
        return [_structure(each) for each in (_items(element) or [element])[:MAX_BOXES]]


def _structure(element: Element) -> _Properties:
    """Return a structure: the element itself, or an rdf:Description in it."""
    return _Properties([element, *element.findall(f"{_RDF}Description")])


def _items(element: Element) -> list[Element]:
    for name in ("Bag", "Seq", "Alt"):
        if (container := element.find(f"{_RDF}{name}")) is not None:
            return container.findall(f"{_RDF}li")[: 10 * MAX_KEYWORDS]
    return []


def _parse(data: bytes) -> list[Element]:
    """Return the descriptions of the resource."""
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    if len(data) > MAX_XMP_BYTES:
        raise ValueError(f"has {len(data):,} bytes of XMP; the limit is {MAX_XMP_BYTES:,}")
    if (start := _XMP_START.search(data[:1024])) is not None:
        data = data[start.start() :]
    try:
        root = fromstring(data.strip(b"\0 \r\n\t"), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise ValueError(f"is no valid XMP: {error}") from error
    rdf = root if root.tag == f"{_RDF}RDF" else root.find(f"{_RDF}RDF")
    if rdf is None:
        raise ValueError("is no XMP: it has no element rdf:RDF")
    return list(rdf.findall(f"{_RDF}Description"))


def _keywords(properties: _Properties) -> Iterator[str]:
    """Yield keywords, and the levels of hierarchical ones."""
    yield from properties.texts(f"{_DC}subject")
    yield from split_keywords(properties.text(f"{_PDF}Keywords"))
    for name, separator in (
        (f"{_LIGHTROOM}hierarchicalSubject", "|"),
        (f"{_DIGIKAM}TagsList", "/"),
        (f"{_MICROSOFT}LastKeywordXMP", "/"),
    ):
        for path in properties.texts(name):
            yield from path.split(separator)


def _rating(properties: _Properties) -> int | None:
    rating = properties.number(f"{_XMP}Rating")
    if rating is not None and abs(rating) <= 5:
        return round(rating) or None
    percent = properties.number(f"{_MICROSOFT}Rating")
    return stars_of_percent(percent) if percent is not None and 0 < percent <= 100 else None


def _position(properties: _Properties, location: _Properties | None) -> tuple[float, float] | None:
    for each in (properties, location):
        if each is not None:
            latitude = _degrees(each.text(f"{_EXIF}GPSLatitude"))
            longitude = _degrees(each.text(f"{_EXIF}GPSLongitude"))
            if latitude is not None and longitude is not None:
                return latitude, longitude
    return None


def _degrees(text: str | None) -> float | None:
    """Return the degrees of "48,51.5N", "48,51,30N" or "48.858"."""
    if text is None:
        return None
    if match := _COORDINATE.fullmatch(text.strip()):
        degrees, minutes, seconds, direction = match.groups()
        value = int(degrees) + float(minutes or 0) / 60 + float(seconds or 0) / 3600
        return -value if direction.upper() in "SW" else value
    try:
        return float(text)
    except ValueError:
        return None


def _mwg_people(properties: _Properties, orientation: int) -> Iterator[NamedRegion]:
    """Yield the named faces of the Metadata Working Group's regions."""
    for regions in properties.structures(f"{_MWG}Regions"):
        for region in regions.structures(f"{_MWG}RegionList"):
            name = region.text(f"{_MWG}Name")
            if name is None or (region.text(f"{_MWG}Type") or "").lower() not in _FACE_TYPES:
                continue
            yield NamedRegion(name, _mwg_box(region, regions, orientation))


def _mwg_box(region: _Properties, regions: _Properties, orientation: int) -> Box | None:
    """Return the box around a center, in pixels or relative to the picture."""
    for area in region.structures(f"{_MWG}Area"):
        x, y, width, height = (area.number(f"{_AREA}{name}") for name in "xywh")
        diameter = area.number(f"{_AREA}d")
        width, height = (width or diameter, height or diameter)
        if x is None or y is None or width is None or height is None:
            return None
        if area.text(f"{_AREA}unit") == "pixel":
            size = next(iter(regions.structures(f"{_MWG}AppliedToDimensions")), None)
            w, h = (size.number(f"{_SIZE}{name}") if size else None for name in "wh")
            if not w or not h:
                return None
            x, y, width, height = x / w, y / h, width / w, height / h
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return turned_box(corners, orientation)
    return None


def _microsoft_people(properties: _Properties, orientation: int) -> Iterator[NamedRegion]:
    """Yield the named people of Microsoft's regions: "x, y, width, height"."""
    for info in properties.structures(f"{_MP}RegionInfo"):
        for region in info.structures(f"{_MP_INFO}Regions"):
            name = region.text(f"{_MP_REGION}PersonDisplayName")
            if name is None:
                continue
            try:
                values = (region.text(f"{_MP_REGION}Rectangle") or "").split(",")
                x, y, width, height = (float(each) for each in values)
            except ValueError:
                yield NamedRegion(name)
                continue
            yield NamedRegion(name, turned_box((x, y, x + width, y + height), orientation))


def turned_box(box: tuple[float, float, float, float], orientation: int) -> Box | None:
    """Return a box of the picture as stored in the frame of the upright picture."""
    if (clean := clean_box(box)) is None:
        return None
    x0, y0, x1, y1 = clean
    if orientation in (5, 6, 7, 8):
        x0, y0, x1, y1 = y0, x0, y1, x1  # transposed
    if orientation in (2, 3, 6, 7):
        x0, x1 = 1 - x1, 1 - x0
    if orientation in (3, 4, 7, 8):
        y0, y1 = 1 - y1, 1 - y0
    return clean_box((x0, y0, x1, y1))
