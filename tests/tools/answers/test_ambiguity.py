"""Several equal matches with different answers are ambiguous."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from sightline.storage.retrieval import RerankCandidate, RerankStage
from sightline.tools.answers.answer_pipeline import RatedAnswer
from sightline.tools.answers.answer_results import AnswerResult, ClaimResult, EvidenceItem
from sightline.tools.answers.image_groups import merge_answers
from tests.support.scripted_vlm import scripted
from tests.tools.toolbox import ToolEnvironment

QUESTION = "What is there?"
ABOUT = "the shelf of the storeroom"


def one_by_one(*answers: str) -> tuple[Any, list[str]]:
    """The built-in model: returns ``answers`` in order, and others for checks."""
    waiting: Iterator[str] = iter(answers)
    prompts: list[str] = []

    def answer(prompt: str) -> str:
        if "Picture 1" in prompt:
            prompts.append(prompt)
            return next(waiting)
        return "something else"

    return scripted(answer, model="tuned-builtin-llava"), prompts


async def ask(environment: ToolEnvironment, model: Any, **arguments: Any) -> dict[str, Any]:
    arguments.setdefault("about", ABOUT)
    async with model, environment.replace(vlm=model).serve() as tools:
        return await tools.call("answer_question", question=QUESTION, **arguments)


async def test_equal_matches_with_different_answers_are_ambiguous(
    environment: ToolEnvironment,
) -> None:
    model, prompts = one_by_one("salt [1]", "not shown", "rice [1] [0.10,0.20,0.60,0.70]")
    result = await ask(environment, model)
    assert result["status"] == "ambiguous"
    assert not {"answer", "confidence"} & set(result)
    sources = [item["source"] for item in result["evidence"] if item["kind"] == "image"]
    assert len(sources) == 3
    assert all("shelf/" in source for source in sources)
    assert result["interpretations"] == [f"salt: [1] {sources[0]}", f"rice: [3] {sources[2]}"]
    assert "Name one in `assets`" in result["missing"]
    # Each claim cites the image that it is about, by the number that the evidence has.
    assert [claim["citations"] for claim in result["claims"]] == [[1], [3]]
    assert "box" in result["claims"][1]
    # The model was shown one image at a time, and counted it from 1.
    assert [prompt.count("<picture>") for prompt in prompts] == [1, 1, 1]


async def test_equal_answers_are_merged_with_all_citations(
    environment: ToolEnvironment,
) -> None:
    model, _ = one_by_one("Salt [1]", "salt [1]", "not shown")
    result = await ask(environment, model)
    assert (result["status"], result["answer"]) == ("answered", "Salt")
    assert [claim["citations"] for claim in result["claims"]] == [[1], [2]]
    assert "interpretations" not in result


async def test_an_unknown_citation_is_not_taken_for_another_image(
    environment: ToolEnvironment,
) -> None:
    model, _ = one_by_one("salt [3]", "rice [1]", "not shown")
    result = await ask(environment, model)
    assert (result["status"], result["answer"]) == ("answered", "rice")
    first, second = result["claims"]
    assert (first["citations"], first["verdict"]) == ([], "unchecked")
    assert first["reasons"] == ["it cites [3], which does not exist"]
    assert second["citations"] == [2]


async def test_a_clearly_best_match_is_the_only_image(environment: ToolEnvironment) -> None:
    model, prompts = one_by_one("garlic [1]")
    result = await ask(environment, model, about="A bulb of garlic on a green cloth")
    assert (result["status"], result["answer"]) == ("answered", "garlic")
    assert len(prompts) == 1
    assert len([item for item in result["evidence"] if item["kind"] == "image"]) == 1


class WorstFirst:
    """A rerank model that reverses the order."""

    uses_images = False

    async def score(self, query: str, candidates: Sequence[RerankCandidate]) -> Sequence[float]:
        return list(range(len(candidates)))


async def test_a_match_that_stands_out_is_meant_although_weak_ones_are_ranked_first(
    environment: ToolEnvironment,
) -> None:
    reranker = RerankStage(model=WorstFirst(), max_candidates=3)
    about = "A bulb of garlic on a green cloth"
    async with environment.replace(reranker=reranker).serve() as tools:
        found = (await tools.call("search_images", query=about, limit=3))["hits"]
    assert [hit.get("weak", False) for hit in found] == [True, True, False]
    model, prompts = one_by_one("garlic [1]")
    result = await ask(environment.replace(reranker=reranker), model, about=about)
    assert (result["status"], len(prompts)) == ("answered", 1)
    assert len([item for item in result["evidence"] if item["kind"] == "image"]) == 1
    assert result["source"].endswith("garlic.png")


async def test_named_images_share_one_prompt(environment: ToolEnvironment) -> None:
    model, prompts = one_by_one("salt [2]")
    async with model, environment.replace(vlm=model).serve() as tools:
        ids = list((await tools.ids()).values())[:2]
        result = await tools.call("answer_question", question=QUESTION, assets=ids)
    assert (result["status"], len(prompts)) == ("answered", 1)
    assert prompts[0].count("<picture>") == 2


def answered(number: int, answer: str | None, verdict: str = "unchecked") -> RatedAnswer:
    asset = f"picture{number}"
    item = EvidenceItem.model_validate(
        {
            "number": number,
            "kind": "image",
            "source": f"{number}.png",
            "asset": {
                "asset": asset,
            },
            "collection": "c",
        }
    )
    claims = (
        [ClaimResult(text=answer, citations=[number], verdict=verdict, reasons=[])]
        if answer
        else []
    )  # type: ignore[arg-type]
    result = AnswerResult(
        status="answered" if answer else "not_shown",
        answer=answer,
        confidence=number / 10,
        claims=claims,
        evidence=[item],
        notes=["the same note"],
        timings_ms={"total": float(number)},
    )
    return RatedAnswer(result, {"number": float(number)})


@pytest.mark.parametrize(
    ("question", "first", "second", "status"),
    [
        ("What colour is it?", "white", "White", "answered"),
        ("What colour is it?", "white", "red", "ambiguous"),
        ("What colour is it?", "white", None, "answered"),
        ("What colour is it?", None, None, "not_shown"),
        # The answer repeats what was asked for: it says where, and that is not the same place.
        ("Where is the white van?", "the white van", "the white van", "ambiguous"),
    ],
)
def test_answers_are_merged_by_their_text(
    question: str, first: str | None, second: str | None, status: str
) -> None:
    found = merge_answers(question, [answered(1, first), answered(2, second)]).result
    assert found.status == status
    assert [item.number for item in found.evidence] == [1, 2]
    assert found.notes == ["the same note"]
    assert (found.interpretations is not None) == (status == "ambiguous")


def test_a_single_answer_stays_unchanged() -> None:
    only = answered(1, "white")
    assert merge_answers("What colour is it?", [only]) == only
