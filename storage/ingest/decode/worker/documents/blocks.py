"""The blocks of a document in reading order: text, rows, notes, pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from typing import Literal, NamedTuple

from sightline.storage.ingest.decode.worker.text_files import MAX_ROW_CHARS, row_text
from sightline.storage.ingest.discover.caption_tables import dedupe_headers
from sightline.storage.ingest.metadata.embedded_metadata import NO_METADATA, EmbeddedMetadata
from sightline.storage.ingest.plain_text.column_types import is_typed, is_year

_CAPTION = re.compile(
    r"(?:figure|fig\.|abbildung|abb\.|table|tabelle|figura|tableau|рис\.|图|圖|図|그림)\s*[\d.]",
    re.IGNORECASE,
)
_MAX_CAPTION_CHARS = 500
_HEADER_ROWS = 20  # at the start, among which the header is looked for


class Block(NamedTuple):
    """A piece of a document.

    ``page`` is the number of the slide or sheet. A ``note`` is a comment, footnote or speaker note.
    ``picture`` returns the bytes of a picture; its ``text`` is its alternative text, and ``name``
    is the same for the same picture.
    """

    kind: Literal["heading", "text", "caption", "row", "note", "picture"]
    text: str = ""
    page: int | None = None
    level: int = 1
    name: str = ""
    picture: Callable[[], bytes] | None = None

    @property
    def is_caption(self) -> bool:
        """Return whether this is the line below a picture."""
        if self.kind == "caption":
            return True
        is_short = self.kind == "text" and len(self.text) <= _MAX_CAPTION_CHARS
        return is_short and _CAPTION.match(self.text) is not None


class Document(NamedTuple):
    """The blocks of a file, and what it says about itself."""

    blocks: Iterable[Block]
    embedded: EmbeddedMetadata = NO_METADATA


def table_blocks(
    rows: Iterable[Sequence[str]], page: int | None = None, lead: str = ""
) -> Iterator[Block]:
    """Yield the rows of a table as ``column: value``.

    ``lead`` is the first line of each.
    Rows above the header are text. A table of one column or one row is layout, and text.
    """
    waiting = iter(row for row in rows if any(cell.strip() for cell in row))
    first = list(islice(waiting, _HEADER_ROWS))
    width = max((_width(row) for row in first), default=0)
    if width < 2 or len(first) < 2:
        for row in (*first, *waiting):
            yield Block("text", " | ".join(cell.strip() for cell in row if cell.strip()), page)
        return
    start = next((number for number, row in enumerate(first) if _is_header(row, first)), None)
    columns: list[str] = []
    if start is not None:
        columns = dedupe_headers([" ".join(cell.split()) for cell in first[start]])
        for row in first[:start]:
            yield Block("text", " | ".join(cell.strip() for cell in row if cell.strip()), page)
        first = first[start + 1 :]
    for row in (*first, *waiting):
        yield Block("row", _row(columns, row, lead), page)


def _row(columns: Sequence[str], cells: Sequence[str], lead: str) -> str:
    """Return a row as lines of ``column: value``, without columns on one line."""
    if not columns:
        text = " | ".join(cell.strip() for cell in cells if cell.strip())
        return (f"{lead}\n{text}" if lead else text)[:MAX_ROW_CHARS]
    values = (cell.strip() for cell in cells)
    return row_text(zip_longest(columns[: len(cells)], values, fillvalue=""), lead)


def _width(row: Sequence[str]) -> int:
    return sum(1 for cell in row if cell.strip())


def _is_header(row: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a row names the columns: it is wide, and has no numbers or dates."""
    width = max(map(_width, rows))
    cells = [cell for cell in row if cell.strip()]
    if len(cells) < max(2, width / 2) or row is rows[-1]:
        return False
    return all(is_year(cell) or not is_typed(cell) for cell in cells)
