"""Render SVG without access to anything outside the file.

A copy of the document without external references is rendered: resvg would read files. How much
its references repeat is counted first, because a few of them can stand for billions of shapes.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.render.fonts import label_font
from sightline.storage.ingest.plain_text.text_encoding import decode_text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_MAX_BYTES = 32 << 20
_MAX_DEPTH = 200
_MAX_ELEMENTS = 200_000  # after all references are followed
_MIN_EDGE, _MAX_EDGE = 1024, 4096  # of the longer side, in pixels
_DEFAULT_EDGE = 1024.0
_MAX_SIDE = 1e6
_GZIP = b"\x1f\x8b"
_FONT_FAMILY = "Noto Sans CJK SC"

_DOCTYPE = re.compile(r"<!DOCTYPE[^\[>]*(?:\[(.*?)\]\s*)?>", re.DOTALL)
_ENTITY = re.compile(r"""<!ENTITY\s+([\w.-]+)\s+(?:"([^"&<]*)"|'([^'&<]*)')\s*>""")
_XML_DECLARATION = re.compile(r"^\s*<\?xml.*?\?>", re.DOTALL)
_LENGTH = re.compile(r"\s*([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(px|pt|pc|mm|cm|in|em)?\s*$")
_PIXELS = {"px": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0}
_IMPORT = re.compile(r"@import[^;]*;?", re.IGNORECASE)
_URL = re.compile(r"url\(\s*(['\"]?)(.*?)\1\s*\)", re.IGNORECASE | re.DOTALL)
_DATA_IMAGE = re.compile(
    r"\s*data:image/(?:png|jpe?g|gif|webp)(?:;[\w=-]+)*;base64,", re.IGNORECASE
)
_DROPPED = frozenset(
    [
        "script",
        "foreignObject",
        "iframe",
        "animate",
        "animateColor",
        "animateMotion",
        "animateTransform",
        "set",
        "mpath",
        "audio",
        "video",
        "handler",
        "metadata",
    ]
)


def render_svg(data: bytes, max_pixels: int) -> Image.Image:
    """Return the drawing, RGBA, 1,024 to 4,096 pixels long. Raises MediaError."""
    from xml.etree.ElementTree import tostring

    import resvg_py

    root = _parse(data)
    _remove_outside(root, max_pixels)
    _check_references(root)
    _set_size(root, max_pixels)
    with label_font() as font:
        try:
            png = resvg_py.svg_to_bytes(
                svg_string=tostring(root, encoding="unicode"),
                skip_system_fonts=True,
                font_files=[str(font)],
                font_family=_FONT_FAMILY,
                serif_family=_FONT_FAMILY,
                sans_serif_family=_FONT_FAMILY,
                cursive_family=_FONT_FAMILY,
                fantasy_family=_FONT_FAMILY,
                monospace_family=_FONT_FAMILY,
            )
        except ValueError as error:
            raise MediaError("broken", f"is not SVG that can be rendered: {error}") from error
        except BaseException as error:
            if type(error).__name__ == "PanicException":  # of Rust, not an Exception
                raise MediaError("broken", "is SVG at which the renderer fails") from error
            raise
    return Image.open(io.BytesIO(png), formats=["PNG"])


