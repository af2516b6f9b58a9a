"""What a search is asked and what it answers. Imports nothing heavy: tools build requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from PIL import Image

from sightline.storage.records.assets import Asset
from sightline.storage.types import Box, Json

Example = str | Image.Image
"""A picture to compare with: an asset's id, or an upright picture that was opened safely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What may be found at all, whatever the query.

    ``collections`` are names; ``None`` is all whose vectors the encoder can search. ``filters`` is
    the JSON language of `filters.parse`. Times are datetimes or ISO 8601 text; without an offset
    they mean the wall clock of the place where the picture was taken.
    """

    collections: tuple[str, ...] | None = None
    filters: Mapping[str, Json] | None = None
    captured_after: datetime | str | None = None
    captured_before: datetime | str | None = None
    kinds: tuple[str, ...] | None = None
    """Passage kinds, of `PASSAGE_KINDS`; passage search only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """Words, a picture, examples, or any mix; at least one.

    ``visual_weight`` 0 to 1 mixes normalised scores (1: only what pictures look like, 0: only
    words on and around them); ``None`` fuses ranks, each branch weighed by its own evidence.
    ``diversity`` 0 to 1 trades score for variety (MMR). ``group_duplicates`` shows one of a group
    of near-identical pictures and names the others. Where ``picture`` was cut out of a larger one,
    ``region`` is its box there, and ``cut_from`` the asset that the larger one is, if it is one.
    """

    query: str = ""
    picture: Example | None = None
    region: Box | None = None
    cut_from: str | None = None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageRequest:
    """A question to be answered by text."""

    query: str
    selection: Selection = field(default_factory=Selection)
    limit: int = 5
    cursor: str | None = None
    principal: str | None = None
    tool: str = "search_text"


class BranchScore(NamedTuple):
    """How one branch saw a hit: place from 1, its own score (higher is better).

    ``distance`` is the cosine distance of vector branches, ``None`` for words.
    """

    rank: int
    score: float
    distance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Text with its provenance. ``snippet`` is the part around the words that were looked for.

    ``id`` is shown as ``p<id>``; ``box`` is in the frame of the asset; times are in seconds.
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


@dataclass(frozen=True, slots=True)
class FoundRegion:
    """The part of the picture that matched best; ``id`` is shown as ``r<id>``."""

    id: int
    kind: str
    box: Box
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHit:
    """A picture that was found and why.

    ``score`` orders the hits of one search and means nothing across searches; ``branches`` has
    each branch's own rank and score, by branch name.
    """

    asset: Asset
    score: float
    branches: Mapping[str, BranchScore]
    region: FoundRegion | None = None
    passage: Passage | None = None
    duplicates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageHit:
    """A passage that was found; ``asset`` is the picture it stands on, when there is one."""

    passage: Passage
    score: float
    branches: Mapping[str, BranchScore]
    asset: Asset | None = None


@dataclass(frozen=True, slots=True)
class BranchReport:
    """What a branch brought.

    ``weight`` 0 to 1 is what its best hit counted in the fusion; ``evidence`` 0 to 1 how far that
    hit stands out from chance; ``threshold`` the branch score from which one does (``None`` where
    the branch has no background to compare with). ``keys`` are its own order: ids of assets, or of
    passages.
    """

    hits: int
    weight: float
    evidence: float
    threshold: float | None = None
    keys: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchReport:
    """How a search went: branches by name, milliseconds by stage, and what a caller should know.

    ``notes`` are sentences such as "only the first 256 terms of the query were used". ``fused`` are
    keys in the order that the branches together gave, before any reranking.
    """

    branches: Mapping[str, BranchReport]
    timings_ms: Mapping[str, float]
    next_cursor: str | None = None
    notes: tuple[str, ...] = ()
    reranked: bool = False
    fused: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageResults:
    """Pictures, best first."""

    hits: tuple[ImageHit, ...]
    report: SearchReport


@dataclass(frozen=True, slots=True)
class PassageResults:
    """Passages, best first."""

    hits: tuple[PassageHit, ...]
    report: SearchReport
