"""Read PowerPoint presentations: slides in order, notes and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from sightline.storage.errors import MediaError
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
)

_TITLES = ("title", "ctrTitle")
_PLACE_HOLDERS = ("sldNum", "dt", "ftr", "hdr")  # of the number, date and so on


def read_slides(package: Package) -> Document:
    """Return the slides of a presentation. Raises MediaError."""
    main = next(iter(package.related("", "officeDocument")), "ppt/presentation.xml")
    relations = package.relations(main)
    names = []
    for each in descendants(package.xml(main), "sldId"):
        # Both attributes are named id; that of the relationship has a namespace.
        ids = [value for key, value in each.attrib.items() if key.endswith("}id")]
        if ids and package.has(name := relations.get(ids[0], ("", ""))[1]):
            names.append(name)
    if not names:
        raise MediaError("empty", "has no slides")
    return Document(_slides(package, names), read_properties(package))


def _slides(package: Package, names: list[str]) -> Iterator[Block]:
    for number, name in enumerate(names, 1):
        root = package.xml(name)
        relations = package.relations(name)
        tree = next(descendants(root, "spTree"), None)
        blocks = list(_shapes(package, relations, tree)) if tree is not None else []
        # The title is often not the first shape in the file.
        blocks.sort(key=lambda block: block.kind != "heading")
        yield from (block._replace(page=number) for block in blocks)
        for part in package.related(name, "notesSlide"):
            if text := _notes(package.xml(part)):
                yield Block("note", f"Speaker notes: {text}", number)
        for part in package.related(name, "comments"):
            for each in descendants(package.xml(part), "cm"):
                if text := " ".join("".join(each.itertext()).split()):
                    yield Block("note", f"Comment: {text}", number)


def _shapes(
    package: Package, relations: dict[str, tuple[str, str]], tree: Element
) -> Iterator[Block]:
    for shape in tree:
        properties = next(descendants(shape, "cNvPr"), None)
        if attribute(properties, "hidden") in ("1", "true"):
            continue
        match local_name(shape):
            case "sp":
                yield from _text_shape(shape)
            case "grpSp":
                yield from _shapes(package, relations, shape)
            case "pic":
                blip = next(descendants(shape, "blip"), None)
                target = attribute(blip, "embed")
                text = alternative_text(properties)
                yield picture_block(package, relations, target, text)
            case "graphicFrame":
                yield from _graphic(package, relations, shape)
            case "AlternateContent":
                if (choice := child(shape, "Choice")) is not None:
                    yield from _shapes(package, relations, choice)


def _text_shape(shape: Element) -> Iterator[Block]:
    holder = child(shape, "nvSpPr", "nvPr", "ph")
    kind = attribute(holder, "type")
    body = child(shape, "txBody")
    if body is None or kind in _PLACE_HOLDERS:
        return
    if kind in _TITLES:
        yield Block("heading", " ".join(_paragraphs(body)))
        return
    yield from (Block("text", text) for text in _paragraphs(body))


def _paragraphs(body: Element) -> Iterator[str]:
    for paragraph in descendants(body, "p"):
        pieces = []
        for each in paragraph.iter():
            name = local_name(each)
            if name == "t":
                pieces.append(each.text or "")
            elif name == "br":
                pieces.append(" ")
        if text := " ".join("".join(pieces).split()):
            yield text


def _graphic(
    package: Package, relations: dict[str, tuple[str, str]], frame: Element
) -> Iterator[Block]:
    for table in descendants(frame, "tbl"):
        rows: list[list[str]] = []
        for row in descendants(table, "tr"):
            cells: list[str] = []
            for cell in descendants(row, "tc"):
                text = " ".join(_paragraphs(cell))
                if attribute(cell, "vMerge") in ("1", "true") and rows:
                    text = rows[-1][len(cells)] if len(cells) < len(rows[-1]) else text
                cells.append(text)
            rows.append(cells)
        yield from table_blocks(rows)
    # Charts and diagrams are parts of their own; their words are text.
    parts = [
        relations[value][1]
        for data in descendants(frame, "chart", "relIds")
        for key, value in data.attrib.items()
        if key.rpartition("}")[2] in ("id", "dm") and value in relations
    ]
    for part in parts:
        if package.has(part):
            yield from _part_text(package.xml(part))


def _part_text(root: Element) -> Iterator[Block]:
    if series := list(descendants(root, "ser")):
        title = next(descendants(root, "title"), None)
        if title is not None and (text := " ".join(_paragraphs(title))):
            yield Block("text", text)
        yield from _chart_rows(series)
    else:
        yield from (Block("text", text) for text in _paragraphs(root))


def _chart_rows(series: list[Element]) -> Iterator[Block]:
    """Yield the numbers of a chart as a table: one row for each category."""
    columns: list[list[str]] = []
    names = [""]
    for number, each in enumerate(series[:50], 1):
        label = child(each, "tx")
        names.append(" ".join(_values(label)) if label is not None else f"Series {number}")
        if number == 1:
            columns.append(_values(child(each, "cat")))
        columns.append(_values(child(each, "val")))
    height = max(map(len, columns))
    padded = [column + [""] * (height - len(column)) for column in columns]
    for row in zip(*padded, strict=True):
        named = zip(names, row, strict=True)
        cells = [f"{name}: {value}" if name else value for name, value in named if value]
        yield Block("text", ", ".join(cells))


def _values(element: Element | None) -> list[str]:
    if element is None:
        return []
    return [(each.text or "").strip() for each in descendants(element, "v")][:1_000]


def _notes(root: Element) -> str:
    texts: list[str] = []
    for shape in descendants(root, "sp"):
        holder = child(shape, "nvSpPr", "nvPr", "ph")
        if attribute(holder, "type") == "body":
            body = child(shape, "txBody")
            texts += _paragraphs(body) if body is not None else []
    return " ".join(texts)
