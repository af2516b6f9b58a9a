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

from sightline.server.evaluation.answers.answer_metrics import AnswerScore, score_answer
from sightline.server.evaluation.answers.eval_questions import EvalQuestion
from sightline.server.evaluation.answers.llm_judge import LlmJudge
from sightline.server.evaluation.run_file import ProgressCallback, RunFileLine
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
from sightline.tools.vlm.vision_language_model import Request

Condition = Literal["oracle", "retrieved", "closed_book", "retrieved_no_about"]
CONDITIONS: Final[tuple[Condition, ...]] = ("oracle", "retrieved", "closed_book")
"""The conditions of a run file."""

#: Search, encoder and model overlap; more concurrent questions would only wait.
_CONCURRENCY: Final = 3


async def evaluate_questions(
    deps: Dependencies,
    lines: Sequence[RunFileLine],
    collection: str | None,
    progress: ProgressCallback,
    judge: LlmJudge | None = None,
) -> dict[Condition, list[AnswerScore]]:
    """Return scores by condition, in the order of the lines.

    Raises InvalidArgumentError, naming the line, for a wrong question, and ModelError if the model
    is unavailable.
    """
    questions = [line.parse(EvalQuestion) for line in lines]
    sources = await asset_ids_by_source(deps, questions, collection)
    scores: dict[Condition, list[AnswerScore]] = {}
    for finished, condition in enumerate(CONDITIONS):

        def report(done: int, total: int, finished: int = finished) -> None:
            progress(finished * total + done, len(CONDITIONS) * total)

        scores[condition] = await ask_all(
            deps,
            questions,
            condition,
            sources,
            collection=collection,
            judge=judge,
            progress=report,
        )
    return scores


async def asset_ids_by_source(
    deps: Dependencies, questions: Sequence[EvalQuestion], collection: str | None
) -> dict[str, str]:
    """Return the asset ids of the named files; of a document, its first page."""
    names = {name for each in questions for name in each.sources}
    database = await deps.database.get()
    async with database.connection() as connection:
        found = await assets.find_by_filename(connection, names, collection)
    sources: dict[str, str] = {}
    for each in found:
        sources.setdefault(each.source, each.id)
    return sources


async def ask_all(
    deps: Dependencies,
    questions: Sequence[EvalQuestion],
    condition: Condition,
    sources: Mapping[str, str],
    *,
    collection: str | None = None,
    judge: LlmJudge | None = None,
    progress: ProgressCallback = lambda _done, _total: None,
) -> list[AnswerScore]:
    """Return scores in the order of the questions; ``sources`` are asset ids by file.

    Raises ModelError if the model is unavailable: a mean over failures is meaningless.
    """
    slots = asyncio.Semaphore(_CONCURRENCY)
    done = 0

    async def ask(question: EvalQuestion) -> AnswerScore:
        nonlocal done
        async with slots:
            score = await _ask(deps, question, condition, sources, collection, judge)
        done += 1
        progress(done, len(questions))
        return score

    return list(await asyncio.gather(*map(ask, questions)))


async def _ask(
    deps: Dependencies,
    question: EvalQuestion,
    condition: Condition,
    sources: Mapping[str, str],
    collection: str | None,
    judge: LlmJudge | None,
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
    ratings = None if judge is None else await judge.rate(question, answered.result)
    return replace(score, ratings=ratings)


async def _ask_closed_book(deps: Dependencies, question: EvalQuestion) -> RatedAnswer:
    model = deps.vlm
    if model is None:
        raise ModelUnavailableError(NO_VLM)
    if model.profile.answer_format == "cited":
        request = Request(
            (TrustedText("Question: "), question.question), "Answer from the evidence."
        )
    else:
        request = Request(
            (question.question, TrustedText("\nAnswer in a few words, or with: not shown."))
        )
    reply = await model.ask(request)
    text = reply.text.partition("[")[0].strip()
    abstained = is_not_shown(text)
    result = AnswerResult(
        status="not_shown" if abstained else "answered",
        answer=None if abstained else text,
        claims=[],
        evidence=[],
        timings_ms={},
    )
    return RatedAnswer(result, {})


def _asset_id(name: str, sources: Mapping[str, str]) -> str:
    """Return the asset of the one file whose path is, or ends in, ``name``."""
    if name in sources:
        return sources[name]
    matching = [source for source in sources if source.endswith("/" + name.lstrip("/"))]
    if len(matching) != 1:
        raise InvalidArgumentError(
            f"{shown(name)} is the source of {len(matching)} images, but must be of exactly one"
        )
    return sources[matching[0]]
