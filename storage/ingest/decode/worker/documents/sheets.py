"""Read Excel workbooks: the rows of each sheet as shown, comments and pictures."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any
from xml.etree.ElementTree import Element, ParseError

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
    whole_number,
)

_MAX_SHEET_BYTES = 512 << 20
_MAX_COLUMNS = 1_000
_MAX_MERGES = 500  # each row looks at all of them
_MAX_MERGED_ROWS = 1_000
_CELL = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00",
    14: "yyyy-mm-dd", 15: "yyyy-mm-dd", 16: "mm-dd", 17: "yyyy-mm", 18: "hh:mm", 19: "hh:mm:ss",
    20: "hh:mm", 21: "hh:mm:ss", 22: "yyyy-mm-dd hh:mm", 37: "#,##0", 38: "#,##0", 39: "#,##0.00",
    40: "#,##0.00", 44: "#,##0.00", 45: "mm:ss", 46: "hh:mm:ss", 47: "mm:ss", 49: "@",
}  # fmt: skip
_QUOTED = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!\$|h|m|s)[^\]]*\]', re.IGNORECASE)
_DATE_SIGNS = re.compile(r"[ymdhs]", re.IGNORECASE)
_CURRENCY = re.compile(r"\[\$([^\]-]+)(?:-[^\]]*)?\]|\"([€$£¥₹₽]|[A-Z]{3})\"|([€$£¥₹₽])")
_ALL_DIGITS = Context(prec=400)
_ZEROS = re.compile(r"0{2,20}")
_DECIMALS = re.compile(r"\.([0#?]+)")
# Wall clocks: a workbook has no time zone.
_EPOCH, _EPOCH_1904 = datetime.fromisoformat("1899-12-30"), datetime.fromisoformat("1904-01-01")
_MAX_SERIAL = 2_958_465  # the last day of the year 9999


def read_sheets(package: Package) -> Document:
    """Return the visible sheets of a workbook. Raises MediaError."""
    return Document(_Workbook(package).blocks(), read_properties(package))


class _Workbook:
    def __init__(self, package: Package) -> None:
        main = next(iter(package.related("", "officeDocument")), "xl/workbook.xml")
        self.package = package
        root = package.xml(main)
        properties = next(descendants(root, "workbookPr"), None)
        self.epoch = _EPOCH
        if attribute(properties, "date1904") in ("1", "true"):
            self.epoch = _EPOCH_1904
        relations = package.relations(main)
        self.sheets: list[tuple[int, str, str]] = []
        for number, sheet in enumerate(descendants(root, "sheet"), 1):
            target = next((v for key, v in sheet.attrib.items() if key.endswith("}id")), "")
            part = relations.get(target, ("", ""))[1]
            # What is hidden is not what a person sees.
            if attribute(sheet, "state") in (None, "visible") and package.has(part):
                self.sheets.append((number, attribute(sheet, "name") or f"Sheet {number}", part))
        if not self.sheets:
            raise MediaError("empty", "has no visible sheets")
        self.strings = [
            "".join(_string_pieces(each))
            for part in package.related(main, "sharedStrings")
            for each in package.xml(part)
            if local_name(each) == "si"
        ]
        self.formats = self._formats(main)

    def blocks(self) -> Iterator[Block]:
        for number, name, part in self.sheets:
            yield Block("heading", name, number)
            lead = f"Sheet: {name[:100]}" if len(self.sheets) > 1 else ""
            yield from table_blocks(self._rows(part), number, lead)
            yield from self._comments(part, number)
            yield from self._pictures(part, number)

    def _rows(self, part: str) -> Iterator[list[str]]:
        """Yield the rows as shown. Cells of a merged range have the text of its first one."""
        merged = self._merged(part)
        anchors = {(row, column) for row, column, _ in merged}
        kept: dict[tuple[int, int], str] = {}
        row_number = 0
        for element in _iterate(self.package, part, "row"):
            row_number = whole_number(element.get("r"), row_number + 1)
            cells: dict[int, str] = {}
            column = -1
            for cell in element:
                if local_name(cell) != "c":
                    continue
                column = _column(cell.get("r"), column + 1)
                if column < _MAX_COLUMNS and (text := self._text(cell)):
                    cells[column] = text
                    if (row_number, column) in anchors:
                        kept[row_number, column] = text
            for first_row, first, last_row in merged:
                # Only down: a wide title is not repeated in each column.
                if first_row < row_number <= last_row and (first_row, first) in kept:
                    cells.setdefault(first, kept[first_row, first])
            width = max(cells, default=-1) + 1
            yield [cells.get(column, "") for column in range(width)]

    def _merged(self, part: str) -> list[tuple[int, int, int]]:
        """Return first row, column and last row of the ranges with several rows."""
        found: list[tuple[int, int, int]] = []
        for each in _iterate(self.package, part, "mergeCell"):
            first, _, last = (attribute(each, "ref") or "").partition(":")
            start, end = _CELL.fullmatch(first), _CELL.fullmatch(last)
            if start is not None and end is not None:
                rows = int(end[2]) - int(start[2])
                if 0 < rows <= _MAX_MERGED_ROWS and len(found) < _MAX_MERGES:
                    found.append((int(start[2]), _index(start[1]), int(end[2])))
        return found

    def _text(self, cell: Element) -> str:
        kind = cell.get("t") or "n"
        if kind == "inlineStr":
            inline = child(cell, "is")
            return "".join(_string_pieces(inline)) if inline is not None else ""
        value = child(cell, "v")
        text = (value.text or "").strip() if value is not None else ""
        if not text:
            formula = child(cell, "f")
            return f"={formula.text}" if formula is not None and formula.text else ""
        match kind:
            case "s":
                number = whole_number(text, -1)
                return self.strings[number] if 0 <= number < len(self.strings) else ""
            case "b":
                return "TRUE" if text == "1" else "FALSE"
            case "n":
                style = whole_number(cell.get("s"), 0)
                code = self.formats[style] if style < len(self.formats) else "General"
                return shown_number(text, code, self.epoch)
        return text

    def _formats(self, main: str) -> list[str]:
        """Return the number format of each cell style."""
        for part in self.package.related(main, "styles"):
            root = self.package.xml(part)
            own = {
                whole_number(attribute(each, "numFmtId"), -1): attribute(each, "formatCode") or ""
                for each in descendants(root, "numFmt")
            }
            cells = next(descendants(root, "cellXfs"), None)
            numbers = [whole_number(attribute(each, "numFmtId"), 0) for each in cells or ()]
            return [own.get(each) or _BUILT_IN.get(each, "General") for each in numbers]
        return []

    def _comments(self, part: str, number: int) -> Iterator[Block]:
        for name in self.package.related(part, "comments"):
            for each in descendants(self.package.xml(name), "comment"):
                text = " ".join("".join(_string_pieces(each)).split())
                if text:
                    place = attribute(each, "ref") or ""
                    yield Block("note", f"Comment at {place[:20]}: {text}", number)

    def _pictures(self, part: str, number: int) -> Iterator[Block]:
        for drawing in self.package.related(part, "drawing"):
            relations = self.package.relations(drawing)
            for picture in descendants(self.package.xml(drawing), "pic"):
                properties = next(descendants(picture, "cNvPr"), None)
                blip = next(descendants(picture, "blip"), None)
                text = alternative_text(properties)
                target = attribute(blip, "embed")
                yield picture_block(self.package, relations, target, text)._replace(page=number)


def shown_number(text: str, code: str, epoch: datetime) -> str:
    """Return a number in a format of Excel; dates are ISO 8601.

    >>> shown_number("0.125", "0.0%", datetime(1899, 12, 30))
    '12.5%'
    """
    try:
        value = float(text)
    except ValueError:
        return text
    if not math.isfinite(value):
        return text
    section = code.split(";", maxsplit=1)[0]
    bare = _QUOTED.sub("", _CURRENCY.sub("", section))
    if _DATE_SIGNS.search(bare):
        return _shown_date(value, bare.lower(), epoch) or text
    # A fraction such as "# ?/?" is shown as a decimal number.
    if bare.strip() in ("General", "@", "") or "/" in bare or not re.search(r"[0#?]", bare):
        return f"{value:.15g}" if value != int(value) or abs(value) >= 1e15 else str(int(value))
    decimals = min(len(match[1]), 15) if (match := _DECIMALS.search(bare)) else 0
    is_percent = "%" in bare
    grouping = "," if re.search(r"[0#?],[0#?]", bare) else ""
    if "E+" in bare or "E-" in bare:
        return f"{value:.{decimals}E}"
    # Excel rounds what it shows with 15 digits, and a half up.
    exact = Decimal(f"{value:.15g}") * (100 if is_percent else 1)
    rounded = exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP, _ALL_DIGITS)
    number = f"{rounded:{grouping}f}"
    if zeros := _ZEROS.fullmatch(bare.strip()):
        number = number.zfill(len(zeros[0]) + (value < 0))  # such as a postal code
    if is_percent:
        number += "%"
    if found := _CURRENCY.search(section):
        sign = next(each for each in found.groups() if each)
        is_before = found.start() < re.search(r"[0#?]", section).start()  # type: ignore[union-attr]
        number = f"{sign}{number}" if is_before else f"{number} {sign}"
    return number


def _shown_date(value: float, code: str, epoch: datetime) -> str | None:
    if not 0 <= value <= _MAX_SERIAL:
        return None
    moment = epoch + timedelta(seconds=round(value * 86_400))
    has_day = "y" in code or "d" in code
    has_time = "h" in code or "s" in code
    if not has_day and has_time:
        if "[" in code and value >= 1:
            minutes, seconds = divmod(round(value * 86_400), 60)
            return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
        return moment.strftime("%H:%M:%S" if "s" in code else "%H:%M")
    return moment.strftime("%Y-%m-%d %H:%M" if has_time else "%Y-%m-%d")


def _iterate(package: Package, part: str, name: str) -> Iterator[Element]:
    """Yield elements of a large part one by one. Raises MediaError."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    data = io.BytesIO(package.read(part, _MAX_SHEET_BYTES))
    parents: list[Any] = []
    try:
        for event, element in iterparse(data, events=("start", "end")):
            if event == "start":
                parents.append(element)
                if len(parents) > 60:
                    raise MediaError("broken", "is nested too deeply")
                continue
            parents.pop()
            if local_name(element) == name:
                yield element
            if local_name(element) in ("row", "mergeCell"):
                element.clear()
                if parents:
                    parents[-1].remove(element)
    except DefusedXmlException as error:
        raise MediaError("broken", "has XML with entities, which are not read") from error
    except (ParseError, ValueError, LookupError) as error:
        raise MediaError("broken", f"has a broken sheet: {error}") from error


def _string_pieces(element: Element) -> Iterator[str]:
    """Yield the text of a string, without the phonetic readings of Japanese."""
    for each in element:
        name = local_name(each)
        if name == "t":
            yield each.text or ""
        elif name != "rPh":
            yield from _string_pieces(each)


def _column(reference: str | None, default: int) -> int:
    match = _CELL.fullmatch(reference or "")
    return _index(match[1]) if match else default


def _index(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1
