"""Fusion by reciprocal ranks and by scores."""

from __future__ import annotations

import pytest

from sightline.storage.retrieval.ranking.fusion import fuse_ranks, fuse_scores
from sightline.storage.retrieval.search_types import Hit, RetrieverResult


def result(*keys: str, confidence: float = 1.0, floor: float = 0.0) -> RetrieverResult:
    """Return hits with scores 1, 1/2, 1/3 and so on."""
    return RetrieverResult(
        tuple(Hit(key, 1 / n, confidence=confidence) for n, key in enumerate(keys, 1)),
        floor=floor,
    )


def order(results: dict[str, RetrieverResult]) -> list[str]:
    return [str(hit.key) for hit in fuse_ranks(results)[0]]


def test_a_hit_of_two_retrievers_ranks_above_a_hit_of_one() -> None:
    assert order({"a": result("x", "y"), "b": result("z", "y")})[0] == "y"


def test_a_hit_that_is_first_with_full_confidence_everywhere_scores_one() -> None:
    hits, _ = fuse_ranks({"a": result("x"), "b": result("x")})
    assert hits[0].score == pytest.approx(1)


def test_a_retriever_without_confidence_only_breaks_ties() -> None:
    noise = result("z", "y", "x", confidence=0.0)
    assert order({"lexical": result("x"), "vectors": noise})[0] == "x"
    assert order({"lexical": RetrieverResult(()), "vectors": noise}) == ["z", "y", "x"]


def test_confidence_belongs_to_each_hit_and_not_to_its_retriever() -> None:
    words = RetrieverResult((Hit("both", 2.0, confidence=1.0), Hit("one", 1.9, confidence=0.3)))
    vectors = result("one", "both", confidence=0.5)
    assert order({"lexical": words, "vectors": vectors})[0] == "both"


def test_text_to_region_counts_half_and_image_to_region_counts_fully() -> None:
    whole, part = result("a", "b"), result("b", "a", confidence=0.99)
    assert (
        order({"text_to_image": result("b", "a", confidence=0.9), "text_to_region": whole})[0]
        == "b"
    )
    assert order({"image_to_image": part, "image_to_region": whole})[0] == "a"
    _, weights = fuse_ranks({"text_to_image": whole, "text_to_region": whole})
    assert weights == {"text_to_image": 1.0, "text_to_region": 0.5}
    hits, _ = fuse_ranks({"text_to_image": result("a"), "text_to_region": result("a")})
    assert hits[0].score == pytest.approx(1)


def test_equal_scores_have_a_stable_order() -> None:
    results = {"a": result("x", "y"), "b": result("y", "x")}
    assert order(results) == order(dict(reversed(results.items()))) == ["x", "y"]


def test_no_retrievers_or_no_hits_give_no_hits() -> None:
    assert fuse_ranks({}) == ([], {})
    assert fuse_ranks({"a": RetrieverResult(())})[0] == []


@pytest.mark.parametrize(("weight", "first"), [(1.0, "visual"), (0.0, "textual"), (0.5, "both")])
def test_visual_weight_mixes_normalized_scores(weight: float, first: str) -> None:
    results = {"v": result("visual", "both"), "w": result("textual", "both")}
    results["v"] = RetrieverResult((Hit("visual", 0.30), Hit("both", 0.29)), floor=0.2)
    results["w"] = RetrieverResult((Hit("textual", 30.0), Hit("both", 29.0)))
    hits, weights = fuse_scores(results, {"v": "visual", "w": "text"}, weight)
    assert hits[0].key == first
    assert weights == {"v": weight, "w": 1 - weight}
    assert all(0 < hit.score <= 1 for hit in hits)


def test_the_better_query_of_each_modality_counts() -> None:
    results = {"text_to_image": result("x"), "image_to_image": result("x", "y")}
    hits, _ = fuse_scores(results, dict.fromkeys(results, "visual"), 1.0)
    assert [(hit.key, hit.score) for hit in hits] == [("x", 1.0), ("y", 0.5)]


