"""Requests, hits and results of the searches and their retrievers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from PIL import Image

from sightline.storage.records.assets import Asset
from sightline.storage.text.query_analysis import QueryTerm
from sightline.storage.types import Box, Json

Hit_co = TypeVar("Hit_co", covariant=True)

MAX_RESULTS = 100
"""Number of hits that each retriever returns, and the last result that paging reaches."""

Key = str | int
"""An asset id or a passage id."""

Modality = Literal["visual", "text"]
ResultLevel = Literal["asset", "passage"]
"""What the keys of a result identify."""

Example = str | Image.Image
"""An image to compare with: an asset id, or an upright image that was decoded safely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Restricts what a search may return, whatever the query.

    ``collections`` are names; None means all collections that the encoder can search. ``filters``
    uses the JSON language of `filter_language.parse`. Times are datetimes or ISO 8601 text; a time
    without an offset is the local time where the image was taken.
    """

    collections: tuple[str, ...] | None = None
    filters: Mapping[str, Json] | None = None
    captured_after: datetime | str | None = None
    captured_before: datetime | str | None = None
    kinds: tuple[str, ...] | None = None
    """Passage kinds (`PASSAGE_KINDS`); used by passage search only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """A search for images by text, image or examples.

    Without any of them, all images of the selection are listed: the newest first, then by source.
    ``visual_weight`` 0 to 1 mixes normalized scores (1: appearance only, 0: text only); None fuses
    ranks, weighted by the confidence of each hit. ``diversity`` 0 to 1 trades score for variety
    (MMR). ``group_duplicates`` returns one image of a group of near-duplicates. If ``image`` is a
    crop, ``region`` is its box in the larger image and ``crop_of`` the asset id of that image.
    """

    query: str = ""
    image: Example | None = None
    region: Box | None = None
    crop_of: str | None = None
    like: tuple[Example, ...] = ()
    unlike: tuple[Example, ...] = ()
    selection: Selection = field(default_factory=Selection)
    visual_weight: float | None = None
    diversity: float = 0.0
    group_duplicates: bool = False
    limit: int = 5
    cursor: str | None = None
    principal: str | None = None
    tool: str = "search_images"

    @property
    def examples(self) -> tuple[Example, ...]:
        """The image and all examples."""
        return (*(() if self.image is None else (self.image,)), *self.like, *self.unlike)

    @property
    def named_assets(self) -> list[str]:
        """Ids of the assets that the request uses as image or examples."""
        return [each for each in self.examples if isinstance(each, str)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageRequest:
    """A search for passages by text; without it, all are listed in document order."""

    query: str = ""
    selection: Selection = field(default_factory=Selection)
    limit: int = 5
    cursor: str | None = None
    principal: str | None = None
    tool: str = "search_text"


class RetrieverScore(NamedTuple):
    """Rank (from 1), score and cosine distance that one retriever gave a hit."""

    rank: int
    score: float
    distance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Text with its provenance.

    ``snippet`` is the part around the words of the query, ``box`` that of the lines that contain
    them, normalized to the asset; ``has_words`` says whether there are any. ``id`` is displayed as
    ``p<id>``.
    """

    id: int
    kind: str
    text: str
    snippet: str
    language: str | None = None
    source: str
    collection: str
    asset_id: str | None = None
    page: int | None = None
    box: Box | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    char_start: int | None = None
    char_end: int | None = None
    confidence: float | None = None
    has_words: bool = False


@dataclass(frozen=True, slots=True)
class MatchedRegion:
    """The region of an image that matched best; ``id`` is displayed as ``r<id>``."""

    id: int
    kind: str
    box: Box
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHit:
    """An image in the result.

    Hits that are not ``weak`` come first; ``score`` orders the hits of either kind and is not
    comparable between searches. A weak hit does not stand out from chance. ``retrievers`` maps
    retriever names to their own rank and score.
    """

    asset: Asset
    score: float
    retrievers: Mapping[str, RetrieverScore]
    weak: bool = False
    region: MatchedRegion | None = None
    passage: Passage | None = None
    duplicates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageHit:
    """A passage in the result, with its asset if it has one.

    ``weak`` is as in `ImageHit`.
    """

    passage: Passage
    score: float
    retrievers: Mapping[str, RetrieverScore]
    weak: bool = False
    asset: Asset | None = None


@dataclass(frozen=True, slots=True)
class RetrieverReport:
    """What one retriever contributed.

    ``weight`` 0 to 1 is the fusion weight of its best hit, ``confidence`` 0 to 1 how far that hit
    stands out from chance, and ``threshold`` the score from which a hit stands out (None if there
    is no null distribution). ``keys`` are asset or passage ids in the retriever's own order.
    """

    hits: int
    weight: float
    confidence: float
    threshold: float | None = None
    keys: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchReport:
    """Diagnostics of a search: retrievers by name, milliseconds by stage, notes.

    ``notes`` are sentences for the caller. ``fused_keys`` is the fused order before reranking.
    ``total`` is the exact number of matches of a listing, None for a search with a query.
    """

    retrievers: Mapping[str, RetrieverReport]
    timings_ms: Mapping[str, float]
    next_cursor: str | None = None
    notes: tuple[str, ...] = ()
    reranked: bool = False
    total: int | None = None
    fused_keys: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchResults(Generic[Hit_co]):
    """Hits, best first, with the report of the search."""

    hits: tuple[Hit_co, ...]
    report: SearchReport


ImageResults = SearchResults[ImageHit]
PassageResults = SearchResults[PassageHit]


class Hit(NamedTuple):
    """One result of one retriever; a higher score is better.

    ``confidence`` 0 to 1 states how far the hit stands out from chance: for vectors, compared with
    the null distribution; for words, by the rarity of the matched terms. ``is_significant`` says
    whether it stands out at all; None: there are too few items to tell. ``coverage`` 0 to 1 is the
    share of the query's informative words that the hit contains, weighted by rarity; None for
    retrievers that do not match words. ``copy`` is above 0 for a copy of the query's picture, more
    for a more certain one.
    """

    key: Key
    score: float
    distance: float | None = None
    confidence: float = 1.0
    region_id: int | None = None
    passage_id: int | None = None
    is_significant: bool | None = None
    coverage: float | None = None
    copy: float = 0.0


@dataclass(frozen=True, slots=True)
class RetrieverResult:
    """Hits of a retriever, best first, one for each key.

    ``floor`` is the score of an unrelated item, ``threshold`` that from which a hit stands out.
    ``terms`` are those that were searched in text, with near words. ``note_if_empty`` is for a
    search without any hit.
    """

    hits: tuple[Hit, ...]
    floor: float = 0.0
    threshold: float | None = None
    notes: tuple[str, ...] = ()
    terms: tuple[QueryTerm, ...] = ()
    note_if_empty: str = ""

    @property
    def confidence(self) -> float:
        return max((hit.confidence for hit in self.hits), default=0.0)


class Retriever(Protocol):
    """A retriever call: one kind of search with its query and scope."""

    @property
    def name(self) -> str:
        """Name in results, such as ``text_to_image``."""

    @property
    def modality(self) -> Modality:
        """The side that ``visual_weight`` weighs."""

    async def retrieve(self) -> RetrieverResult: ...


def best_per_key(hits: Iterable[Hit]) -> tuple[Hit, ...]:
    """Return the best `MAX_RESULTS` hits, one for each key.

    Copies are first; ties are ordered by key.
    """
    best: dict[Key, Hit] = {}
    for hit in sorted(hits, key=lambda hit: (-hit.copy, -hit.score, str(hit.key))):
        best.setdefault(hit.key, hit)
    return tuple(best.values())[:MAX_RESULTS]
