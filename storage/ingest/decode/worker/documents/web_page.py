"""Read web pages and chapters of books: visible text, tables and pictures."""

from __future__ import annotations

import base64
import binascii
import re
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.documents.blocks import Block, Document, table_blocks

if TYPE_CHECKING:
    from bs4.element import Tag

LoadPicture = Callable[[str], Callable[[], bytes] | None]
"""Returns what loads the picture at an address inside of the document, None if it has none."""

_INVISIBLE = (
    "script",
    "style",
    "template",
    "noscript",
    "head",
    "title",
    "math",
    "iframe",
    "object",
)
_BLOCKS = re.compile(
    r"^(?:address|article|aside|blockquote|body|br|dd|div|dl|dt|fieldset|figcaption|figure|footer|"
    r"form|h[1-6]|header|hr|li|main|nav|ol|p|pre|section|table|tbody|td|th|thead|tr|ul)$"
)
_HEADING = re.compile(r"^h[1-6]$")
_ZERO_SIZE = re.compile(r"(?:font-size|opacity|width|height):0(?:px|pt|em|rem|%)?(?:;|$)")
_DATA_URL = re.compile(r"data:image/[\w.+-]{1,40}((?:;[\w=-]{1,40}){0,4}),", re.IGNORECASE)
_MAX_DEPTH = 400
_IMPLIED = re.compile(r"<(/?)(table|tbody|thead|tr|td|th|ul|ol|li|p|dt|dd)\b", re.IGNORECASE)
_CELLS = ("p", "li", "td", "th")
_CLOSES = {
    **dict.fromkeys(("td", "th"), _CELLS),
    "tr": (*_CELLS, "tr"),
    **dict.fromkeys(("tbody", "thead"), (*_CELLS, "tr", "tbody", "thead")),
    "li": ("p", "li"),
    **dict.fromkeys(("dt", "dd"), ("p", "dt", "dd")),
    **dict.fromkeys(("p", "table", "ul", "ol"), ("p",)),
}
_MAX_ALT_CHARS = 2_000


def read_web_page(html: str) -> Document:
    """Return a page with the pictures inside of it. Raises MediaError."""
    return Document(page_blocks(html, load_data_url))


def load_data_url(address: str) -> Callable[[], bytes] | None:
    """Return what decodes a picture in a ``data:`` address; nothing is ever fetched."""
    match = _DATA_URL.match(address)
    if match is None:
        return None

    def load() -> bytes:
        content = unquote_to_bytes(address[match.end() :])
        try:
            return base64.b64decode(content) if ";base64" in match[1].lower() else content
        except (binascii.Error, ValueError) as error:
            raise MediaError("broken", "has a broken picture") from error

    return load


def page_blocks(html: str, load: LoadPicture, *, has_title: bool = True) -> Iterator[Block]:
    """Yield the blocks of a page. Raises MediaError ``broken``."""
    from bs4 import BeautifulSoup
    from bs4.builder import ParserRejectedMarkup

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # such as "looks like a file name"
            page = BeautifulSoup(_close_implied(html), "html.parser")
        title = page.title.get_text(" ", strip=True) if page.title else ""
        walker = _PageWalker(load)
        if has_title and title:
            yield Block("text", " ".join(title.split()))
        yield from walker.walk(page, 0)
        yield from walker.end_line()
    except RecursionError:
        raise MediaError("broken", "is nested too deeply") from None
    except ParserRejectedMarkup as error:
        raise MediaError("broken", f"cannot be parsed: {error}") from error


def _close_implied(html: str) -> str:
    """Add the end tags that HTML lets out: the parser would nest the rows of a table."""
    pieces: list[str] = []
    open_tags: list[str] = []
    place = 0
    for match in _IMPLIED.finditer(html):
        is_end, name = bool(match[1]), match[2].lower()
        pieces.append(html[place : match.start()])
        place = match.start()
        closed = (name,) if is_end else _CLOSES.get(name, ())
        # Not beyond the table or list that the tag is in.
        while open_tags and open_tags[-1] in closed and not is_end:
            pieces.append(f"</{open_tags.pop()}>")
        if is_end:
            while open_tags and name in open_tags:
                if open_tags.pop() == name:
                    break
        elif len(open_tags) < _MAX_DEPTH:
            open_tags.append(name)
    return "".join([*pieces, html[place:]])