def test_whole_images_and_regions_count_half_each() -> None:
    results = {"text_to_image": result("x", "y"), "text_to_region": result("y", "z", "x")}
    hits, _ = fuse_scores(results, dict.fromkeys(results, "visual"), 1.0)
    scores = [(hit.key, round(hit.score, 3)) for hit in hits]
    assert scores == [("y", 0.75), ("x", 0.667), ("z", 0.25)]
    assert hits[0].retrievers["text_to_image"].rank == 2


def test_a_hit_keeps_the_region_of_the_retriever_that_ranked_it_best() -> None:
    first = RetrieverResult((Hit("x", 1.0, region_id=1), Hit("y", 0.9, region_id=2)))
    second = RetrieverResult((Hit("y", 1.0, region_id=3), Hit("x", 0.9, passage_id=4)))
    hits = {hit.key: hit for hit in fuse_ranks({"a": first, "b": second})[0]}
    assert (hits["x"].region_id, hits["x"].passage_id) == (1, 4)
    assert hits["y"].region_id == 3


def words(*hits: tuple[str, float]) -> RetrieverResult:
    """Return significant hits with a coverage and little confidence."""
    return RetrieverResult(
        tuple(
            Hit(key, 1 / n, confidence=0.1, is_significant=True, coverage=coverage)
            for n, (key, coverage) in enumerate(hits, 1)
        )
    )


def test_a_hit_with_most_words_never_ranks_behind_one_that_only_vectors_find() -> None:
    scores = (("x", 0.9), ("y", 0.8), ("few", 0.7))
    seen = RetrieverResult(tuple(Hit(*each, is_significant=True) for each in scores))
    results = {"lexical": words(("most", 0.9), ("few", 0.8)), "text_to_image": seen}
    assert order(results) == ["most", "x", "y", "few"]
    hits, _ = fuse_scores(results, {"lexical": "text", "text_to_image": "visual"}, 1.0)
    assert hits[0].key == "x"


def test_a_weak_hit_of_two_retrievers_ranks_above_one_that_stands_out_in_one() -> None:
    """Two that agree say more than one; the mark tells that neither is certain."""
    seen = RetrieverResult(
        (
            Hit("out", 0.9, confidence=0.5, is_significant=True),
            Hit("weak", 0.8, confidence=0.45, is_significant=False),
        )
    )
    told = RetrieverResult((Hit("weak", 0.9, confidence=0.3, is_significant=False),))
    hits, _ = fuse_ranks({"lexical": told, "text_to_image": seen})
    assert [(hit.key, hit.weak) for hit in hits] == [("weak", True), ("out", False)]


def test_equal_scores_share_a_rank() -> None:
    told = RetrieverResult(tuple(Hit(key, 1.0, is_significant=True) for key in "cab"))
    hits, _ = fuse_ranks({"lexical": told})
    assert [(hit.key, hit.score) for hit in hits] == [("a", 1.0), ("b", 1.0), ("c", 1.0)]


def test_words_do_not_lead_beside_an_example_image_or_if_they_are_weak() -> None:
    seen = RetrieverResult(tuple(Hit(key, 1.0, is_significant=True) for key in ("x", "y")))
    told = words(("most", 0.9))
    assert order({"lexical": told, "image_to_image": seen})[0] == "x"
    weak = RetrieverResult((told.hits[0]._replace(is_significant=False),))
    assert order({"lexical": weak, "text_to_image": seen}) == ["x", "y", "most"]


def test_vectors_without_confidence_keep_the_order_of_words() -> None:
    told = RetrieverResult(
        tuple(Hit(key, 1.0, confidence=0.5, is_significant=True, coverage=1.0) for key in "abc")
    )
    noise = result(*"cbazy", confidence=0.0)
    assert order({"lexical": told, "text_to_image": noise})[:3] == ["a", "b", "c"]
