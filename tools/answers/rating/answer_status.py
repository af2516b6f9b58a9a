"""Decide the status of an answer: given, absent, or uncertain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from sightline.tools.answers.answer_parser import Draft
from sightline.tools.answers.claim_verification import VerifiedClaim
from sightline.tools.answers.rating.confidence import Calibration
from sightline.tools.vlm.vision_language_model import Reply

DraftStatus = Literal["answered", "uncertain", "not_shown", "ambiguous", "unreadable"]

_NOT_SHOWN_HINT: Final = (
    "None of the evidence shows it. Name images that do in `assets`, or say in `about` what to "
    "look for."
)
#: Of the confidence of an answer about a picture that is unlike those that the model knows.
_UNLIKE_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Domain:
    """What is unlike that which the model knows.

    ``pictures`` are the numbers of such pictures. ``words`` are the words of the question that it
    never saw, and ``word_share`` is their share (0 to 1). ``evidence`` are the numbers of the
    pictures and of their text. ``subjects`` are unknown words for what is counted or looked for.
    """

    pictures: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    word_share: float = 0.0
    evidence: frozenset[int] = frozenset()
    subjects: tuple[str, ...] = ()

    @property
    def factor(self) -> float:
        """Return the factor (0 to 1) of the confidence."""
        return _UNLIKE_SHARE if self.pictures else 1.0

    def limit(self, claim: VerifiedClaim) -> VerifiedClaim:
        """Return the claim, supported on unlike pictures only by what was read there."""
        is_read = any((r.check, r.outcome) == ("reading", "supported") for r in claim.results)
        is_unlike = not self.evidence.isdisjoint(claim.claim.citations)
        if claim.verdict != "supported" or is_read or not is_unlike:
            return claim
        return replace(claim, verdict="unchecked")

    @property
    def reasons(self) -> list[str]:
        pictures = ", ".join(f"[{number}]" for number in self.pictures)
        reasons = [f"{pictures} is unlike the pictures that the model knows"] if pictures else []
        if self.words:
            words = ", ".join(repr(word) for word in self.words[:5])
            reasons.append(f"the question has words that the model does not know: {words}")
        return reasons


@dataclass(frozen=True, slots=True)
class Decision:
    """The status of an answer, its confidence, and what is missing."""

    status: DraftStatus
    confidence: float | None = None
    missing: str | None = None


def decide(
    draft: Draft,
    reply: Reply,
    claims: Sequence[VerifiedClaim],
    domain: Domain,
    *,
    confidence: float | None,
    calibration: Calibration | None,
    min_confidence: float,
) -> Decision:
    """Return the status of a draft.

    ``confidence`` is calibrated and within the domain of the model; None without a calibration. An
    answer with a supported claim is given although its confidence is low or its domain unknown.
    """
    if not draft.readable:
        is_cut = reply.finish == "length"
        cut = " It was cut off: raise SIGHTLINE_VLM__MAX_TOKENS." if is_cut else ""
        return Decision(
            "unreadable",
            missing=f"The model's reply could not be read: {draft.raw[:200]!r}.{cut}",
        )
    rated = None if confidence is None else confidence * domain.factor
    if not draft.shown:
        if draft.interpretations:
            return Decision("ambiguous", missing=draft.missing or _NOT_SHOWN_HINT)
        return Decision("not_shown", rated, draft.missing or _NOT_SHOWN_HINT)
    reasons = _doubts(claims, domain, rated, calibration)
    if rated is not None and rated < min_confidence:
        reasons.append(
            f"the answer was withheld: its confidence is {rated:.2f}, and {min_confidence:.2f} "
            "is required"
        )
    if not any(each.claim.citations for each in claims):
        listed = "; ".join(reason for each in claims for reason in each.reasons)
        listed = listed or "it made none that cites evidence"
        missing = f"The model answered, but none of its claims held: {listed}"
        return Decision("not_shown", missing=missing)
    if reasons:
        hint = "See the claims and their checks, and look at the evidence."
        missing = f"The model answered, but it is not certain: {'; '.join(reasons)}. {hint}"
        return Decision("uncertain", missing=missing)
    return Decision("answered", rated)


def _doubts(
    claims: Sequence[VerifiedClaim],
    domain: Domain,
    confidence: float | None,
    calibration: Calibration | None,
) -> list[str]:
    """Return the reasons to withhold an answer."""
    denied = [each for each in claims if each.verdict == "contradicted"]
    if denied:
        return [f"{each.claim.text[:80]!r}: {'; '.join(each.reasons)}" for each in denied]
    if any(each.verdict == "supported" for each in claims):
        return []
    if domain.pictures or domain.subjects:
        return domain.reasons
    least = 0.0 if calibration is None else calibration.thresholds.answered
    if confidence is not None and confidence < least:
        reasons = [f"its confidence is {confidence:.2f}, and nothing supports it", *domain.reasons]
        if any(each.agrees is False for each in claims):
            reasons.append("the model's second answer was another")
        return reasons
    return []
