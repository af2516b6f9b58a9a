"""Which hits stand out from chance, and that weak hits come last."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from sightline.storage.db.pool import Database
from sightline.storage.retrieval import (
    ImageSearch,
    PassageSearch,
    RerankCandidate,
    RerankStage,
)
from sightline.storage.retrieval.ranking.fusion import fuse_ranks
from sightline.storage.retrieval.retrievers.similarity_calibration import NEAR_IDENTICAL
from sightline.storage.retrieval.search_types import (
    Hit,
    ImageHit,
    ImageRequest,
    PassageRequest,
    RetrieverResult,
    Selection,
)
from tests.support.corpus import Corpus

BOX = (0.1, 0.1, 0.5, 0.2)
NOT_FOUND = "No hit stands out from chance: probably not found. Look at a hit before you use it."
ITEMS = ("BREAD", "MILK", "TEA", "RICE", "SOAP", "FISH")


def noise(seed: int, spread: int = 255) -> Image.Image:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(255 - spread, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST)


def sources(hits: Sequence[ImageHit]) -> list[str]:
    return [hit.asset.source for hit in hits]


@pytest.fixture
async def heat_sinks(corpus: Corpus) -> Corpus:
    for n in range(30):
        lines = [(f"PART NO. HS-{3000 + 7 * n}", BOX), ("ALUMINUM HEAT SINK AND FAN", BOX)]
        await corpus.add(f"h{n}", picture=noise(n), lines=lines)
    for name in ("TH-8254", "PY-2680"):
        lines = [(f"PART NO. {name}", BOX), ("ALUMINUM HEAT SINK AND FAN", BOX)]
        await corpus.add(name, picture=noise(len(name)), lines=lines)
    await corpus.measure_reliability()
    return corpus


@pytest.fixture
async def receipts(corpus: Corpus) -> Corpus:
    for n in range(30):
        lines = [
            (f"{ITEMS[n % 6]} {n + 1}.50", BOX),
            ("THANK YOU FOR SHOPPING WITH US", BOX),
            (f"TOTAL OF ITEMS {n}", BOX),
        ]
        if n == 7:
            lines.append(("PICTURE FRAME A 4 IN A PACK", BOX))
        await corpus.add(f"r{n}", lines=lines)  # scans look alike
    return corpus


async def test_exact_part_numbers_are_strong_and_come_before_weak_hits(
    heat_sinks: Corpus, images: ImageSearch, passages: PassageSearch
) -> None:
    query = "TH-8254 and PY-2680"
    seen = await images.search(ImageRequest(query=query, limit=10))
    assert set(sources(seen.hits[:2])) == {"TH-8254", "PY-2680"}
    assert [hit.weak for hit in seen.hits] == [False, False] + [True] * 8
    read = await passages.search(PassageRequest(query=query, limit=10))
    assert {hit.passage.source for hit in read.hits[:2]} == {"TH-8254", "PY-2680"}
    assert [hit.weak for hit in read.hits] == [False, False] + [True] * 8
    assert NOT_FOUND not in (*seen.report.notes, *read.report.notes)


@pytest.mark.parametrize("query", ["a picture of a giraffe", "giraffe", "giraffe in the wild"])
async def test_what_is_nowhere_is_weak_and_the_report_says_so(
    receipts: Corpus, images: ImageSearch, database: Database, query: str
) -> None:
    results = await images.search(ImageRequest(query=query, limit=10))
    assert results.hits
    assert all(hit.weak for hit in results.hits)
    assert NOT_FOUND in results.report.notes
    words = PassageSearch(database, None, signing_key=b"k")
    read = await words.search(PassageRequest(query=query, limit=10))
    assert all(hit.weak for hit in read.hits)
    assert (NOT_FOUND in read.report.notes) == bool(read.hits)


@pytest.mark.parametrize("query", ["bread", "picture frame", "thank you", '"total of" giraffes'])
async def test_what_matches_all_content_words_is_strong(
    receipts: Corpus, database: Database, query: str
) -> None:
    words = PassageSearch(database, None, signing_key=b"k")
    read = await words.search(PassageRequest(query=query, limit=3))
    assert [hit.weak for hit in read.hits[:1]] == [False]


async def test_an_identical_picture_is_never_weak(corpus: Corpus, images: ImageSearch) -> None:
    """In two clusters, the expected maximum of the similarities is above 1."""
    rng = np.random.default_rng(5)
    pictures: list[Image.Image] = []
    for n in range(30):
        base = np.array([[230, 40, 40], [40, 40, 230]][n % 2])
        pixels = (base + rng.integers(-25, 26, (4, 4, 3))).astype(np.uint8)
        picture = Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST)
        await corpus.add(f"p{n}", picture=picture)
        pictures.append(picture)
    results = await images.search(ImageRequest(image=pictures[4], limit=30))
    first = results.hits[0]
    assert first.asset.source == "p4"
    assert first.retrievers["image_to_image"].distance == pytest.approx(0, abs=1e-3)
    assert not first.weak
    assert [hit.weak for hit in results.hits[15:]] == [True] * 15
    report = results.report.retrievers["image_to_image"]
    assert report.threshold == pytest.approx(NEAR_IDENTICAL)
    assert report.confidence > 0.8


async def test_a_few_images_are_weak_only_beside_a_match_of_words(
    corpus: Corpus, images: ImageSearch
) -> None:
    for n, caption in enumerate(("a rose", None, None)):
        await corpus.add(f"p{n}", picture=noise(n), caption=caption)
    by_words = await images.search(ImageRequest(query="rose"))
    assert by_words.hits[0].asset.source == "p0"
    assert [hit.weak for hit in by_words.hits] == [False, True, True]
    by_image = await images.search(ImageRequest(image=noise(1)))
    assert not any(hit.weak for hit in by_image.hits)
    nothing = await images.search(ImageRequest(query="giraffe"))
    assert not any(hit.weak for hit in nothing.hits)


async def test_pages_have_the_order_and_the_marks_of_the_whole(
    heat_sinks: Corpus, images: ImageSearch
) -> None:
    query = "TH-8254 and PY-2680"
    whole = await images.search(ImageRequest(query=query, limit=30))
    paged: list[ImageHit] = []
    cursor = None
    for _ in range(10):
        page = await images.search(ImageRequest(query=query, limit=3, cursor=cursor))
        paged += page.hits
        cursor = page.report.next_cursor
    assert sources(paged) == sources(whole.hits)
    assert [hit.weak for hit in paged] == [hit.weak for hit in whole.hits]
    assert {hit.weak for hit in paged} == {False, True}


class WorstFirst:
    """A rerank model that reverses the order."""

    uses_images = False

    async def score(self, query: str, candidates: Sequence[RerankCandidate]) -> Sequence[float]:
        return list(range(len(candidates)))


async def test_a_reranker_may_move_weak_hits_which_stay_marked(
    heat_sinks: Corpus, database: Database, images: ImageSearch
) -> None:
    reranked = ImageSearch(
        database,
        heat_sinks.encoder,
        heat_sinks.encoder,
        signing_key=b"k",
        reranker=RerankStage(model=WorstFirst(), max_candidates=10),
    )
    query = "TH-8254 and PY-2680"
    plain = await images.search(ImageRequest(query=query, limit=10))
    for diversity in (0.0, 0.9):
        request = ImageRequest(query=query, diversity=diversity, limit=40)
        results = await reranked.search(request)
        assert results.report.reranked
        assert {hit.asset.source for hit in results.hits if not hit.weak} == {"TH-8254", "PY-2680"}
        if not diversity:
            assert sources(results.hits[:10]) == sources(plain.hits)[::-1]


def test_a_hit_is_weak_if_no_retriever_says_that_it_stands_out() -> None:
    vectors = RetrieverResult((Hit("both", 3, is_significant=False), Hit("seen", 2)))
    words = RetrieverResult(
        (Hit("both", 9, is_significant=True), Hit("x", 1, is_significant=False))
    )
    fused, _ = fuse_ranks({"v": vectors, "w": words})
    assert {hit.key: hit.weak for hit in fused} == {"both": False, "seen": True, "x": True}
    # Nothing stands out: who cannot be judged is not weak.
    fused, _ = fuse_ranks({"v": vectors})
    assert {hit.key: hit.weak for hit in fused} == {"both": True, "seen": False}


async def test_a_filter_does_not_change_which_hits_are_weak(
    corpus: Corpus, images: ImageSearch
) -> None:
    for n in range(40):
        lines = [(f"{ITEMS[n % 6]} {n}", BOX)]
        metadata = {"half": n % 2}
        await corpus.add(f"p{n}", picture=noise(n), lines=lines, metadata=metadata)

    async def flags(**filters: object) -> dict[str, bool]:
        selection = Selection(filters=filters or None)
        request = ImageRequest(query="fish and bread on a table", selection=selection, limit=40)
        return {hit.asset.source: hit.weak for hit in (await images.search(request)).hits}

    every, half = await flags(), await flags(half=1)
    assert len(half) == 20
    assert half == {name: every[name] for name in half}
    assert set(half.values()) == {True, False}
