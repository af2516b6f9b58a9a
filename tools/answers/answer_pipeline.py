"""One question of numbered evidence: asked, read, checked, and rated."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sightline.storage.interfaces import ImageEncoder
from sightline.storage.retrieval.stopwatch import Stopwatch
from sightline.tools.answers.answer_context import Evidence
from sightline.tools.answers.answer_parser import Draft, read
from sightline.tools.answers.answer_prompts import question_request
from sightline.tools.answers.answer_results import (
    AnswerResult,
    Status,
    claim_result,
    evidence_item,
    orders_note,
)
from sightline.tools.answers.claim_verification import Checked, Checking
from sightline.tools.answers.confidence import Features, calibration, features
from sightline.tools.answers.rule_checks import unfounded
from sightline.tools.vlm.vision_language_model import Reply, VisionLanguageModel

_NOT_SHOWN: Final = (
    "none of the evidence shows it: name pictures that do in `assets`, or say in `about` what to "
    "look for"
)

#: Told how many of the stages are done, and which one begins.
Tell = Callable[[float, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Asking:
    """A question, what it is about where it does not say, and by when it is to be answered.

    ``until`` is a time of ``time.monotonic``. Answers less sure than ``least_confidence``, where
    that is known, are withheld.
    """

    question: str
    about: str = ""
    until: float | None = None
    least_confidence: float = 0.0

    def left(self) -> float | None:
        """Seconds that remain, ``None`` for no bound."""
        return None if self.until is None else max(self.until - time.monotonic(), 0.0)


@dataclass(frozen=True, slots=True)
class Answered:
    """The result, and the features that its confidence was worked out from."""

    result: AnswerResult
    features: Features


async def answer(
    model: VisionLanguageModel,
    asking: Asking,
    evidence: Sequence[Evidence],
    *,
    encoder: ImageEncoder | None,
    tell: Tell,
    watch: Stopwatch,
) -> Answered:
    """Ask, mend once, check every claim. Raises ModelError where the model gives no answer."""
    await tell(1, f"asking {model.model}")
    with watch.stage("answer"):
        draft, reply, notes = await _ask(model, asking, evidence)
    await tell(2, "checking claims")
    with watch.stage("check"):
        by_number = {item.number: item for item in evidence}
        checking = Checking(model, asking.question, by_number, encoder, asking.left)
        checked = await checking.verdicts(draft.claims)
    known = features(draft, reply, checked, evidence)
    result = _result(model, draft, checked, evidence, known, notes, watch)
    return Answered(_sure(result, asking.least_confidence), known)


async def _ask(
    model: VisionLanguageModel,
    asking: Asking,
    evidence: Sequence[Evidence],
) -> tuple[Draft, Reply, list[str]]:
    """The model's draft; asked once more where the first one cannot stand."""
    profile = model.profile
    request = question_request(
        profile, asking.question, evidence, about=asking.about, deadline_seconds=asking.left()
    )
    reply = await model.ask(request)
    draft = read(reply, profile, evidence)
    by_number = {item.number: item for item in evidence}
    problems = [
        f"{claim.text[:80]!r}: {wrong}"
        for claim in draft.claims
        if (wrong := unfounded(claim, by_number)) is not None
    ]
    if not draft.readable:
        problems = ["the reply was not the JSON object that was asked for"]
    # The built-in model writes one form only: told of a problem, it would write the same again.
    if not problems or profile.answers == "cited":
        return draft, reply, []
    request = question_request(
        profile,
        asking.question,
        evidence,
        about=asking.about,
        problems=problems,
        deadline_seconds=asking.left(),
    )
    again = await model.ask(request)
    second = read(again, profile, evidence)
    if not second.readable:
        return draft, reply, ["a second try at the answer could not be read"]
    return second, again, ["the answer was repaired once"]


def _result(
    model: VisionLanguageModel,
    draft: Draft,
    checked: Sequence[Checked],
    evidence: Sequence[Evidence],
    known: Features,
    notes: Sequence[str],
    watch: Stopwatch,
) -> AnswerResult:
    status, missing = _status(draft, checked)
    fitted = calibration(model.model)
    said = [*notes, *orders_note(evidence)]
    if model.profile.note:
        said.append(model.profile.note)
    if fitted is None:
        said.append(f"no confidence: none has been calibrated for the model {model.model!r}")
    rated = fitted is not None and status in ("answered", "not_shown")
    return AnswerResult(
        status=status,
        answer=draft.answer if status == "answered" else None,
        confidence=fitted.confidence(known) if fitted is not None and rated else None,
        claims=[claim_result(each, evidence) for each in checked],
        evidence=[evidence_item(each) for each in evidence],
        missing=missing,
        interpretations=list(draft.readings) or None,
        model=model.model,
        notes=said or None,
        timings_ms={**watch.stages, "total": watch.total()},
    )


def _sure(result: AnswerResult, least: float) -> AnswerResult:
    """The result, or none of its answer where that is less sure than ``least``."""
    sure = result.confidence
    if result.status != "answered" or sure is None or sure >= least:
        return result
    why = f"the answer was withheld: its confidence is {sure:.2f}, and {least:.2f} is asked for"
    withheld = {"status": "not_shown", "answer": None, "confidence": None, "missing": why}
    return result.model_copy(update=withheld)


def _status(draft: Draft, checked: Sequence[Checked]) -> tuple[Status, str | None]:
    """How the call ended, and what is missing where it ended without an answer."""
    if not draft.readable:
        return "unreadable", f"the model's reply could not be read: {draft.raw[:200]!r}"
    if not draft.shown:
        status: Status = "ambiguous" if draft.readings else "not_shown"
        return status, draft.missing or _NOT_SHOWN
    # An answer none of whose claims stands is no answer.
    if not any(each.verdict != "contradicted" and each.citations for each in checked):
        reasons = "; ".join(reason for each in checked for reason in each.reasons)
        why = reasons or "it made none that cites evidence"
        return "not_shown", f"the model answered, and no claim of it held: {why}"
    return "answered", None
