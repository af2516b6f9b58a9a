"""Sources and the text that was read from them at ingest."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal

from sightline.storage.db.queries import Connection, fetch_all, fetch_one, fetch_values, load_sql
from sightline.storage.errors import InvalidArgumentError, similar_texts
from sightline.storage.types import PassageKind

MAX_NAMESAKES: Final = 6
#: Begins the name of a source in concise results if its first folders are left out.
SHORTENED: Final = "…/"
#: Passages of one part of a text; most are far longer than the shortest.
_MAX_PASSAGES: Final = 4_000
#: Longer texts are not counted.
_MAX_COUNTED_CHARS: Final = 2_000_000
_MAX_INTEGER: Final = 2**31 - 1
_MAX_COMPARED_NAMES: Final = 1_000
_MAX_SIMILAR_NAMES: Final = 5
_MIN_SIMILARITY: Final = 0.5
_MAX_LISTED_PAGES: Final = 20

_SQL = load_sql("source_text")


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """Where the bytes of a document are, for ``BlobStore.read``."""

    location: str
    sha256: bytes


async def fetch_document(connection: Connection, source_id: int) -> StoredDocument | None:
    """Return the document of a source, None if it is none."""
    params = {"source_id": source_id}
    return await fetch_one(connection, _SQL["document"], params, row=StoredDocument)


@dataclass(frozen=True, slots=True)
class StoredMedia:
    """Where the bytes of a video or sound are, and its MIME type."""

    location: str
    sha256: bytes
    mime_type: str | None


async def fetch_media(connection: Connection, source_id: int) -> StoredMedia | None:
    """Return the video or sound of a source, None if it is none."""
    params = {"source_id": source_id}
    return await fetch_one(connection, _SQL["media"], params, row=StoredMedia)


@dataclass(frozen=True, slots=True)
class Source:
    """An ingested file; ``error`` is why it failed, ``page_count`` of a document."""

    id: int
    name: str
    collection: str
    kind: Literal["image", "pdf", "document", "video", "audio", "text", "unknown"]
    ocr_engine: str | None
    transcriber: str | None
    error: str | None
    page_count: int | None


async def fetch_source(connection: Connection, source_id: int) -> Source | None:
    return await fetch_one(connection, _SQL["source"], {"id": source_id}, row=Source)


async def find_sources(connection: Connection, name: str, collection: str | None) -> list[Source]:
    """Return up to six sources with this name, or else those that end with it.

    The end is a file name, or a path of the last folders. Without a collection, all collections
    are searched.
    """
    if "\0" in name:
        return []
    params = {"name": name, "collection": collection, "limit": MAX_NAMESAKES}
    found = await fetch_all(connection, _SQL["sources_by_name"], params, row=Source)
    return [source for source in found if source.name == name] or found


async def similar_names(connection: Connection, name: str, collection: str | None) -> list[str]:
    """Return names of sources that are like an unknown one, or some of all names."""
    part = posixpath.splitext(posixpath.basename(name.replace("\0", "")))[0]
    params = {"part": part, "collection": collection, "limit": _MAX_COMPARED_NAMES}
    names: list[str] = await fetch_values(connection, _SQL["similar_names"], params)
    by_file: dict[str, list[str]] = {}
    for each in names:
        by_file.setdefault(posixpath.basename(each), []).append(each)
    close = similar_texts(
        [posixpath.basename(name)],
        by_file,
        limit=_MAX_SIMILAR_NAMES,
        min_similarity=_MIN_SIMILARITY,
    )
    similar = [each for file in close for each in by_file[file]]
    similar += [each for each in names[:_MAX_SIMILAR_NAMES] if part.lower() in each.lower()]
    return list(dict.fromkeys(similar or names))[:_MAX_SIMILAR_NAMES]


@dataclass(frozen=True, slots=True)
class TextPosition:
    """A place in a text: a passage, and the number of its characters before it.

    ``reached`` is where the chunks before the passage end in the file, None if that is unknown.
    """

    passage_id: int
    offset: int
    reached: int | None


@dataclass(frozen=True, slots=True)
class PassageText:
    """The text of a passage in a source, from the character ``skipped`` on.

    ``next_id`` is the passage that follows. ``gap`` counts the characters that are missing between
    two chunks, None if that is unknown; for ``reached``, see `TextPosition`.
    """

    id: int
    next_id: int | None
    reached: int | None
    skipped: int
    gap: int | None
    text: str
    char_end: int | None
    asset_id: str | None
    kind: PassageKind
    page: int | None
    start_seconds: float | None
    confidence: float | None

    def position(self, count: int) -> TextPosition | None:
        """Return the place after so many characters of the text, None at the end of all."""
        if count < len(self.text):
            return TextPosition(self.id, self.skipped + count, self.reached)
        if self.next_id is None:
            return None
        ends = [self.reached, self.char_end if self.kind == "chunk" else None]
        reached = max((each for each in ends if each is not None), default=None)
        return TextPosition(self.next_id, 0, reached)


@dataclass(frozen=True, slots=True)
class _Place:
    page: int
    seconds: float
    ordinal: int


_START: Final = _Place(page=0, seconds=-math.inf, ordinal=-_MAX_INTEGER)


@dataclass(frozen=True, slots=True)
class TextSelection:
    """The text of a source: all of it, of one asset, or of ranges of pages."""

    source_id: int
    asset_id: str | None = None
    #: Pairs of first and last page, from 1; None: all pages.
    pages: Sequence[tuple[int, int]] | None = None

    @property
    def params(self) -> dict[str, object]:
        first = None if self.pages is None else [each[0] for each in self.pages]
        last = None if self.pages is None else [each[1] for each in self.pages]
        return {
            "source_id": self.source_id,
            "asset_id": self.asset_id,
            "first_pages": first,
            "last_pages": last,
            "min_page": min(first, default=0) if first else 0,
            "max_page": max(last, default=_MAX_INTEGER) if last else _MAX_INTEGER,
        }


async def fetch_passages(
    connection: Connection,
    selection: TextSelection,
    *,
    start: TextPosition | None = None,
    max_chars: int,
    max_passages: int = _MAX_PASSAGES,
) -> list[PassageText]:
    """Return the passages with the characters from ``start`` on, in reading order.

    File names and captions are no part of the text. A text can be empty: other chunks have it. The
    cost depends on what is returned, and not on the length of the source. Raises
    InvalidArgumentError if the source has no passage at ``start``.
    """
    place: _Place | None = _START
    if start is not None:
        params = {"id": start.passage_id, "source_id": selection.source_id}
        place = await fetch_one(connection, _SQL["place"], params, row=_Place)
        if place is None:
            raise InvalidArgumentError(
                "The text changed, or `start` is of another text. Read it again without `start`."
            )
    values = {
        **selection.params,
        **asdict(place or _START),
        "id": start.passage_id if start else 0,
        "offset": start.offset if start else 0,
        "reached": start.reached if start else None,
        "max_chars": max_chars,
        "limit": max_passages,
    }
    return await fetch_all(connection, _SQL["passages"], values, row=PassageText)


async def count_characters(connection: Connection, selection: TextSelection) -> int | None:
    """Return the length of a text, None if it has very many passages."""
    passages = await fetch_passages(connection, selection, max_chars=_MAX_COUNTED_CHARS)
    if passages and passages[-1].next_id is not None:
        return None
    return sum(len(each.text) for each in passages)


async def pages_without_text(connection: Connection, selection: TextSelection) -> list[int]:
    """Return the first 20 pages of the selection on which no text was read."""
    params = {**selection.params, "limit": _MAX_LISTED_PAGES}
    return await fetch_values(connection, _SQL["pages_without_text"], params)
