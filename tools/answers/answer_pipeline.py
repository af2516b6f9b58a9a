"""Answer a question from evidence: ask, parse, check the claims, rate."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sightline.storage.interfaces import Detector, ImageEncoder
from sightline.storage.retrieval.stage_runner import StageTimer
from sightline.tools.answers.answer_context import Evidence, ImageEvidence, image_of
from sightline.tools.answers.answer_parser import Draft, parse_reply
from sightline.tools.answers.answer_prompts import question_request
from sightline.tools.answers.answer_results import (
    AnswerResult,
    claim_result,
    evidence_item,
    injection_notes,
)
from sightline.tools.answers.checks.claim_checks import CheckContext
from sightline.tools.answers.checks.domain import (
    is_built_in,
    is_unlike,
    question_words,
    unknown_words,
)
from sightline.tools.answers.checks.scene import Scene
from sightline.tools.answers.claim_verification import (
    find_contradiction,
    unverified,
    verify_claims,
)
from sightline.tools.answers.rating.answer_status import Domain, decide
from sightline.tools.answers.rating.confidence import (
    Calibration,
    Features,
    compute_features,
    load_calibration,
    settle,
)
from sightline.tools.answers.statements.statement_reader import read_statement
from sightline.tools.vlm.vision_language_model import (
    Reply,
    RequestTooLargeError,
    VisionLanguageModel,
)

#: Kinds of statements whose subject is a thing that the built-in model must know.
_KINDS_OF_THINGS: Final = ("count", "existence", "color")
#: Receives the number of finished stages and the name of the next one.
ReportProgress = Callable[[float, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """A question with its subject and deadline.

    ``deadline`` is a time of ``time.monotonic``. Answers with a known confidence below
    ``min_confidence`` are withheld. ``checks`` is False to skip the checks of claims.
    """

    question: str
    about: str = ""
    deadline: float | None = None
    min_confidence: float = 0.0
    checks: bool = True

    def seconds_left(self) -> float | None:
        """Return the seconds before the deadline, None without one."""
        return None if self.deadline is None else max(self.deadline - time.monotonic(), 0.0)


@dataclass(frozen=True, slots=True)
class AnsweringModels:
    """The model that answers, those that check it, and its calibration.

    ``encoder`` and ``detector`` are None if they are not available, ``calibration`` if the model
    has none.
    """

    model: VisionLanguageModel
    encoder: ImageEncoder | None = None
    detector: Detector | None = None
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """The result, with the features from which its confidence was computed."""

    result: AnswerResult
    features: Features


async def answer(
    models: AnsweringModels,
    request: AnswerRequest,
    evidence: Sequence[Evidence],
    *,
    report_progress: ReportProgress,
    timer: StageTimer,
) -> RatedAnswer:
    """Ask the model, retry an invalid answer once, and check every claim.

    Raises ModelError if the model gives no answer.
    """
    model, calibration = models.model, models.calibration
    context = CheckContext(
        model,
        request.question,
        {item.number: item for item in evidence},
        models.encoder,
        request.seconds_left,
    )
    await report_progress(1, f"asking {model.model}")
    with timer.stage("answer"):
        draft, reply, notes = await _ask(request, evidence, context)
    await report_progress(2, "checking claims")
    with timer.stage("check"):
        if request.checks:
            novel = await _novel_pictures(models.encoder, evidence)
            context = replace(context, scenes=_scenes(models.detector, novel, evidence))
            claims = await verify_claims(draft.claims, context)
        else:
            novel, claims = {}, unverified(draft.claims)
            notes.append("the claims were not checked, because checks=false")
    domain = _domain(models, request.question, draft, novel, evidence)
    features = compute_features(draft, reply, claims, evidence, domain.word_share)
    is_rated = calibration is not None and request.checks
    if calibration is not None and is_rated:
        single = [
            compute_features(draft, reply, [each], evidence, domain.word_share) for each in claims
        ]
        claims = settle(claims, single, calibration)
    claims = [domain.limit(each) for each in claims]
    decision = decide(
        draft,
        reply,
        claims,
        domain,
        confidence=calibration.confidence(features) if calibration and is_rated else None,
        calibration=calibration,
        min_confidence=request.min_confidence,
    )
    notes += injection_notes(evidence)
    if model.profile.note:
        notes.append(model.profile.note)
    if is_built_in(model.model):
        notes.append(f"{model.model} knows synthetic scenes only")
    if calibration is None:
        notes.append(f"no confidence: none has been calibrated for the model {model.model!r}")
    result = AnswerResult(
        status=decision.status,
        answer=draft.answer if decision.status == "answered" else None,
        confidence=decision.confidence,
        claims=[claim_result(each, evidence) for each in claims],
        evidence=[evidence_item(each) for each in evidence],
        missing=decision.missing,
        interpretations=list(draft.interpretations) or None,
        model=model.model,
        notes=notes or None,
        timings_ms={**timer.stages, "total": timer.total()},
    )
    return RatedAnswer(result, features)


async def _novel_pictures(
    encoder: ImageEncoder | None, evidence: Sequence[Evidence]
) -> dict[int, bool | None]:
    """Return whether each picture is unlike known ones, None if that is open."""
    novel: dict[int, bool | None] = {}
    for item in evidence:
        if isinstance(item, ImageEvidence):
            novel[item.number] = await is_unlike(encoder, item.image, len(item.ocr_lines))
    return novel


def _scenes(
    detector: Detector | None, novel: dict[int, bool | None], evidence: Sequence[Evidence]
) -> dict[int, Scene]:
    """Return the scenes, without the built-in detector where it knows nothing."""
    known_words: frozenset[str] | None = None
    if detector is not None and is_built_in(detector.name):
        fitted = load_calibration(detector.name)
        known_words = frozenset() if fitted is None else fitted.known_words
    return {
        item.number: Scene(
            item,
            detector if known_words is None or novel.get(item.number) is False else None,
            known_words,
            is_drawn=novel.get(item.number) is False,
        )
        for item in evidence
        if isinstance(item, ImageEvidence)
    }


def _domain(
    models: AnsweringModels,
    question: str,
    draft: Draft,
    novel: dict[int, bool | None],
    evidence: Sequence[Evidence],
) -> Domain:
    """Return what the answering model does not know; nothing for a model of the user."""
    if not is_built_in(models.model.model):
        return Domain()
    known = frozenset() if models.calibration is None else models.calibration.known_words
    words = unknown_words(question, known)
    pictures = tuple(number for number, is_novel in novel.items() if is_novel)
    return Domain(
        pictures,
        tuple(words),
        len(words) / max(len(question_words(question)), 1),
        frozenset(
            item.number
            for item in evidence
            if (image := image_of(item)) is not None and image.number in pictures
        ),
        tuple(_unknown_subjects(question, draft, known)),
    )


def _unknown_subjects(question: str, draft: Draft, known: frozenset[str]) -> Iterator[str]:
    """Yield unknown words for what is counted or looked for, in English."""
    for claim in draft.claims:
        statement = read_statement(question, claim.text)
        if statement is not None and statement.kind in _KINDS_OF_THINGS:
            words = unknown_words(statement.subject, known)
            yield from (word for word in words if word.isascii())


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
