"""What an answer may stand on: pictures and passages, numbered from 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from PIL import Image

from sightline.storage.records import assets
from sightline.storage.records import ocr_lines as written
from sightline.storage.records.assets import Asset
from sightline.storage.records.ocr_lines import WrittenLine
from sightline.storage.retrieval.search_types import (
    FoundRegion,
    ImageHit,
    ImageRequest,
    ImageResults,
    Passage,
    PassageRequest,
    Selection,
)
from sightline.storage.types import PASSAGE_KINDS
from sightline.tools.answers.text_matching import stands_in
from sightline.tools.search_images import is_weak
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.view_image import load_picture

#: Pictures of which a question is asked one by one, at most.
MOST_MEANT: Final = 3
#: Of the first hit's score, or of each branch's: what has this share may be meant as well. On the
#: drawn world's validation split there is such a hit in 2 of 100 searches by a picture's caption.
_AS_GOOD: Final = 0.98
#: What a model is shown of one passage.
PASSAGE_CHARS: Final = 1_200
#: Between the lines of a text that was read.
LINE_BREAK: Final = " | "
#: Kinds of passages that say something; the name of a file says where to look.
_TELLING: Final = tuple(kind for kind in PASSAGE_KINDS if kind != "name")
#: Kinds of passages that were read on a picture or page.
_READ: Final = ("ocr", "page_text")


@dataclass(frozen=True, slots=True)
class PictureEvidence:
    """A picture that the model is shown. ``score`` is the search's, ``None`` where it was given.

    ``written`` is the text on it, as it was read at ingest.
    """

    number: int
    asset: Asset
    image: Image.Image
    score: float | None = None
    region: FoundRegion | None = None
    written: tuple[WrittenLine, ...] = ()


@dataclass(frozen=True, slots=True)
class WrittenEvidence:
    """The text on a picture that is shown, as it was read at ingest: models read little of it."""

    number: int
    picture: PictureEvidence

    @property
    def text(self) -> str:
        """Its lines from the top down."""
        return LINE_BREAK.join(line.text for line in self.picture.written)


@dataclass(frozen=True, slots=True)
class PassageEvidence:
    """A passage that the model is given to read."""

    number: int
    passage: Passage
    score: float
    asset: Asset | None = None

    @property
    def text(self) -> str:
        """What it says."""
        return self.passage.text


TextEvidence = WrittenEvidence | PassageEvidence
Evidence = PictureEvidence | TextEvidence


def picture_of(item: Evidence) -> PictureEvidence | None:
    """The picture that is shown, or whose text it is; ``None`` for other passages."""
    match item:
        case PictureEvidence():
            return item
        case WrittenEvidence():
            return item.picture
        case PassageEvidence():
            return None


async def given(deps: Dependencies, ids: Sequence[str]) -> list[Evidence]:
    """The pictures that the caller named, in that order, then what is written on each.

    Raises UnknownAssetError.
    """
    database = await deps.database.get()
    async with database.connection() as conn:
        records = await assets.fetch(conn, list(dict.fromkeys(ids)))
        lines = await written.lines_on(conn, [record.id for record in records])
    shown = [
        PictureEvidence(
            number, record, await load_picture(deps, record), written=lines.get(record.id, ())
        )
        for number, record in enumerate(records, 1)
    ]
    return _with_text(shown)


async def found(
    deps: Dependencies,
    query: str,
    selection: Selection,
    *,
    most: tuple[int, int],
    principal: str | None,
) -> list[Evidence]:
    """What the two searches bring for the query, ``most`` pictures and passages.

    Pictures come first, then what is written on each, then other passages. A caption is given as
    what it is, a passage: what its file's author believed. For ``most`` of one picture come all
    that match equally: it is not settled which one is meant.
    """
    images = await deps.image_search(
        ImageRequest(
            query=query,
            selection=selection,
            limit=MOST_MEANT if most[0] == 1 else most[0],
            principal=principal,
            tool="answer_question",
        )
    )
    texts = await deps.passage_search(
        PassageRequest(
            query=query,
            selection=replace(selection, kinds=_TELLING),
            limit=most[1],
            principal=principal,
            tool="answer_question",
        )
    )
    hits = _meant(images) if most[0] == 1 else images.hits
    database = await deps.database.get()
    async with database.connection() as conn:
        lines = await written.lines_on(conn, [hit.asset.id for hit in hits])
    evidence = _with_text(
        [
            PictureEvidence(
                number,
                hit.asset,
                await load_picture(deps, hit.asset),
                hit.score,
                hit.region,
                lines.get(hit.asset.id, ()),
            )
            for number, hit in enumerate(hits, 1)
        ]
    )
    read = " ".join(
        item.text[:PASSAGE_CHARS] for item in evidence if isinstance(item, WrittenEvidence)
    )
    for text in texts.hits:
        if text.passage.kind in _READ and stands_in(text.passage.text, read):
            continue  # it is among the evidence already
        evidence.append(PassageEvidence(len(evidence) + 1, text.passage, text.score, text.asset))
    return evidence


def _meant(found: ImageResults) -> Sequence[ImageHit]:
    """The first hit and what is as good; where the first does not stand out, all that there are."""
    hits = found.hits
    if not hits or is_weak(hits[0], found):
        return hits
    return [hit for hit in hits if _is_as_good(hit, hits[0])]


def _is_as_good(hit: ImageHit, first: ImageHit) -> bool:
    """Whether it scores alike, or every branch finds it alike, so that places alone differ."""
    if hit.score >= _AS_GOOD * first.score:
        return True
    return all(
        (own := hit.branches.get(name)) is not None
        and own.score >= best.score - (1 - _AS_GOOD) * abs(best.score)
        for name, best in first.branches.items()
    )


def _with_text(shown: Sequence[PictureEvidence]) -> list[Evidence]:
    """The pictures, and behind them the text on each that has any."""
    evidence: list[Evidence] = list(shown)
    for picture in shown:
        if picture.written:
            evidence.append(WrittenEvidence(len(evidence) + 1, picture))
    return evidence
