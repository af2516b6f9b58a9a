"""What an answer may stand on: pictures and passages, numbered from 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from sightline.storage import assets, written
from sightline.storage.assets import Asset
from sightline.storage.retrieval.records import (
    FoundRegion,
    ImageRequest,
    Passage,
    PassageRequest,
    Selection,
)
from sightline.storage.written import WrittenLine
from sightline.tools.dependencies import Dependencies
from sightline.tools.view_image import load_picture


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
class PassageEvidence:
    """A passage that the model is given to read."""

    number: int
    passage: Passage
    score: float
    asset: Asset | None = None


Evidence = PictureEvidence | PassageEvidence


async def given(deps: Dependencies, ids: Sequence[str]) -> list[Evidence]:
    """The pictures that the caller named, in that order. Raises UnknownAssetError."""
    database = await deps.database.get()
    async with database.connection() as conn:
        records = await assets.fetch(conn, list(dict.fromkeys(ids)))
        lines = await written.lines_on(conn, [record.id for record in records])
    return [
        PictureEvidence(
            number, record, await load_picture(deps, record), written=lines.get(record.id, ())
        )
        for number, record in enumerate(records, 1)
    ]


async def found(
    deps: Dependencies,
    query: str,
    selection: Selection,
    *,
    most: tuple[int, int],
    principal: str | None,
) -> list[Evidence]:
    """What the two searches bring for the query: pictures first, then passages, ``most`` of each.

    A caption says what its file's author believed, and is no evidence for what a picture shows: a
    passage of a picture that is shown anyway counts only where it was read in it.
    """
    images = await deps.image_search(
        ImageRequest(
            query=query,
            selection=selection,
            limit=most[0],
            principal=principal,
            tool="answer_question",
        )
    )
    texts = await deps.passage_search(
        PassageRequest(
            query=query,
            selection=selection,
            limit=most[1],
            principal=principal,
            tool="answer_question",
        )
    )
    database = await deps.database.get()
    async with database.connection() as conn:
        lines = await written.lines_on(conn, [hit.asset.id for hit in images.hits])
    evidence: list[Evidence] = []
    for hit in images.hits:
        evidence.append(
            PictureEvidence(
                len(evidence) + 1,
                hit.asset,
                await load_picture(deps, hit.asset),
                hit.score,
                hit.region,
                lines.get(hit.asset.id, ()),
            )
        )
    for text in texts.hits:
        evidence.append(PassageEvidence(len(evidence) + 1, text.passage, text.score, text.asset))
    return evidence
