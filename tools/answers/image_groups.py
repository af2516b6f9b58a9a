"""Answer one image at a time, and merge the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sightline.tools.answers.answer_context import (
    Evidence,
    ImageEvidence,
    OcrEvidence,
    image_of,
)
from sightline.tools.answers.answer_pipeline import RatedAnswer
from sightline.tools.answers.answer_results import AnswerResult, EvidenceItem
from sightline.tools.answers.text_matching import contains_phrase, normalize

AMBIGUOUS_HINT: Final = (
    "Several images match the question equally and answer it differently. Name one in `assets`, or "
    "describe its content in `about`."
)


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
    uncertain = [each for each in answers if each.result.status == "uncertain"]
    best = (answered or uncertain or list(answers))[0]
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
