"""What an answer may stand on: pictures and passages, numbered from 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from sightline.storage import assets
from sightline.storage.assets import Asset
from sightline.storage.retrieval.records import (
    FoundRegion,
    ImageRequest,
    Passage,
    PassageRequest,
    Selection,
)
from sightline.tools.dependencies import Dependencies
from sightline.tools.view_image import load_picture

#: Passages that are put before the model, besides the pictures.
MOST_PASSAGES = 4


@dataclass(frozen=True, slots=True)
class PictureEvidence:
    """A picture that the model is shown. ``score`` is the search's, ``None`` where it was given."""

    number: int
    asset: Asset
    image: Image.Image
    score: float | None = None
    region: FoundRegion | None = None


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
    return [
        PictureEvidence(number, record, await load_picture(deps, record))
        for number, record in enumerate(records, 1)
    ]


async def found(
    deps: Dependencies, question: str, selection: Selection, *, pictures: int, principal: str | None
) -> list[Evidence]:
    """What the two searches bring for the question: pictures first, then passages.

    A caption says what its file's author believed, and is no evidence for what a picture shows: a
    passage of a picture that is shown anyway counts only where it was read in it.
    """
    images = await deps.image_search(
        ImageRequest(
            query=question,
            selection=selection,
            limit=pictures,
            principal=principal,
            tool="answer_question",
        )
    )
    texts = await deps.passage_search(
        PassageRequest(
            query=question,
            selection=selection,
            limit=MOST_PASSAGES,
            principal=principal,
            tool="answer_question",
        )
    )
    evidence: list[Evidence] = []
    for hit in images.hits:
        image = await load_picture(deps, hit.asset)
        evidence.append(PictureEvidence(len(evidence) + 1, hit.asset, image, hit.score, hit.region))
    for text in texts.hits:
        evidence.append(PassageEvidence(len(evidence) + 1, text.passage, text.score, text.asset))
    return evidence
