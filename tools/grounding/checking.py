"""A verdict for each claim: its evidence exists, its quote stands there, a second look agrees.

The model's word is not enough for ``supported``: something outside the answer has to agree.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sightline.storage.errors import ModelError
from sightline.tools.boxes.geometry import iou
from sightline.tools.boxes.parse import parse
from sightline.tools.boxes.profiles import Profile
from sightline.tools.grounding.asking import second_look
from sightline.tools.grounding.evidence import Evidence, PassageEvidence, PictureEvidence
from sightline.tools.grounding.reading import Claim, is_not_shown
from sightline.tools.vision import Reply, VisionLanguageModel, choice_probabilities

Verdict = Literal["supported", "unchecked", "contradicted"]

#: Boxes that share this much of their union are one place.
_SAME_PLACE = 0.5

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True)
class Checked:
    """A claim with its verdict and the reasons for it.

    ``certainty`` is the second look's share for yes, 0 to 1, where the model offers it; it is not
    calibrated.
    """

    claim: Claim
    cites: tuple[int, ...]
    verdict: Verdict
    reasons: tuple[str, ...]
    certainty: float | None = None


def unfounded(claim: Claim, evidence: Mapping[int, Evidence]) -> str | None:
    """What is wrong with a claim that the text alone can tell; ``None`` where nothing is."""
    known = [number for number in claim.cites if number in evidence]
    if not known:
        if claim.cites:
            listed = ", ".join(f"[{number}]" for number in claim.cites)
            return f"it cites {listed}, which does not exist"
        return "it cites no evidence"
    passages = [item for number in known if isinstance(item := evidence[number], PassageEvidence)]
    if claim.quote is not None and passages:
        quoted = _plain(claim.quote)
        if not any(quoted in _plain(item.passage.text) for item in passages):
            return "its quote does not stand in the passage that it cites"
    if len(passages) == len(known):
        written = {number for item in passages for number in numbers(item.passage.text)}
        strange = [number for number in numbers(claim.text) if number not in written]
        if strange:
            return f"{strange[0]} does not stand in the passages that it cites"
    return None


async def check(
    model: VisionLanguageModel,
    question: str,
    claims: Sequence[Claim],
    evidence: Sequence[Evidence],
    *,
    deadline_seconds: float | None,
) -> list[Checked]:
    """Every claim's verdict, in order. A second look that fails leaves a claim unchecked."""
    by_number = {item.number: item for item in evidence}
    return [await _check(model, question, claim, by_number, deadline_seconds) for claim in claims]


async def _check(
    model: VisionLanguageModel,
    question: str,
    claim: Claim,
    evidence: Mapping[int, Evidence],
    deadline_seconds: float | None,
) -> Checked:
    cites = tuple(number for number in claim.cites if number in evidence)
    wrong = unfounded(claim, evidence)
    if wrong is not None:
        return Checked(claim, cites, "contradicted" if cites else "unchecked", (wrong,))
    reasons = list(claim.problems)
    passages = [item for number in cites if isinstance(item := evidence[number], PassageEvidence)]
    if passages and _stands_in(claim, passages):
        return Checked(
            claim, cites, "supported", (*reasons, "it stands in the passage that it cites")
        )
    picture = next(
        (item for number in cites if isinstance(item := evidence[number], PictureEvidence)), None
    )
    if picture is None:
        return Checked(claim, cites, "unchecked", (*reasons, "its words are not in the passage"))
    request = second_look(
        model.profile, question, claim.text, picture, deadline_seconds=deadline_seconds
    )
    try:
        reply = await model.ask(request)
    except ModelError as error:
        return Checked(claim, cites, "unchecked", (*reasons, f"no second look: {error}"))
    if request.choices:
        shares = choice_probabilities(reply, request.choices)
        certainty = None if shares is None else shares["yes"]
        agrees = None if reply.choice is None else reply.choice == "yes"
        independent = True
    else:
        certainty = None
        agrees = _same_answer(claim, reply, model.profile)
        # The same question asked again shows that the model is steady, not that it is right.
        independent = False
    if agrees is None:
        return Checked(claim, cites, "unchecked", (*reasons, "the second look gave no answer"))
    said = f"a second look at [{picture.number}] alone {'agrees' if agrees else 'disagrees'}"
    verdict: Verdict = "contradicted"
    if agrees:
        verdict = "supported" if independent else "unchecked"
    return Checked(claim, cites, verdict, (*reasons, said), certainty)


def _same_answer(claim: Claim, reply: Reply, profile: Profile) -> bool:
    """Whether a repeated question got the same words or, where it asks for a place, the same."""
    if is_not_shown(reply.text):
        return False
    found = parse(reply.text, profile, reply.placements[0]) if reply.placements else None
    if found is not None and found.marks and claim.box is not None:
        return iou(found.marks[0].box, claim.box) >= _SAME_PLACE
    return _same(reply.text, claim.text)


def _stands_in(claim: Claim, passages: Sequence[PassageEvidence]) -> bool:
    texts = [_plain(item.passage.text) for item in passages]
    wanted = _plain(claim.quote if claim.quote is not None else claim.text)
    return bool(wanted) and any(wanted in text for text in texts)


def numbers(text: str) -> list[str]:
    """The numbers in a text, without signs for thousands: ``1,200.50`` is ``1200.5``."""
    found = []
    for match in _NUMBER.findall(unicodedata.normalize("NFKC", text)):
        whole, point, rest = match.replace(",", "").partition(".")
        rest = rest.replace(".", "").rstrip("0")
        found.append((whole.lstrip("0") or "0") + (point + rest if rest else ""))
    return found


def _same(a: str, b: str) -> bool:
    return _plain(re.sub(r"\[[^\]]*\]", " ", a)) == _plain(b)


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(c if c.isalnum() or c == "." else " " for c in folded)
    return " ".join(kept.split()).strip(".")
