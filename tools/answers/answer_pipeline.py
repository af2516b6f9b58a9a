"""Answer a question from evidence: ask, parse, check the claims, rate."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sightline.storage.interfaces import ImageEncoder
from sightline.storage.retrieval.stage_runner import StageTimer
from sightline.tools.answers.answer_context import (
    Evidence,
    ImageEvidence,
    OcrEvidence,
    image_of,
)
from sightline.tools.answers.answer_parser import Draft, parse_reply
from sightline.tools.answers.answer_prompts import question_request
from sightline.tools.answers.answer_results import (
    AnswerResult,
    AnswerStatus,
    EvidenceItem,
    claim_result,
    evidence_item,
    injection_notes,
)
from sightline.tools.answers.claim_checks import CheckContext
from sightline.tools.answers.claim_verification import (
    VerifiedClaim,
    find_contradiction,
    verify_claims,
)
from sightline.tools.answers.confidence import Features, compute_features, load_calibration
from sightline.tools.answers.text_matching import contains_phrase, normalize
from sightline.tools.vlm.vision_language_model import (
    Reply,
    RequestTooLargeError,
    VisionLanguageModel,
)

_NOT_SHOWN_HINT: Final = (
    "None of the evidence shows it. Name images that do in `assets`, or say in `about` what to "
    "look for."
)
AMBIGUOUS_HINT: Final = (
    "Several images match the question equally and answer it differently. Name one in `assets`, or "
    "describe its content in `about`."
)

#: Receives the number of finished stages and the name of the next one.
ReportProgress = Callable[[float, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """A question with its subject and deadline.

    ``deadline`` is a time of ``time.monotonic``. Answers with a known confidence below
    ``min_confidence`` are withheld.
    """

    question: str
    about: str = ""
    deadline: float | None = None
    min_confidence: float = 0.0

    def seconds_left(self) -> float | None:
        """Return the seconds before the deadline, None without one."""
        return None if self.deadline is None else max(self.deadline - time.monotonic(), 0.0)


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """The result, with the features from which its confidence was computed."""

    result: AnswerResult
    features: Features


async def answer(
    model: VisionLanguageModel,
    request: AnswerRequest,
    evidence: Sequence[Evidence],
    *,
    encoder: ImageEncoder | None,
    report_progress: ReportProgress,
    timer: StageTimer,
) -> RatedAnswer:
    """Ask the model, retry an invalid answer once, and check every claim.

    Raises ModelError if the model gives no answer.
    """
    by_number = {item.number: item for item in evidence}
    context = CheckContext(model, request.question, by_number, encoder, request.seconds_left)
    await report_progress(1, f"asking {model.model}")
    with timer.stage("answer"):
        draft, reply, notes = await _ask(request, evidence, context)
    await report_progress(2, "checking claims")
    with timer.stage("check"):
        claims = await verify_claims(draft.claims, context)
    features = compute_features(draft, reply, claims, evidence)
    status, missing = _status(draft, reply, claims)
    calibration = load_calibration(model.model)
    notes += injection_notes(evidence)
    if model.profile.note:
        notes.append(model.profile.note)
    if calibration is None:
        notes.append(f"no confidence: none has been calibrated for the model {model.model!r}")
    is_rated = calibration is not None and status in ("answered", "not_shown")
    result = AnswerResult(
        status=status,
        answer=draft.answer if status == "answered" else None,
        confidence=calibration.confidence(features) if calibration and is_rated else None,
        claims=[claim_result(each, evidence) for each in claims],
        evidence=[evidence_item(each) for each in evidence],
        missing=missing,
        interpretations=list(draft.interpretations) or None,
        model=model.model,
        notes=notes or None,
        timings_ms={**timer.stages, "total": timer.total()},
    )
    return RatedAnswer(_withhold_uncertain(result, request.min_confidence), features)


async def _ask(
    request: AnswerRequest, evidence: Sequence[Evidence], context: CheckContext
) -> tuple[Draft, Reply, list[str]]:
    """Return the draft, reply and notes. Retries once if the draft is invalid.

    The model gets fewer images if it refuses the request as too large.
    """
    model = context.model
    profile = model.profile
    shown = evidence

    async def ask(problems: Sequence[str] = ()) -> tuple[Draft, Reply]:
        nonlocal shown
        while True:
            try:
                reply = await model.ask(
                    question_request(
                        profile,
                        request.question,
                        shown,
                        about=request.about,
                        problems=problems,
                        deadline_seconds=request.seconds_left(),
                    )
                )
            except RequestTooLargeError as error:
                fewer = _with_fewer_images(shown, error.max_images)
                if fewer is None:
                    raise
                shown = fewer
            else:
                return parse_reply(reply, profile, shown), reply

    draft, reply = await ask()
    problems = [
        f"{claim.text[:80]!r}: {reason}"
        for claim in draft.claims
        if (reason := await find_contradiction(claim, context)) is not None
    ]
    if not draft.readable:
        problems = ["the reply was not the JSON object that was asked for"]
    # The built-in model writes one format only: it would repeat the same answer.
    if not problems or profile.answer_format == "cited":
        return draft, reply, _omission_notes(evidence, shown)
    second_draft, second_reply = await ask(problems)
    notes = _omission_notes(evidence, shown)
    if not second_draft.readable:
        return draft, reply, ["a second try at the answer could not be read", *notes]
    return second_draft, second_reply, ["the answer was repaired once", *notes]


def _with_fewer_images(
    evidence: Sequence[Evidence], max_images: int | None
) -> list[Evidence] | None:
    """Return the evidence with the best images, None if there are no fewer.

    Without a known maximum half of them are left out. All texts stay.
    """
    images = [item for item in evidence if isinstance(item, ImageEvidence)]
    keep = len(images) // 2 if max_images is None else max_images
    if keep >= len(images) or (keep == 0 and max_images is None):
        return None
    left_out = {item.number for item in images[keep:]}
    return [item for item in evidence if item.number not in left_out]


def _omission_notes(evidence: Sequence[Evidence], shown: Sequence[Evidence]) -> list[str]:
    """Return a note that names the images that the model did not get."""
    numbers = {item.number for item in shown}
    left_out = [f"[{item.number}]" for item in evidence if item.number not in numbers]
    if not left_out:
        return []
    count = sum(isinstance(item, ImageEvidence) for item in shown)
    note = (
        f"the model server refused more than {count} image{'' if count == 1 else 's'} in one "
        f"request, so the model did not see {', '.join(left_out)}: ask about them in `assets`"
    )
    return [note]


def _status(
    draft: Draft, reply: Reply, claims: Sequence[VerifiedClaim]
) -> tuple[AnswerStatus, str | None]:
    """Return the status, and what is missing if there is no answer."""
    if not draft.readable:
        cut = (
            " It was cut off: raise SIGHTLINE_VLM__MAX_TOKENS." if reply.finish == "length" else ""
        )
        return "unreadable", f"The model's reply could not be read: {draft.raw[:200]!r}.{cut}"
    if not draft.shown:
        status: AnswerStatus = "ambiguous" if draft.interpretations else "not_shown"
        return status, draft.missing or _NOT_SHOWN_HINT
    if not any(each.verdict != "contradicted" and each.claim.citations for each in claims):
        reasons = "; ".join(reason for each in claims for reason in each.reasons)
        reasons = reasons or "it made none that cites evidence"
        return "not_shown", f"The model answered, but none of its claims held: {reasons}"
    return "answered", None


def _withhold_uncertain(result: AnswerResult, min_confidence: float) -> AnswerResult:
    """Remove an answer whose confidence is known and below ``min_confidence``."""
    confidence = result.confidence
    if result.status != "answered" or confidence is None or confidence >= min_confidence:
        return result
    reason = (
        f"The answer was withheld: its confidence is {confidence:.2f}, "
        f"and {min_confidence:.2f} is required."
    )
    withheld = {"status": "not_shown", "answer": None, "confidence": None, "missing": reason}
    return result.model_copy(update=withheld)


def split_by_image(evidence: Sequence[Evidence]) -> list[list[Evidence]]:
    """Return one group per image, for models that see one image at a time.

    A group has the image, its OCR text, and the passages without an image, in the order of the
    training of the built-in model.
    """
    ordered = sorted(evidence, key=_prompt_order)
    numbers = [item.number for item in evidence if isinstance(item, ImageEvidence)]
    return [
        [item for item in ordered if (of := image_of(item)) is None or of.number == number]
        for number in numbers
    ] or [list(evidence)]


def _prompt_order(item: Evidence) -> int:
    return 0 if isinstance(item, ImageEvidence) else 1 if isinstance(item, OcrEvidence) else 2


def merge_answers(question: str, answers: Sequence[RatedAnswer]) -> RatedAnswer:
    """Merge the answers of the groups, best match first.

    The result is ambiguous if images give different answers. An image that does not show an answer
    does not contradict the others.
    """
    answered = [each for each in answers if each.result.status == "answered"]
    best = answered[0] if answered else answers[0]
    results = [each.result for each in answers]
    notes = dict.fromkeys(note for each in results for note in each.notes or ())
    items = {item.number: item for each in results for item in each.evidence}
    merged: dict[str, object] = {
        "claims": [claim for each in results for claim in each.claims],
        "evidence": [items[number] for number in sorted(items)],
        "notes": list(notes) or None,
        "timings_ms": results[-1].timings_ms,
    }
    distinct = {_answer_key(question, each.result): each.result for each in reversed(answered)}
    if len(distinct) > 1:
        merged |= {
            "status": "ambiguous",
            "answer": None,
            "confidence": None,
            "missing": AMBIGUOUS_HINT,
            "interpretations": [
                f"{each.answer}: [{cited.number}] {cited.source}"
                for each in reversed(distinct.values())
                for cited in (_first_cited(each),)
            ],
        }
    return replace(best, result=best.result.model_copy(update=merged))


def _answer_key(question: str, result: AnswerResult) -> tuple[str, str | None]:
    """Return what makes an answer distinct.

    An answer that repeats words of the question says where they are, so its image counts too.
    """
    text = result.answer or ""
    asset = _first_cited(result).asset if contains_phrase(question, text) else None
    return normalize(text), asset.asset if asset else None


def _first_cited(result: AnswerResult) -> EvidenceItem:
    """Return the first evidence of a claim that is not contradicted."""
    return next(
        item
        for claim in result.claims
        if claim.verdict != "contradicted"
        for item in result.evidence
        if item.number in claim.citations
    )
