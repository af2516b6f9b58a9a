"""A question that several pictures match equally has as many readings as it has answers there.

For models that are shown one picture at a time. Others see all that was found together, and name
the readings themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sightline.tools.answers.answer_context import Evidence, PictureEvidence, picture_of
from sightline.tools.answers.answer_pipeline import Answered
from sightline.tools.answers.answer_results import AnswerResult, EvidenceItem
from sightline.tools.answers.text_matching import plain, stands_in

_WHICH = (
    "pictures that match the question about equally answer it differently: name one in `assets`, "
    "or say in `about` what is on the one that is meant"
)


def apart(evidence: Sequence[Evidence]) -> list[list[Evidence]]:
    """Each picture with its text, and with each the passages that belong to no picture."""
    numbers = [item.number for item in evidence if isinstance(item, PictureEvidence)]
    return [
        [item for item in evidence if (of := picture_of(item)) is None or of.number == number]
        for number in numbers
    ] or [list(evidence)]


def settled(question: str, answers: Sequence[Answered]) -> Answered:
    """One answer where all that answer say the same; otherwise the readings, and no answer.

    ``answers`` are those to one question from pictures `apart`, the best match first; at least one.
    A picture that does not show it says nothing against those that do.
    """
    given = [each for each in answers if each.result.status == "answered"]
    best = given[0] if given else answers[0]
    results = [each.result for each in answers]
    notes = dict.fromkeys(note for each in results for note in each.notes or ())
    pieces = {item.number: item for each in results for item in each.evidence}
    told = best.result.model_copy(
        update={
            "claims": [claim for each in results for claim in each.claims],
            "evidence": [pieces[number] for number in sorted(pieces)],
            "notes": list(notes) or None,
            "timings_ms": results[-1].timings_ms,
        }
    )
    meant = {_meant(question, each.result): each.result for each in reversed(given)}
    if len(meant) > 1:
        told = told.model_copy(
            update={
                "status": "ambiguous",
                "answer": None,
                "confidence": None,
                "missing": _WHICH,
                "interpretations": [_reading(each) for each in reversed(meant.values())],
            }
        )
    return replace(best, result=told)


def _meant(question: str, result: AnswerResult) -> tuple[str, str | None]:
    """What an answer says; one that repeats the question's words says where, so that counts too."""
    said = result.answer or ""
    on = _cited(result).asset
    place = on.asset if on is not None and stands_in(said, question) else None
    return plain(said), place


def _reading(result: AnswerResult) -> str:
    cited = _cited(result)
    return f"{result.answer}: [{cited.number}] {cited.source}"


def _cited(result: AnswerResult) -> EvidenceItem:
    """The first piece of evidence that a claim which stands cites; an answer has one."""
    return next(
        item
        for claim in result.claims
        if claim.verdict != "contradicted"
        for item in result.evidence
        if item.number in claim.citations
    )
