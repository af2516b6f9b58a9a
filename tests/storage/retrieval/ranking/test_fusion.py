from __future__ import annotations

import pytest
from llama_index.core.schema import QueryBundle

from sightline.storage.errors import StorageError
from sightline.storage.retrieval.ranking.fusion import Ask, FusionRetriever, by_ranks, by_scores
from sightline.storage.retrieval.retrievers.base_retriever import Branch, Candidate, Found, Side


def found(*keys: str, evidence: float = 1.0, floor: float = 0.0) -> Found:
    """A branch's list with scores 1, 1/2, 1/3 and so on."""
    return Found(
        tuple(Candidate(key, 1 / n, evidence=evidence) for n, key in enumerate(keys, 1)),
        floor=floor,
    )


class Fixed(Branch):
    """Finds what it was given."""

    def __init__(self, name: str, side: Side, result: Found) -> None:
        super().__init__(name, side)
        self._result = result

    async def find(self, query: QueryBundle) -> Found:
        return self._result


class Broken(Branch):
    async def find(self, query: QueryBundle) -> Found:
        raise StorageError("the database went away")


def order(lists: dict[str, Found]) -> list[str]:
    return [str(hit.key) for hit in by_ranks(lists)[0]]


def test_what_two_branches_find_comes_before_what_one_does() -> None:
    assert order({"a": found("x", "y"), "b": found("z", "y")})[0] == "y"


def test_first_and_certain_in_all_branches_scores_one() -> None:
    hits, _ = by_ranks({"a": found("x"), "b": found("x")})
    assert hits[0].score == pytest.approx(1)


def test_a_branch_without_evidence_only_breaks_ties() -> None:
    noise = found("z", "y", "x", evidence=0.0)
    assert order({"words": found("x"), "vectors": noise})[0] == "x"
    assert order({"words": Found(()), "vectors": noise}) == ["z", "y", "x"]


def test_evidence_is_of_each_hit_not_of_its_branch() -> None:
    words = Found((Candidate("both", 2.0, evidence=1.0), Candidate("one", 1.9, evidence=0.3)))
    vectors = found("one", "both", evidence=0.5)
    assert order({"words": words, "vectors": vectors})[0] == "both"


def test_what_words_find_in_parts_counts_half_and_what_a_picture_finds_there_whole() -> None:
    whole, part = found("a", "b"), found("b", "a", evidence=0.99)
    assert (
        order({"text_to_picture": found("b", "a", evidence=0.9), "text_to_region": whole})[0] == "b"
    )
    assert order({"picture_to_picture": part, "picture_to_region": whole})[0] == "a"
    _, weights = by_ranks({"text_to_picture": whole, "text_to_region": whole})
    assert weights == {"text_to_picture": 1.0, "text_to_region": 0.5}
    hits, _ = by_ranks({"text_to_picture": found("a"), "text_to_region": found("a")})
    assert hits[0].score == pytest.approx(1)


def test_order_is_stable_when_scores_tie() -> None:
    lists = {"a": found("x", "y"), "b": found("y", "x")}
    assert order(lists) == order(dict(reversed(lists.items()))) == ["x", "y"]


def test_no_branch_and_no_hit_give_no_order() -> None:
    assert by_ranks({}) == ([], {})
    assert by_ranks({"a": Found(())})[0] == []


@pytest.mark.parametrize(("weight", "first"), [(1.0, "seen"), (0.0, "said"), (0.5, "both")])
def test_visual_weight_mixes_normalised_scores(weight: float, first: str) -> None:
    lists = {"v": found("seen", "both"), "w": found("said", "both")}
    lists["v"] = Found((Candidate("seen", 0.30), Candidate("both", 0.29)), floor=0.2)
    lists["w"] = Found((Candidate("said", 30.0), Candidate("both", 29.0)))
    hits, weights = by_scores(lists, {"v": "visual", "w": "words"}, weight)
    assert hits[0].key == first
    assert weights == {"v": weight, "w": 1 - weight}
    assert all(0 < hit.score <= 1 for hit in hits)


def test_of_each_side_the_better_question_counts() -> None:
    lists = {"text_to_picture": found("x"), "picture_to_picture": found("x", "y")}
    hits, _ = by_scores(lists, dict.fromkeys(lists, "visual"), 1.0)
    assert [(hit.key, hit.score) for hit in hits] == [("x", 1.0), ("y", 0.5)]


def test_whole_pictures_and_their_parts_count_half_each() -> None:
    lists = {"text_to_picture": found("x", "y"), "text_to_region": found("y", "z", "x")}
    hits, _ = by_scores(lists, dict.fromkeys(lists, "visual"), 1.0)
    scores = [(hit.key, round(hit.score, 3)) for hit in hits]
    assert scores == [("y", 0.75), ("x", 0.667), ("z", 0.25)]
    assert hits[0].branches["text_to_picture"].rank == 2


def test_a_hit_keeps_the_region_of_the_branch_that_ranked_it_best() -> None:
    first = Found((Candidate("x", 1.0, region_id=1), Candidate("y", 0.9, region_id=2)))
    second = Found((Candidate("y", 1.0, region_id=3), Candidate("x", 0.9, passage_id=4)))
    hits = {hit.key: hit for hit in by_ranks({"a": first, "b": second})[0]}
    assert (hits["x"].region_id, hits["x"].passage_id) == (1, 4)
    assert hits["y"].region_id == 3


async def test_the_fusion_is_a_retriever_of_llamaindex() -> None:
    fusion = FusionRetriever(
        [
            Ask(Fixed("a", "visual", found("x", "y")), QueryBundle("")),
            Ask(Fixed("b", "words", found("y")), QueryBundle("")),
        ]
    )
    nodes = await fusion.aretrieve("anything")
    assert [node.node.node_id for node in nodes] == ["y", "x"]
    assert nodes[0].score is not None
    report = await fusion.fuse()
    assert report.reports["a"].hits == 2
    assert report.hits[0].branches["b"].rank == 1
    with pytest.raises(NotImplementedError, match="aretrieve"):
        fusion.retrieve("anything")


async def test_a_branch_that_fails_fails_the_search_with_its_own_error() -> None:
    fusion = FusionRetriever(
        [
            Ask(Broken("a", "visual"), QueryBundle("")),
            Ask(Fixed("b", "words", found("y")), QueryBundle("")),
        ]
    )
    with pytest.raises(StorageError, match="went away"):
        await fusion.fuse()
