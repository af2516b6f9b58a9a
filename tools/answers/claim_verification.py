"""A verdict for each claim: its evidence exists, texts and pixels bear it out, a look agrees.

The model's word is not enough for ``supported``: something outside the answer has to agree. The
order is by cost: texts and pixels first, then a second look by the model, then the encoder.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from PIL import Image

from sightline.storage.errors import ModelError
from sightline.storage.interfaces import ImageEncoder
from sightline.tools.answers import rule_checks
from sightline.tools.answers.answer_context import (
    Evidence,
    PassageEvidence,
    PictureEvidence,
    picture_of,
)
from sightline.tools.answers.answer_parser import Claim, is_not_shown
from sightline.tools.answers.answer_prompts import second_look
from sightline.tools.answers.crop_score import CropSupport, crop_support, widened
from sightline.tools.answers.rule_checks import statement, unfounded
from sightline.tools.answers.text_matching import plain, stands_in
from sightline.tools.boxes.box_parser import parse
from sightline.tools.boxes.geometry import iou
from sightline.tools.boxes.model_profiles import Profile
from sightline.tools.shared import images
from sightline.tools.vlm.vision_language_model import (
    Reply,
    VisionLanguageModel,
    choice_probabilities,
)

Verdict = Literal["supported", "unchecked", "contradicted"]

#: Boxes that share this much of their union are one place.
_SAME_PLACE: Final = 0.5
#: Sources and boxes.
_BRACKETS: Final = re.compile(r"\[[^\]]*\]")
#: A claim of fewer words says too little without its question.
_FEWEST_WORDS: Final = 4


@dataclass(frozen=True, slots=True)
class Checked:
    """A claim with its verdict and the reasons for it.

    ``certainty`` is the second look's share for yes, 0 to 1, where the model offers it; it is not
    calibrated. ``agrees`` is what the second look said; ``crop`` how far the crop of the claim's
    box is the place in the picture that shows it best. ``doubted`` marks a claim whose place, or
    words, something was found to be odd about.
    """

    claim: Claim
    citations: tuple[int, ...]
    verdict: Verdict
    reasons: tuple[str, ...]
    certainty: float | None = None
    agrees: bool | None = None
    crop: CropSupport | None = None
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class Checking:
    """What the claims of one answer are checked with.

    ``encoder`` is ``None`` where there is none that relates words to pictures. ``left`` are the
    seconds that remain for the call, ``None`` for no bound but the model's own.
    """

    model: VisionLanguageModel
    question: str
    evidence: Mapping[int, Evidence]
    encoder: ImageEncoder | None
    left: Callable[[], float | None] = lambda: None

    async def verdicts(self, claims: Sequence[Claim]) -> list[Checked]:
        """Every claim's, in order. A second look that fails leaves a claim unchecked."""
        return list(await asyncio.gather(*map(self._check, claims)))

    async def _check(self, claim: Claim) -> Checked:
        citations = claim.citations
        wrong = unfounded(claim, self.evidence)
        if wrong is not None:
            return Checked(claim, citations, "contradicted" if citations else "unchecked", (wrong,))
        cited = [self.evidence[number] for number in citations]
        findings = await asyncio.to_thread(
            lambda: list(rule_checks.look(self.question, claim, cited))
        )
        claim = rule_checks.placed(claim, self.evidence)
        cited = [self.evidence[number] for number in claim.citations]
        reasons = (*claim.problems, *(each.reason for each in findings))
        doubted = any(each.agrees is None for each in findings)
        checked = Checked(claim, claim.citations, "unchecked", reasons, doubted=doubted)
        if any(each.agrees is False for each in findings):
            return replace(checked, verdict="contradicted")
        if any(each.agrees for each in findings) and not doubted:
            return replace(checked, verdict="supported")
        if all(isinstance(item, PassageEvidence) for item in cited):
            return replace(checked, reasons=(*reasons, "its words are not in the passage"))
        picture = next(found for item in cited if (found := picture_of(item)) is not None)
        checked = await self._look_again(checked, picture)
        if claim.box is None or checked.verdict == "contradicted":
            return checked
        return await self._compare_crop(checked, picture)

    async def _look_again(self, checked: Checked, picture: PictureEvidence) -> Checked:
        """The model's second look: at the crop of the claim's box first, where a no at the crop
        may mean that what the claim is about lies around it; then at the whole picture.
        """
        claim, at = checked.claim, f"[{picture.number}]"
        independent = self.model.profile.answers == "json"
        try:
            if independent and claim.box is not None:
                crop = await asyncio.to_thread(images.crop, picture.image, widened(claim.box))
                agrees, certainty = await self._agrees(claim, crop)
                if agrees:
                    said = f"a second look at its box in {at} alone agrees"
                    return _looked(checked, "supported", said, certainty, agrees)
                said = f"a second look at its box in {at} alone does not show it"
                checked = replace(checked, reasons=(*checked.reasons, said))
            agrees, certainty = await self._agrees(claim, picture.image)
        except ModelError as error:
            return replace(checked, reasons=(*checked.reasons, f"no second look: {error}"))
        if agrees is None:
            said = "the second look gave no answer"
            return replace(checked, reasons=(*checked.reasons, said))
        said = f"a second look at {at} alone {'agrees' if agrees else 'disagrees'}"
        if independent:
            # Where a box was not borne out, the whole picture says no more than that it may be.
            borne_out: Verdict = "supported" if claim.box is None else "unchecked"
            return _looked(
                checked, borne_out if agrees else "contradicted", said, certainty, agrees
            )
        # The same question asked again shows how steady the model is, not whether it is right: that
        # tells on the answer's confidence, and proves nothing either way.
        return _looked(checked, "unchecked", said, certainty, agrees)

    async def _agrees(self, claim: Claim, image: Image.Image) -> tuple[bool | None, float | None]:
        """Whether the model agrees when it sees nothing but ``image``, and how surely."""
        profile = self.model.profile
        request = second_look(
            profile, self.question, claim.text, image, deadline_seconds=self.left()
        )
        reply = await self.model.ask(request)
        if not request.choices:
            return _same_answer(claim, reply, profile), None
        shares = choice_probabilities(reply, request.choices)
        agrees = None if reply.choice is None else reply.choice == "yes"
        return agrees, None if shares is None else shares["yes"]

    async def _compare_crop(self, checked: Checked, picture: PictureEvidence) -> Checked:
        """The encoder's view of the claim's box; it can support a claim and never contradict it."""
        claim = checked.claim
        if self.encoder is None or claim.box is None:
            return checked
        said = statement(self.question, claim.text)
        phrase = f"{self.question} {said}" if len(said.split()) < _FEWEST_WORDS else said
        try:
            crop = await crop_support(self.encoder, picture.image, claim.box, phrase)
        except ModelError:
            return checked  # a check the less is no reason to have no answer
        if crop is None:
            return checked
        reason = f"its box shows it better than {crop.rank:.0%} of the other places"
        # A few words that the question lacks are its answer: there the comparison, which has to
        # borrow the question's words, finds what was asked about and says nothing of the answer.
        tells = len(said.split()) >= _FEWEST_WORDS or stands_in(said, self.question)
        supported = tells and crop.rank == 1 and checked.agrees and not checked.doubted
        return replace(
            checked,
            verdict="supported" if supported else checked.verdict,
            reasons=(*checked.reasons, reason),
            crop=crop,
        )


def _looked(
    checked: Checked, verdict: Verdict, said: str, certainty: float | None, agrees: bool
) -> Checked:
    return replace(
        checked,
        verdict=verdict,
        reasons=(*checked.reasons, said),
        certainty=certainty,
        agrees=agrees,
    )


def _same_answer(claim: Claim, reply: Reply, profile: Profile) -> bool:
    """Whether a repeated question got the same words or, where it asks for a place, the same."""
    if is_not_shown(reply.text):
        return False
    found = parse(reply.text, profile, reply.placements[0]) if reply.placements else None
    if found is not None and found.marks and claim.box is not None:
        return iou(found.marks[0].box, claim.box) >= _SAME_PLACE
    return plain(_BRACKETS.sub(" ", reply.text)) == plain(claim.text)
