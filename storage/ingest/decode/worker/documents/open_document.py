"""Read OpenDocument texts, spreadsheets and presentations."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from xml.etree.ElementTree import Element

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.documents.blocks import Block, Document, table_blocks
from sightline.storage.ingest.decode.worker.documents.office_parts import read_properties
from sightline.storage.ingest.decode.worker.documents.package import (
    Package,
    attribute,
    child,
    descendants,
    local_name,
    resolve,
    whole_number,
)

# A few bytes can repeat a cell 16,384 times and a row a million times.
_MAX_COLUMNS, _MAX_REPEATED_ROWS, _MAX_SPACES = 1_000, 1_000, 100
_SKIPPED = {"tracked-changes", "hidden-text", "hidden-paragraph", "forms", "sequence-decls"}


def read_open_document(package: Package) -> Document:
    """Return the content of a document. Raises MediaError."""
    if package.has("META-INF/manifest.xml") and b"encryption-data" in package.read(
        "META-INF/manifest.xml"
    ):
        raise MediaError("encrypted", "needs a password; save it without one")
    body = child(package.xml("content.xml"), "body")
    content = next(iter(body), None) if body is not None else None
    if content is None:
        raise MediaError("broken", "has no content")
    reader = _Reader(package)
    match local_name(content):
        case "spreadsheet":
            blocks = reader.sheets(content)
        case "presentation" | "drawing":
            blocks = reader.slides(content)
        case _:
            blocks = reader.container(content)
    return Document(blocks, read_properties(package))


class _Reader:
    def __init__(self, package: Package) -> None:
        self.package = package

    def sheets(self, content: Element) -> Iterator[Block]:
        tables = [each for each in content if local_name(each) == "table"]
        for number, table in enumerate(tables, 1):
            name = attribute(table, "name") or f"Sheet {number}"
            lead = f"Sheet: {name[:100]}" if len(tables) > 1 else ""
            extras: list[Block] = []
            yield Block("heading", name, number)
            yield from table_blocks(self._rows(table, extras), number, lead)
            for shapes in table:
                if local_name(shapes) == "shapes":
                    extras += self.container(shapes)
            yield from (block._replace(page=number) for block in extras)

    def slides(self, content: Element) -> Iterator[Block]:
        pages = [each for each in content if local_name(each) == "page"]
        for number, page in enumerate(pages, 1):
            blocks = list(self.container(page))
            blocks.sort(key=lambda block: block.kind != "heading")
            yield from (block._replace(page=number) for block in blocks)

    def container(self, parent: Element) -> Iterator[Block]:
        """Yield the blocks inside of an element."""
        for element in parent:
            name = local_name(element)
            if name in _SKIPPED:
                continue
            if name == "h":
                level = whole_number(attribute(element, "outline-level"), 1)
                yield from self._paragraph(element, "heading", level)
            elif name == "p":
                yield from self._paragraph(element, "text")
            elif name == "list":
                yield from self._list(element)
            elif name == "table":
                extras: list[Block] = []
                yield from table_blocks(self._rows(element, extras))
                yield from extras
            elif name == "notes":
                texts = [block.text for block in self.container(element) if block.text]
                if texts:
                    yield Block("note", f"Speaker notes: {' '.join(texts)}")
            elif name == "frame":
                yield from self._frame(element)
            elif name == "annotation":
                yield from self._annotation(element)
            else:
                yield from self.container(element)

    def _frame(self, frame: Element) -> Iterator[Block]:
        texts = [child(frame, name) for name in ("desc", "title")]
        text = next((each.text.strip() for each in texts if each is not None and each.text), "")
        is_title = attribute(frame, "class") == "title"
        for each in frame:
            if local_name(each) == "image":
                name = resolve("", attribute(each, "href") or "")
                load = partial(self.package.read, name) if self.package.has(name) else None
                yield Block("picture", text, name=name, picture=load)
                return
        for block in self.container(frame):
            is_heading = is_title and block.kind == "text"
            yield block._replace(kind="heading") if is_heading else block

    def _paragraph(self, paragraph: Element, kind: str, level: int = 1) -> Iterator[Block]:
        pieces: list[str] = [paragraph.text or ""]
        extras: list[Block] = []
        self._collect(paragraph, pieces, extras)
        if text := "".join(pieces).strip():
            yield Block("heading" if kind == "heading" else "text", text, level=level)
        yield from extras

    def _collect(self, element: Element, pieces: list[str], extras: list[Block]) -> None:
        for each in element:
            name = local_name(each)
            if name == "s":
                count = whole_number(attribute(each, "c"), 1)
                pieces.append(" " * min(count, _MAX_SPACES))
            elif name == "tab":
                pieces.append("\t")
            elif name == "line-break":
                pieces.append("\n")
            elif name == "note":
                if (body := child(each, "note-body")) is not None:
                    text = " ".join(block.text for block in self.container(body) if block.text)
                    extras.append(Block("note", f"Footnote: {text}"))
            elif name == "annotation":
                extras += self._annotation(each)
            elif name == "frame":
                extras += self._frame(each)
            elif name not in _SKIPPED and name != "ruby-text":
                pieces.append(each.text or "")
                self._collect(each, pieces, extras)
            pieces.append(each.tail or "")

    def _annotation(self, element: Element) -> Iterator[Block]:
        author = child(element, "creator")
        texts = [block.text for block in self.container(element) if block.kind == "text"]
        if text := " ".join(texts):
            who = f"{author.text}: " if author is not None and author.text else ""
            yield Block("note", f"Comment: {who}{text}")

    def _list(self, element: Element) -> Iterator[Block]:
        for item in element:
            for each in item:
                if local_name(each) == "list":
                    yield from self._list(each)
                else:
                    holder = Element("item")
                    holder.append(each)
                    for block in self.container(holder):
                        is_item = block.kind == "text"
                        yield block._replace(text=f"- {block.text}") if is_item else block

    def _rows(self, table: Element, extras: list[Block]) -> Iterator[list[str]]:
        above: list[str] = []
        for row in descendants(table, "table-row"):
            cells: list[str] = []
            for cell in row:
                name = local_name(cell)
                if name not in ("table-cell", "covered-table-cell"):
                    continue
                lines = []
                for block in self.container(cell):
                    if block.kind in ("picture", "note"):
                        extras.append(block)
                    else:
                        lines.append(block.text)
                text = " ".join(lines)
                if name == "covered-table-cell" and len(cells) < len(above) and not cells[-1:]:
                    text = above[len(cells)]
                count = whole_number(attribute(cell, "number-columns-repeated"), 1)
                cells += [text] * min(count, _MAX_COLUMNS - len(cells))
            while cells and not cells[-1]:
                cells.pop()
            above = cells
            repeated = whole_number(attribute(row, "number-rows-repeated"), 1) if cells else 1
            for _ in range(min(repeated, _MAX_REPEATED_ROWS)):
                yield cells
