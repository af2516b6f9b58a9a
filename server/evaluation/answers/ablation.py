"""Asks questions in several settings, which tell what retrieval brings.

``given``      the pictures that show the answer are named: what the model and the checks can do
``sightline``  nothing is named: the tool finds its evidence, as an agent's call does
``none``       the model alone, without any evidence: what can be guessed from the question
``unsaid``     as ``sightline``, and not even told what the question is about: of most questions
               about one picture of many, nobody could know which is meant
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

from sightline.server.evaluation.answers.answer_metrics import Score, score
from sightline.server.evaluation.answers.eval_questions import Question
from sightline.server.evaluation.answers.llm_judge import Judge
from sightline.storage.errors import InvalidArgumentError, ModelUnavailableError, shown
from sightline.storage.retrieval.search_types import Selection
from sightline.tools.answer_question import ground
from sightline.tools.answers.answer_parser import is_not_shown
from sightline.tools.answers.answer_pipeline import Answered
from sightline.tools.answers.answer_results import AnswerResult
from sightline.tools.boxes.model_profiles import Verbatim
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.vlm.phrase_grounding import NO_MODEL
from sightline.tools.vlm.vision_language_model import Request

Setting = Literal["given", "sightline", "none", "unsaid"]
#: Those that compare: what a run file is asked in.
SETTINGS: Final[tuple[Setting, ...]] = ("given", "sightline", "none")
#: Told how many answers there are, and of how many.
Progress = Callable[[int, int], None]

#: Search, the encoder and the model overlap; one more question than that only waits.
_AT_ONCE: Final = 3


async def ask_all(
    deps: Dependencies,
    questions: Sequence[Question],
    setting: Setting,
    sources: Mapping[str, str],
    *,
    collection: str | None = None,
    judge: Judge | None = None,
    progress: Progress = lambda _done, _of: None,
) -> list[Score]:
    """Scores in the order of the questions; ``sources`` are asset ids by file.

    Raises ModelError where the model cannot be used: a figure over failures would say nothing.
    """
    turns = asyncio.Semaphore(_AT_ONCE)
    done = 0

    async def one(question: Question) -> Score:
        nonlocal done
        async with turns:
            found = await _ask(deps, question, setting, sources, collection, judge)
        done += 1
        progress(done, len(questions))
        return found

    return list(await asyncio.gather(*map(one, questions)))


async def _ask(
    deps: Dependencies,
    question: Question,
    setting: Setting,
    sources: Mapping[str, str],
    collection: str | None,
    judge: Judge | None,
) -> Score:
    shows = [_asset(name, sources) for name in question.sources]
    if setting == "none":
        answered = await _alone(deps, question)
    else:
        name = question.collection or collection
        answered, _ = await ground(
            deps,
            question.question,
            about="" if setting == "unsaid" else question.about,
            assets=shows if setting == "given" else (),
            chosen=Selection(
                collections=None if name is None else (name,), filters=question.filters
            ),
        )
    if answered.result.status == "no_model":
        raise ModelUnavailableError(answered.result.missing or NO_MODEL)
    found = score(question, answered.result, shows, answered.features)
    marks = None if judge is None else await judge.marks(question, answered.result)
    return replace(found, marks=marks)


async def _alone(deps: Dependencies, question: Question) -> Answered:
    """What the model says without any evidence."""
    model = deps.vision
    if model is None:
        raise ModelUnavailableError(NO_MODEL)
    if model.profile.answers == "cited":
        request = Request((Verbatim("Question: "), question.question), "Answer from the evidence.")
    else:
        request = Request(
            (question.question, Verbatim("\nAnswer in a few words, or with: not shown."))
        )
    reply = await model.ask(request)
    said = reply.text.partition("[")[0].strip()
    silent = is_not_shown(said)
    result = AnswerResult(
        status="not_shown" if silent else "answered",
        answer=None if silent else said,
        claims=[],
        evidence=[],
        timings_ms={},
    )
    return Answered(result, {})


def _asset(name: str, sources: Mapping[str, str]) -> str:
    """The asset of the one file whose name is, or ends in, ``name``."""
    if name in sources:
        return sources[name]
    ending = [source for source in sources if source.endswith("/" + name.lstrip("/"))]
    if len(ending) != 1:
        raise InvalidArgumentError(
            f"{shown(name)} is the source of {len(ending)} pictures; it has to be of one"
        )
    return sources[ending[0]]
