"""Ask the questions of a run file under several evidence conditions.

``oracle``      the images that show the answer are given: measures the model and the claim checks
``retrieved``   the tool finds the evidence itself, as for an agent
``closed_book`` the model answers without evidence: what can be guessed from the question
``retrieved_no_about``  like ``retrieved``, but without the subject of the question (``about``)
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

from sightline.server.evaluation.answer_metrics import AnswerScore, EvalQuestion, score_answer
from sightline.server.evaluation.llm_judge import rate
from sightline.server.evaluation.run_file import ProgressCallback, matching_sources
from sightline.storage.errors import InvalidArgumentError, ModelUnavailableError, shown
from sightline.storage.records import assets
from sightline.storage.retrieval.search_types import Selection
from sightline.tools.answer_question import answer_with_evidence
from sightline.tools.answers.answer_parser import is_not_shown
from sightline.tools.answers.answer_pipeline import RatedAnswer
from sightline.tools.answers.answer_results import AnswerResult
from sightline.tools.boxes.model_profiles import TrustedText
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.vlm.phrase_grounding import NO_VLM
from sightline.tools.vlm.vision_language_model import Request, VisionLanguageModel

Condition = Literal["oracle", "retrieved", "closed_book", "retrieved_no_about"]
CONDITIONS: Final[tuple[Condition, ...]] = ("oracle", "retrieved", "closed_book")
"""The conditions of a run file."""

#: Search, encoder and model overlap; more concurrent questions would only wait.
_CONCURRENCY: Final = 3


async def evaluate_questions(
    deps: Dependencies,
    questions: Sequence[EvalQuestion],
    collection: str | None,
    progress: ProgressCallback,
    *,
    conditions: Sequence[Condition] = CONDITIONS,
    judge: VisionLanguageModel | None = None,
) -> dict[Condition, list[AnswerScore]]:
    """Return scores by condition, in the order of the questions.

    ``collection`` is for questions that name none. Raises InvalidArgumentError for an unknown or
    ambiguous source, and ModelError if the model is unavailable: a mean over failures is
    meaningless.
    """
    names = {name for each in questions for name in each.sources}
    database = await deps.database.get()
    async with database.connection() as connection:
        found = await assets.find_by_filename(connection, names, collection)
    # Of a document, the first page.
    sources = {each.source: each.id for each in reversed(found)}
    slots = asyncio.Semaphore(_CONCURRENCY)
    done = 0

    async def ask(question: EvalQuestion, condition: Condition) -> AnswerScore:
        nonlocal done
        async with slots:
            score = await _ask(deps, question, condition, sources, collection, judge)
        done += 1
        progress(done, len(conditions) * len(questions))
        return score

    return {
        condition: await asyncio.gather(*(ask(each, condition) for each in questions))
        for condition in conditions
    }


async def _ask(
    deps: Dependencies,
    question: EvalQuestion,
    condition: Condition,
    sources: Mapping[str, str],
    collection: str | None,
    judge: VisionLanguageModel | None,
) -> AnswerScore:
    assets = [_asset_id(name, sources) for name in question.sources]
    if condition == "closed_book":
        answered = await _ask_closed_book(deps, question)
    else:
        name = question.collection or collection
        answered, _ = await answer_with_evidence(
            deps,
            question.question,
            about="" if condition == "retrieved_no_about" else question.about,
            assets=assets if condition == "oracle" else (),
            chosen=Selection(
                collections=None if name is None else (name,), filters=question.filters
            ),
        )
    if answered.result.status == "no_model":
        raise ModelUnavailableError(answered.result.missing or NO_VLM)
    score = score_answer(question, answered.result, assets, answered.features)
    ratings = None if judge is None else await rate(judge, question, answered.result)
    return replace(score, ratings=ratings)


async def _ask_closed_book(deps: Dependencies, question: EvalQuestion) -> RatedAnswer:
    model = deps.vlm
    if model is None:
        raise ModelUnavailableError(NO_VLM)
    if model.profile.answer_format == "cited":
        content = (TrustedText("Question: "), question.question)
        request = Request(content, "Answer from the evidence.")
    else:
        suffix = TrustedText("\nAnswer in a few words, or with: not shown.")
        request = Request((question.question, suffix))
    reply = await model.ask(request)
    text = reply.text.partition("[")[0].strip()
    empty = AnswerResult(status="not_shown", claims=[], evidence=[], timings_ms={})
    if is_not_shown(text):
        return RatedAnswer(empty, {})
    return RatedAnswer(empty.model_copy(update={"status": "answered", "answer": text}), {})


def _asset_id(name: str, sources: Mapping[str, str]) -> str:
    """Return the asset of the one file whose path is, or ends in, ``name``."""
    matching = matching_sources(name, sources)
    if len(matching) != 1:
        raise InvalidArgumentError(
            f"{shown(name)} is the source of {len(matching)} images, but must be of exactly one"
        )
    return sources[matching[0]]