def _parse(data: bytes) -> Element:
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    if data.startswith(_GZIP):
        try:
            data = zlib.decompressobj(31).decompress(data, _MAX_BYTES + 1)
        except zlib.error as error:
            raise MediaError("broken", f"is not compressed SVG: {error}") from error
    if len(data) > _MAX_BYTES:
        raise MediaError("too_large", f"has more than {_MAX_BYTES:,} bytes of SVG, the limit")
    text = _XML_DECLARATION.sub("", decode_text(data).text, count=1)
    try:
        root: Element = fromstring(_without_entities(text), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise MediaError("broken", f"is not valid SVG: {error}") from error
    if _local(root.tag) != "svg":
        raise MediaError("not_an_image", "is XML, but not SVG")
    return root


def _without_entities(text: str) -> str:
    """Replace the entities of the document's own DTD, and remove that.

    Illustrator writes them.
    Entities in entities are left out, so that nothing can multiply. Raises MediaError.
    """
    found = _DOCTYPE.search(text)
    if found is None:
        return text
    entities = {
        name: double or single for name, double, single in _ENTITY.findall(found.group(1) or "")
    }
    text = text[: found.start()] + text[found.end() :]
    if not entities:
        return text
    longest = max(map(len, entities.values()))
    if len(text) + text.count("&") * longest > _MAX_BYTES:
        raise MediaError("too_large", "has entities that become too much text")
    return re.sub(r"&([\w.-]+);", lambda each: entities.get(each[1], each[0]), text)


def _local(tag: object) -> str:
    return tag.rsplit("}", 1)[-1] if isinstance(tag, str) else ""


def _remove_outside(root: Element, max_pixels: int) -> None:
    """Remove programs, and all references to something outside the document."""
    waiting = [(root, 0)]
    while waiting:
        element, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise MediaError("broken", f"is nested more than {_MAX_DEPTH} levels deep")
        for child in list(element):
            if not isinstance(child.tag, str) or _local(child.tag) in _DROPPED:
                element.remove(child)
            else:
                waiting.append((child, depth + 1))
        if _local(element.tag) == "style":
            element.text = _without_urls(_IMPORT.sub("", element.text or ""))
        for name, value in list(element.attrib.items()):
            local = _local(name)
            if local == "href":
                if not _is_inside(element, value, max_pixels):
                    del element.attrib[name]
            elif local == "base" or local.startswith("on"):
                del element.attrib[name]
            else:
                element.attrib[name] = _without_urls(value)


def _is_inside(element: Element, value: str, max_pixels: int) -> bool:
    if value.strip().startswith("#"):
        return _local(element.tag) != "a"
    found = _DATA_IMAGE.match(value)
    if _local(element.tag) not in ("image", "feImage") or found is None:
        return False
    try:
        data = base64.b64decode(re.sub(r"\s+", "", value[found.end() :]), validate=False)
        with Image.open(io.BytesIO(data), formats=["PNG", "JPEG", "GIF", "WEBP"]) as image:
            width, height = image.size
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return width * height <= max_pixels


def _without_urls(text: str) -> str:
    """Keep ``url(#name)`` only."""
    if "url(" not in text.lower():
        return text
    return _URL.sub(lambda each: each[0] if each[2].startswith("#") else "none", text)


def _targets(element: Element) -> Iterator[str]:
    """Yield the names of the elements to which an element refers."""
    for name, value in element.attrib.items():
        if _local(name) == "href" and value.strip().startswith("#"):
            yield value.strip()[1:]
        elif "url(" in value:
            yield from (found[2][1:] for found in _URL.finditer(value))


def _check_references(root: Element) -> None:
    """Raise MediaError if references repeat too many elements, or refer to themselves."""
    by_name: dict[str, Element] = {}
    for element in root.iter():
        if (name := element.get("id")) is not None:
            by_name.setdefault(name, element)
    counts: dict[Element, int] = {}
    opened: set[Element] = set()
    waiting = [root]
    while waiting:
        element = waiting[-1]
        if element in counts:
            waiting.pop()
            continue
        parts = [*element, *(by_name[each] for each in _targets(element) if each in by_name)]
        if element in opened:
            count = 1 + sum(counts[each] for each in parts)
            if count > _MAX_ELEMENTS:
                raise MediaError("too_large", f"draws more than {_MAX_ELEMENTS:,} elements")
            counts[element] = count
            waiting.pop()
            continue
        opened.add(element)
        missing = [each for each in parts if each not in counts]
        if any(each in opened for each in missing):
            raise MediaError("broken", "is SVG that refers to itself without end")
        waiting += missing


def _set_size(root: Element, max_pixels: int) -> None:
    """Set the size in pixels; the view box keeps the drawing as it is."""
    width, height = _pixels(root.get("width")), _pixels(root.get("height"))
    box = _view_box(root.get("viewBox"))
    if box is not None:
        ratio = box[2] / box[3]
        if width is None and height is None:
            width, height = box[2], box[3]
        width = width or (height or _DEFAULT_EDGE) * ratio
        height = height or width / ratio
    else:
        width, height = width or height or _DEFAULT_EDGE, height or width or _DEFAULT_EDGE
        root.set("viewBox", f"0 0 {width:g} {height:g}")
    longer = max(width, height)
    scale = min(max(longer, _MIN_EDGE), _MAX_EDGE) / longer
    scale = min(scale, (max_pixels / (width * height)) ** 0.5)
    root.set("width", str(max(1, int(width * scale))))
    root.set("height", str(max(1, int(height * scale))))


def _pixels(text: str | None) -> float | None:
    found = _LENGTH.match(text or "")
    if found is None:
        return None
    try:
        value = float(found[1]) * _PIXELS.get(found[2] or "px", 16.0)
    except ValueError:
        return None
    return value if 1 / _MAX_SIDE < value < _MAX_SIDE else None


def _view_box(text: str | None) -> tuple[float, float, float, float] | None:
    try:
        left, top, width, height = map(float, re.split(r"[\s,]+", (text or "").strip()))
    except ValueError:
        return None
    if not (1 / _MAX_SIDE < width < _MAX_SIDE and 1 / _MAX_SIDE < height < _MAX_SIDE):
        return None
    return left, top, width, height
