"""Collect the numbered evidence: images, their OCR text, and passages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from PIL import Image

from sightline.storage.records import assets
from sightline.storage.records.assets import Asset, AssetTextLine
from sightline.storage.retrieval.search_types import (
    ImageHit,
    ImageRequest,
    MatchedRegion,
    Passage,
    PassageRequest,
    Selection,
)
from sightline.storage.types import PASSAGE_KINDS, Box
from sightline.tools.answers.text_matching import contains_phrase
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.image_loading import load_asset
from sightline.tools.shared.images import crop

#: Maximum number of images that are asked about one by one.
MAX_AMBIGUOUS_IMAGES: Final = 3
#: A hit with this share of the best score may be meant as well. In the validation split of the
#: synthetic world, 2 of 100 searches by an image's caption have such a hit.
_EQUAL_SHARE: Final = 0.98
#: Maximum text of one passage in a prompt.
PASSAGE_CHARS: Final = 1_200
#: Longer side of a crop for a check.
CROP_EDGE_PIXELS: Final = 1024
#: Separates OCR lines in a prompt.
LINE_BREAK: Final = " | "
#: A file name is not a source of facts.
_FACTUAL_KINDS: Final = tuple(kind for kind in PASSAGE_KINDS if kind != "name")
_OCR_KINDS: Final = ("ocr", "page_text")


@dataclass(frozen=True, slots=True)
class ImageEvidence:
    """An image with its OCR text; ``score`` is None for a named asset.

    ``weak`` is as in `ImageHit`. ``loaded`` is the image as large as the model sees it, None
    without a model. ``load_crop`` returns a part in full detail, None if ``loaded`` has it.
    """

    number: int
    asset: Asset
    loaded: Image.Image | None
    score: float | None = None
    region: MatchedRegion | None = None
    ocr_lines: tuple[AssetTextLine, ...] = ()
    load_crop: Callable[[Box], Awaitable[Image.Image]] | None = None
    weak: bool = False

    @property
    def image(self) -> Image.Image:
        """Return the loaded image. Raises ValueError if there is none."""
        if self.loaded is None:
            raise ValueError(f"the image {self.number} was not loaded")
        return self.loaded

    async def crop(self, box: Box) -> Image.Image:
        """Return the part inside a normalized box.

        Raises MediaError and ModelOverloadedError.
        """
        if self.load_crop is not None:
            return await self.load_crop(box)
        return await asyncio.to_thread(crop, self.image, box)


@dataclass(frozen=True, slots=True)
class OcrEvidence:
    """The OCR text of an image. Models often cannot read it in the image itself."""

    number: int
    image_evidence: ImageEvidence

    @property
    def asset(self) -> Asset:
        return self.image_evidence.asset

    @property
    def weak(self) -> bool:
        return self.image_evidence.weak

    @property
    def text(self) -> str:
        """Return the OCR lines in reading order."""
        return _ocr_text(self.image_evidence)


@dataclass(frozen=True, slots=True)
class PassageEvidence:
    """A passage from the passage search."""

    number: int
    passage: Passage
    score: float
    asset: Asset | None = None
    weak: bool = False

    @property
    def text(self) -> str:
        return self.passage.text


def _ocr_text(image: ImageEvidence) -> str:
    return LINE_BREAK.join(line.text for line in image.ocr_lines)


TextEvidence = OcrEvidence | PassageEvidence
Evidence = ImageEvidence | TextEvidence


def image_of(item: Evidence) -> ImageEvidence | None:
    """Return the image of an image or OCR item, None for a passage."""
    if isinstance(item, OcrEvidence):
        return item.image_evidence
    return item if isinstance(item, ImageEvidence) else None


async def evidence_of_assets(
    deps: Dependencies, ids: Sequence[str], *, max_edge: int | None
) -> list[Evidence]:
    """Return the named assets in order, then their OCR text.

    Images are reduced to ``max_edge``, and not loaded with None. Raises UnknownAssetError.
    """
    async with deps.connection() as connection:
        records = await assets.fetch(connection, list(dict.fromkeys(ids)))
    images = await _load_images(deps, [(record, None, None) for record in records], max_edge)
    return _in_order(images, [])


async def search_evidence(
    deps: Dependencies,
    query: str,
    selection: Selection,
    *,
    max_images: int,
    max_passages: int,
    max_edge: int | None,
    principal: str | None,
) -> list[Evidence]:
    """Search images and passages; return images, their OCR text, then other passages.

    Weak hits come after all others. Images are loaded as in `evidence_of_assets`.

    With ``max_images=1`` all images that match equally well are returned (`MAX_AMBIGUOUS_IMAGES`),
    because it is open which one is meant.
    """
    images = await deps.image_search(
        ImageRequest(
            query=query,
            selection=selection,
            limit=MAX_AMBIGUOUS_IMAGES if max_images == 1 else max_images,
            principal=principal,
            tool="answer_question",
        )
    )
    passages = await deps.passage_search(
        PassageRequest(
            query=query,
            selection=replace(selection, kinds=_FACTUAL_KINDS),
            limit=max_passages,
            principal=principal,
            tool="answer_question",
        )
    )
    found = sorted(images.hits, key=lambda hit: hit.weak)
    hits = _equal_hits(found) if max_images == 1 else found
    # A waveform shows nothing; what is said is among the passages.
    hits = [hit for hit in hits if hit.asset.kind != "audio"]
    matches = [(hit.asset, hit.score, hit.region) for hit in hits]
    loaded = await _load_images(deps, matches, max_edge)
    # An image is as good as the text that is on it.
    strong = {hit.asset.id for hit in hits if not hit.weak}
    strong |= {
        hit.passage.asset_id for hit in passages.hits if not hit.weak and hit.passage.asset_id
    }
    loaded = [replace(image, weak=image.asset.id not in strong) for image in loaded]
    ocr_text = " ".join(_ocr_text(image)[:PASSAGE_CHARS] for image in loaded)
    others = [
        PassageEvidence(0, hit.passage, hit.score, hit.asset, hit.weak)
        for hit in passages.hits
        # The other texts of an image are already among its OCR text.
        if hit.passage.kind not in _OCR_KINDS or not contains_phrase(ocr_text, hit.passage.text)
    ]
    return _in_order(loaded, others)


def _in_order(
    images: Sequence[ImageEvidence], passages: Sequence[PassageEvidence]
) -> list[Evidence]:
    """Number images, their OCR text and passages; weak ones come after all others."""
    evidence: list[Evidence] = []
    for weak in (False, True):
        shown = [
            replace(image, number=number)
            for number, image in enumerate(
                (each for each in images if each.weak == weak), len(evidence) + 1
            )
        ]
        evidence += shown
        with_text = [image for image in shown if image.ocr_lines]
        evidence += [OcrEvidence(n, image) for n, image in enumerate(with_text, len(evidence) + 1)]
        found = [each for each in passages if each.weak == weak]
        evidence += [replace(each, number=n) for n, each in enumerate(found, len(evidence) + 1)]
    return evidence


async def _load_images(
    deps: Dependencies,
    matches: Sequence[tuple[Asset, float | None, MatchedRegion | None]],
    max_edge: int | None,
) -> list[ImageEvidence]:
    """Return the images in order, with their OCR text."""
    async with deps.connection() as connection:
        lines = await assets.text_lines(connection, [asset.id for asset, _, _ in matches])
    images = []
    for number, (asset, score, region) in enumerate(matches, 1):
        loaded = None if max_edge is None else await load_asset(deps, asset, max_edge=max_edge)
        is_reduced = loaded is not None and loaded.size != (asset.width, asset.height)
        images.append(
            ImageEvidence(
                number,
                asset,
                loaded,
                score,
                region,
                lines.get(asset.id, ()),
                partial(_load_crop, deps, asset) if is_reduced else None,
            )
        )
    return images


async def _load_crop(deps: Dependencies, asset: Asset, box: Box) -> Image.Image:
    return await load_asset(deps, asset, crop=box, max_edge=CROP_EDGE_PIXELS)


def _equal_hits(hits: Sequence[ImageHit]) -> Sequence[ImageHit]:
    """Return the best hit and its equals; all if the best is weak."""
    if not hits or hits[0].weak:
        return hits
    return [hit for hit in hits if _is_equal(hit, hits[0])]


def _is_equal(hit: ImageHit, best: ImageHit) -> bool:
    """Return whether the scores, or those of all retrievers, are nearly equal."""
    if hit.score >= _EQUAL_SHARE * best.score:
        return True
    return all(
        (own := hit.retrievers.get(name)) is not None
        and own.score >= other.score - (1 - _EQUAL_SHARE) * abs(other.score)
        for name, other in best.retrievers.items()
    )
