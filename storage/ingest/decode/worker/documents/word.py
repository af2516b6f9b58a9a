"""Read Word documents: text, lists, tables, notes, comments and pictures in order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element

from sightline.storage.ingest.decode.worker.documents.blocks import Block, Document, table_blocks
from sightline.storage.ingest.decode.worker.documents.office_parts import (
    alternative_text,
    picture_block,
    read_properties,
)
from sightline.storage.ingest.decode.worker.documents.package import (
    Package,
    attribute,
    child,
    descendants,
    local_name,
    whole_number,
)

_HEADING = re.compile(r"heading ([1-9])$", re.IGNORECASE)
_SKIPPED = {"del", "moveFrom", "instrText", "delText", "pPr", "rPr", "rt", "tblPr", "tcPr", "trPr"}
_SEPARATE = {"footnote": "footnotes", "endnote": "endnotes"}


class _Style(NamedTuple):
    name: str
    level: int | None
    based_on: str
    numbering: Element | None = None


class WordReader:
    """One document with its styles, lists and notes."""

    def __init__(self, package: Package) -> None:
        main = next(iter(package.related("", "officeDocument")), "word/document.xml")
        self.package, self.part = package, main
        self.relations = package.relations(main)
        self.styles = self._styles()
        self.formats = self._list_formats()
        self.counters: Counter[tuple[str, int]] = Counter()
        # A note that refers to notes is not followed.
        self.notes: dict[str, dict[str, str]] = {}
        self.comments: dict[str, str] = {}
        notes = {kind: self._texts(related, kind) for kind, related in _SEPARATE.items()}
        comments = self._texts("comments", "comment")
        self.notes, self.comments = notes, comments

    def read(self) -> Document:
        """Return the document. Raises MediaError."""
        return Document(self._blocks(), read_properties(self.package))

    def _blocks(self) -> Iterator[Block]:
        body = child(self.package.xml(self.part), "body")
        if body is not None:
            yield from self._container(body)
        edges: dict[str, None] = {}
        for kind in ("header", "footer"):
            for part in self.package.related(self.part, kind):
                for block in self._container(self.package.xml(part)):
                    if block.kind == "text":
                        edges[block.text] = None
        yield from (Block("text", text) for text in edges)

    def _container(self, parent: Element) -> Iterator[Block]:
        for element in parent:
            match local_name(element):
                case "p":
                    yield from self._paragraph(element)
                case "tbl":
                    yield from self._table(element)
                case "sdt":
                    if (content := child(element, "sdtContent")) is not None:
                        yield from self._container(content)
                case "customXml" | "ins" | "moveTo" | "smartTag":
                    yield from self._container(element)

    def _paragraph(self, paragraph: Element) -> Iterator[Block]:
        properties = child(paragraph, "pPr")
        style = child(properties, "pStyle")
        style_id = attribute(style, "val") or ""
        pieces: list[str] = []
        extras: list[Block] = []
        self._collect(paragraph, pieces, extras)
        text = "".join(pieces).strip()
        level = self._level(style_id, properties)
        if text and level is not None:
            yield Block("heading", text, level=level)
        elif text:
            is_caption = self._style_name(style_id) == "caption"
            line = self._list_mark(style_id, properties) + text
            yield Block("caption" if is_caption else "text", line)
        yield from extras

    def _collect(self, element: Element, pieces: list[str], extras: list[Block]) -> None:
        """Add the visible text below an element, and what is shown beside it."""
        for each in element:
            name = local_name(each)
            if name in _SKIPPED:
                continue
            if name in ("t", "sym"):
                pieces.append(each.text or "")
            elif name == "tab":
                pieces.append("\t")
            elif name in ("br", "cr"):
                pieces.append("\n")
            elif name == "noBreakHyphen":
                pieces.append("-")
            elif name == "r":
                if not _is_hidden(each):
                    self._collect(each, pieces, extras)
            elif name in ("footnoteReference", "endnoteReference"):
                kind = name.removesuffix("Reference")
                if note := self.notes.get(kind, {}).get(attribute(each, "id") or ""):
                    extras.append(Block("note", f"{kind.capitalize()}: {note}"))
            elif name == "commentReference":
                if note := self.comments.get(attribute(each, "id") or ""):
                    extras.append(Block("note", f"Comment: {note}"))
            elif name == "AlternateContent":
                choice = child(each, "Choice")
                fallback = child(each, "Fallback")
                before = len(extras), len(pieces)
                if choice is not None:
                    self._collect(choice, pieces, extras)
                if fallback is not None and before == (len(extras), len(pieces)):
                    self._collect(fallback, pieces, extras)
            elif name in ("drawing", "pict", "object"):
                extras += self._drawing(each)
            else:
                self._collect(each, pieces, extras)

    def _drawing(self, drawing: Element) -> Iterator[Block]:
        properties = next(descendants(drawing, "docPr", "cNvPr"), None)
        text = alternative_text(properties)
        for image in descendants(drawing, "blip", "imagedata"):
            target = attribute(image, "embed") or attribute(image, "id")
            if not text and local_name(image) == "imagedata":
                text = attribute(image, "title") or ""
            yield picture_block(self.package, self.relations, target, text)
        for box in descendants(drawing, "txbxContent"):
            yield from self._container(box)

    def _table(self, table: Element) -> Iterator[Block]:
        rows: list[list[str]] = []
        extras: list[Block] = []
        for row in descendants_until(table, "tr", "tbl"):
            cells: list[str] = []
            for cell in descendants_until(row, "tc", "tbl"):
                lines: list[str] = []
                for block in self._container(cell):
                    if block.kind in ("picture", "note"):
                        extras.append(block)
                    else:
                        lines.append(block.text.replace("\n", " "))
                text = " ".join(lines)
                merge = child(cell, "tcPr", "vMerge")
                if merge is not None and attribute(merge, "val") != "restart" and rows:
                    text = rows[-1][len(cells)] if len(cells) < len(rows[-1]) else text
                span = child(cell, "tcPr", "gridSpan")
                width = whole_number(attribute(span, "val"), 1)
                cells += [text, *[""] * (min(width, 100) - 1)]
            rows.append(cells)
        yield from table_blocks(rows)
        yield from extras

    def _level(self, style_id: str, properties: Element | None) -> int | None:
        outline = child(properties, "outlineLvl")
        if (value := whole_number(attribute(outline, "val"), 9)) < 9:
            return value + 1
        for _ in range(10):  # styles can be based on each other in a circle
            style = self.styles.get(style_id)
            if style is None:
                return None
            if style.level is not None:
                return style.level
            style_id = style.based_on
        return None

    def _style_name(self, style_id: str) -> str:
        style = self.styles.get(style_id)
        return style.name.lower() if style else ""

    def _styles(self) -> dict[str, _Style]:
        styles: dict[str, _Style] = {}
        for part in self.package.related(self.part, "styles"):
            for style in descendants(self.package.xml(part), "style"):
                name_element, based = child(style, "name"), child(style, "basedOn")
                name = attribute(name_element, "val") or ""
                match = _HEADING.match(name)
                level = int(match[1]) if match else 1 if name.lower() == "title" else None
                outline = child(style, "pPr", "outlineLvl")
                if level is None and outline is not None:
                    value = whole_number(attribute(outline, "val"), 9)
                    level = value + 1 if value < 9 else None
                parent = attribute(based, "val") or ""
                numbering = child(style, "pPr", "numPr")
                style_id = attribute(style, "styleId") or ""
                styles[style_id] = _Style(name, level, parent, numbering)
        return styles

    def _list_formats(self) -> dict[tuple[str, int], str]:
        """Return the number format of each list and level."""
        formats: dict[tuple[str, int], str] = {}
        for part in self.package.related(self.part, "numbering"):
            root = self.package.xml(part)
            abstract = {
                (attribute(each, "abstractNumId"), whole_number(attribute(level, "ilvl"), 0)): (
                    attribute(form, "val") or ""
                )
                for each in descendants(root, "abstractNum")
                for level in descendants(each, "lvl")
                if (form := child(level, "numFmt")) is not None
            }
            for number in descendants(root, "num"):
                base = child(number, "abstractNumId")
                base_id = attribute(base, "val")
                for level in range(9):
                    if (form_name := abstract.get((base_id, level))) is not None:
                        formats[attribute(number, "numId") or "", level] = form_name
        return formats

    def _list_mark(self, style_id: str, properties: Element | None) -> str:
        numbering = child(properties, "numPr")
        if numbering is None and style_id in self.styles:
            numbering = self.styles[style_id].numbering
        number = child(numbering, "numId")
        list_id = attribute(number, "val") or ""
        if list_id in ("", "0"):  # 0 takes the number of the style away
            return ""
        level_element = child(numbering, "ilvl")
        level = whole_number(attribute(level_element, "val"), 0)
        form = self.formats.get((list_id, level), "bullet")
        if form in ("bullet", "none"):
            return "- "
        self.counters[list_id, level] += 1
        for deeper in range(level + 1, 9):
            self.counters.pop((list_id, deeper), None)
        return f"{numeral(self.counters[list_id, level], form)}. "

    def _texts(self, related: str, kind: str) -> dict[str, str]:
        """Return the notes or comments in another part by id."""
        texts: dict[str, str] = {}
        for part in self.package.related(self.part, related):
            for note in descendants(self.package.xml(part), kind):
                if attribute(note, "type") in ("separator", "continuationSeparator"):
                    continue
                pieces: list[str] = []
                for paragraph in descendants(note, "p"):
                    self._collect(paragraph, pieces, [])
                    pieces.append(" ")
                author = attribute(note, "author")
                text = " ".join("".join(pieces).split())
                texts[attribute(note, "id") or ""] = f"{author}: {text}" if author else text
        return texts


def descendants_until(element: Element, name: str, boundary: str) -> Iterator[Element]:
    """Yield elements below, without those inside of a ``boundary``."""
    for each in element:
        found = local_name(each)
        if found == name:
            yield each
        elif found != boundary:
            yield from descendants_until(each, name, boundary)


def numeral(number: int, form: str) -> str:
    """Return a number of a list as it is shown."""
    match form:
        case "lowerLetter" | "upperLetter":
            letters = chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)
            return letters if form == "lowerLetter" else letters.upper()
        case "lowerRoman" | "upperRoman":
            values = ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))
            text, left = "", min(number, 1_000)
            for value, sign in values:
                text += sign * (left // value)
                left %= value
            return text if form == "lowerRoman" else text.upper()
    return str(number)


def _is_hidden(run: Element) -> bool:
    hidden = child(run, "rPr", "vanish")
    return hidden is not None and attribute(hidden, "val") not in ("0", "false", "off")