class _PageWalker:
    def __init__(self, load: LoadPicture) -> None:
        self._load = load
        self._pieces: list[str] = []
        self._heading: int | None = None

    def end_line(self) -> Iterator[Block]:
        """Yield the line that ends here."""
        text = " ".join("".join(self._pieces).split())
        self._pieces = []
        if text and self._heading is not None:
            yield Block("heading", text, level=self._heading)
        elif text:
            yield Block("text", text)

    def walk(self, tag: Tag, depth: int) -> Iterator[Block]:
        from bs4.element import Comment, Doctype, NavigableString, ProcessingInstruction, Tag

        if depth > _MAX_DEPTH:
            raise RecursionError
        for child in tag.children:
            if isinstance(child, Tag):
                yield from self._tag(child, depth)
            elif isinstance(child, NavigableString) and not isinstance(
                child, Comment | Doctype | ProcessingInstruction
            ):
                self._pieces.append(re.sub(r"\s+", " ", child))

    def _tag(self, tag: Tag, depth: int) -> Iterator[Block]:
        name = tag.name.lower().rpartition(":")[2]
        if name in _INVISIBLE or _is_hidden(tag):
            return
        if name in ("img", "image"):
            yield from self._picture(tag)
        elif name == "svg":
            if text := " ".join(tag.get_text(" ", strip=True).split()):
                self._pieces.append(f" {text} ")
        elif name == "table" and (rows := _data_rows(tag)) is not None:
            yield from self.end_line()
            yield from table_blocks(rows)
            for picture in tag.find_all("img"):
                yield from self._picture(picture)
        elif _HEADING.match(name):
            yield from self.end_line()
            self._heading = int(name[1])
            yield from self.walk(tag, depth + 1)
            yield from self.end_line()
            self._heading = None
        elif _BLOCKS.match(name):
            yield from self.end_line()
            yield from self.walk(tag, depth + 1)
            if name == "figcaption":
                text = " ".join("".join(self._pieces).split())
                self._pieces = []
                if text:
                    yield Block("caption", text)
            yield from self.end_line()
        else:
            yield from self.walk(tag, depth + 1)

    def _picture(self, tag: Tag) -> Iterator[Block]:
        address = str(tag.get("src") or tag.get("href") or tag.get("xlink:href") or "")
        text = " ".join(str(tag.get("alt") or tag.get("title") or "").split())[:_MAX_ALT_CHARS]
        load = self._load(address)
        if load is None and not text:
            return
        if load is None:
            self._pieces.append(f" {text} ")
            return
        yield from self.end_line()
        key = address if len(address) < 200 else str(hash(address))
        yield Block("picture", text, name=key, picture=load)


def _data_rows(table: Tag) -> list[list[str]] | None:
    """Return the cells of a table of data, None for a table that only arranges a page."""
    if table.find("table") is not None or table.find(re.compile(r"^h[1-6]$|^p$|^ul$")) is not None:
        return None
    rows: list[list[str]] = []
    for row in table.find_all("tr"):
        if _is_hidden(row):
            continue
        cells: list[str] = []
        for cell in row.find_all(["td", "th"]):
            if _is_hidden(cell):
                continue
            for hidden in cell.find_all(lambda each: each.name in _INVISIBLE or _is_hidden(each)):
                hidden.extract()
            cells.append(" ".join(cell.get_text(" ").split()))
        rows.append(cells)
    return rows if len(rows) > 1 and max(map(len, rows)) > 1 else None


def _is_hidden(tag: Tag) -> bool:
    style = "".join(str(tag.get("style", "")).split()).lower()
    return (
        tag.has_attr("hidden")
        or "display:none" in style
        or "visibility:hidden" in style
        or _ZERO_SIZE.search(style) is not None
    )
