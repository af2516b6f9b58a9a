"""The checks of a claim against its evidence.

`claim_verification` runs them in three stages, cheapest first.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from PIL import Image

from sightline.storage.errors import MediaError, ModelError
from sightline.storage.interfaces import ImageEncoder
from sightline.storage.types import Box
from sightline.tools.answers.answer_context import (
    Evidence,
    ImageEvidence,
    OcrEvidence,
    PassageEvidence,
    image_of,
)
from sightline.tools.answers.answer_parser import Claim, is_not_shown
from sightline.tools.answers.answer_prompts import claim_check_request
from sightline.tools.answers.checks.check_types import CheckResult
from sightline.tools.answers.checks.color_presence import absent_colors
from sightline.tools.answers.checks.crop_score import CropScore, add_margin, score_crop
from sightline.tools.answers.checks.run_checks import run_checks
from sightline.tools.answers.checks.scene import Scene
from sightline.tools.answers.prompt_injection import remove_injections
from sightline.tools.answers.statements.color_words import color_names
from sightline.tools.answers.statements.statement_reader import read_statement
from sightline.tools.answers.statements.statement_types import Kind
from sightline.tools.answers.text_matching import (
    contains_phrase,
    is_negated,
    is_no,
    is_yes,
    normalize,
    numbers,
)
from sightline.tools.boxes.box_parser import parse_boxes
from sightline.tools.boxes.geometry import centers_overlap, iou
from sightline.tools.boxes.model_profiles import Profile
from sightline.tools.shared import images
from sightline.tools.vlm.vision_language_model import (
    Reply,
    VisionLanguageModel,
    choice_probabilities,
)

#: Two boxes with this IoU are the same place.
_SAME_BOX_IOU: Final = 0.5
_BRACKETS: Final = re.compile(r"\[[^\]]*\]")
#: A shorter claim says too little without its question.
_MIN_CLAIM_WORDS: Final = 4
#: Shorter words occur on most images with text.
_MIN_PHRASE_CHARS: Final = 2
#: A question about written words may have an instruction as its true answer.
_ASKS_FOR_TEXT: Final = re.compile(
    r"\b(?:say|says|said|written|writing|read|reads|text|words?|sign|title|caption)\b|[写说读字]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    ``supports`` is True for the claim, False against it, None for a remark. ``is_doubtful`` means
    that the claim's box or words need another check. ``is_final`` ends the verification. ``agrees``
    and ``certainty`` (0 to 1, not calibrated) are the model's second answer. ``results`` are those
    of the independent checks of a statement of the kind ``kind``. ``check`` names the check.
    """

    reasons: tuple[str, ...] = ()
    supports: bool | None = None
    is_doubtful: bool = False
    is_final: bool = False
    agrees: bool | None = None
    certainty: float | None = None
    crop: CropScore | None = None
    results: tuple[CheckResult, ...] = ()
    kind: Kind | None = None
    check: str = ""


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What the checks of one answer use.

    ``encoder`` is None without an image-text encoder. ``scenes`` are the images by their number.
    ``seconds_left`` returns the remaining time, None without a limit. ``findings`` are those of the
    earlier checks of the same claim.
    """

    model: VisionLanguageModel
    question: str
    evidence: Mapping[int, Evidence]
    encoder: ImageEncoder | None
    seconds_left: Callable[[], float | None] = lambda: None
    findings: tuple[Finding, ...] = ()
    scenes: Mapping[int, Scene] = field(default_factory=dict)

    def cited(self, claim: Claim) -> list[Evidence]:
        return [self.evidence[number] for number in claim.citations]


#: Returns None if there is nothing to say.
ClaimCheck = Callable[[Claim, CheckContext], Awaitable[Finding | None]]


async def citations_exist(claim: Claim, _context: CheckContext) -> Finding | None:
    """A claim must cite evidence that exists."""
    if claim.citations:
        return None
    unknown = ", ".join(f"[{number}]" for number in claim.unknown_citations)
    reason = f"it cites {unknown}, which does not exist" if unknown else "it cites no evidence"
    return Finding((reason,), is_final=True)


async def quote_in_passage(claim: Claim, context: CheckContext) -> Finding | None:
    """A quote must be in one of the cited texts."""
    texts = [item.text for item in context.cited(claim) if not isinstance(item, ImageEvidence)]
    quote = claim.quote
    if quote is None or not texts or any(contains_phrase(text, quote) for text in texts):
        return None
    return _contradiction("its quote is not in the cited passage")


async def numbers_in_passages(claim: Claim, context: CheckContext) -> Finding | None:
    """Every number of the claim must be in the cited passages."""
    passages = _passages_only(context.cited(claim))
    known = {number for passage in passages for number in numbers(passage.text)}
    missing = [number for number in numbers(claim.text) if number not in known]
    if not passages or not missing:
        return None
    return _contradiction(f"{missing[0]} is not in the cited passages")


async def colors_in_passages(claim: Claim, context: CheckContext) -> Finding | None:
    """Cited passages that name colors must name the claim's colors."""
    passages = _passages_only(context.cited(claim))
    known = {name for passage in passages for name in color_names(passage.text)}
    missing = sorted(color_names(claim.text) - known)
    if not known or not missing:
        return None
    return _contradiction(f"the cited passages name other colors than {missing[0]}")


async def parser_problems(claim: Claim, _context: CheckContext) -> Finding | None:
    """Repeat the parser's remarks on the box."""
    return Finding(claim.problems) if claim.problems else None


async def words_in_evidence(claim: Claim, context: CheckContext) -> Finding | None:
    """Words in a cited text or on a cited image support the claim, unless injected."""
    phrase = claim.words
    if is_yes(phrase) or is_no(phrase) or not normalize(phrase):
        return None
    found = await asyncio.to_thread(lambda: list(_search_words(claim, context)))
    if not found:
        return None
    supports = {each.supports for each in found}
    return Finding(
        tuple(reason for each in found for reason in each.reasons),
        supports=False if False in supports else True if True in supports else None,
        is_doubtful=any(each.is_doubtful for each in found),
    )


async def colors_in_images(claim: Claim, context: CheckContext) -> Finding | None:
    """A color without pixels contradicts the claim; outside the box it casts doubt."""
    cited = context.cited(claim)
    shown = [image for item in cited if (image := image_of(item)) is not None]
    statement = _statement(context.question, claim.text)
    names = color_names(statement)
    if not names or is_negated(statement) or len(shown) < len(cited):
        return None
    return await asyncio.to_thread(_search_colors, claim.box, names, shown)


async def independent_checks(claim: Claim, context: CheckContext) -> Finding | None:
    """Check what the claim states on the one image that it cites, without the model."""
    images = {found.number for item in context.cited(claim) if (found := image_of(item))}
    scenes = [context.scenes[number] for number in images if number in context.scenes]
    if len(scenes) != 1 or len(images) != 1:
        return None
    statement = read_statement(context.question, claim.text)
    if statement is None:
        return None
    results = await run_checks(statement, scenes[0], claim.box)
    # The color in the box of the claim is not independent of the claim: it supports nothing.
    outcomes = {
        each.outcome
        for each in results
        if each.outcome == "contradicted"
        or (each.outcome == "supported" and each.check != "color in claim box")
    }
    is_disputed = len(outcomes) == 2
    return Finding(
        tuple(each.reason for each in results),
        supports=outcomes == {"supported"} if len(outcomes) == 1 else None,
        is_doubtful=is_disputed or any(_casts_doubt(each) for each in results),
        results=tuple(results),
        kind=statement.kind,
    )


def _casts_doubt(result: CheckResult) -> bool:
    """Return whether words were read, but not surely those that the question means."""
    return result.check == "reading" and result.outcome == "unknown" and bool(result.texts)


async def only_passages(claim: Claim, context: CheckContext) -> Finding | None:
    """A claim that cites only passages cannot be checked on an image."""
    if not _passages_only(context.cited(claim)):
        return None
    return Finding(("its words are not in the passage",), is_final=True)


async def second_answer(claim: Claim, context: CheckContext) -> Finding | None:
    """Ask the model again with only the cited image, first with the crop of the box.

    The model's own yes supports nothing, a no contradicts. A no at the crop is not final: the
    subject may be larger than the box. The built-in model is asked the same question again, which
    shows how stable it is.
    """
    item = _first_image(claim, context)
    independent = context.model.profile.answer_format == "json"
    reasons: tuple[str, ...] = ()
    try:
        if independent and claim.box is not None:
            crop = await item.crop(add_margin(claim.box))
            agrees, certainty = await _ask_again(claim, crop, context)
            if agrees:
                reason = f"a second check of its box in [{item.number}] agrees"
                return Finding((reason,), agrees=True, certainty=certainty)
            reasons = (f"a second check of its box in [{item.number}] does not show it",)
        agrees, certainty = await _ask_again(claim, item.image, context)
    except (MediaError, ModelError) as error:
        return Finding((*reasons, f"no second check: {error}"))
    if agrees is None:
        return Finding((*reasons, "the second check gave no answer"))
    reason = f"a second check of [{item.number}] {'agrees' if agrees else 'disagrees'}"
    denies = independent and not agrees
    return Finding(
        (*reasons, reason),
        supports=False if denies else None,
        is_final=denies,
        agrees=agrees,
        certainty=certainty,
    )


async def crop_comparison(claim: Claim, context: CheckContext) -> Finding | None:
    """Compare the box with the rest of the image by the encoder.

    It neither supports nor contradicts: a box that shows the subject best says little about what is
    claimed of it. The score affects the confidence.
    """
    if context.encoder is None or claim.box is None:
        return None
    statement = _statement(context.question, claim.text)
    is_short = len(statement.split()) < _MIN_CLAIM_WORDS
    phrase = f"{context.question} {statement}" if is_short else statement
    image = _first_image(claim, context).image
    try:
        crop = await score_crop(context.encoder, image, claim.box, phrase)
    except ModelError:
        return None  # a failed check must not block the answer
    if crop is None:
        return None
    reason = f"its box shows it better than {crop.rank:.0%} of the other places"
    return Finding((reason,), crop=crop)


#: Checks that need only the text of the claim.
TEXT_CHECKS: Final[Sequence[ClaimCheck]] = (
    citations_exist,
    quote_in_passage,
    numbers_in_passages,
    colors_in_passages,
)
#: Checks that need the evidence.
EVIDENCE_CHECKS: Final[Sequence[ClaimCheck]] = (
    parser_problems,
    words_in_evidence,
    colors_in_images,
    independent_checks,
)
#: Checks that need a model.
MODEL_CHECKS: Final[Sequence[ClaimCheck]] = (only_passages, second_answer, crop_comparison)


def _contradiction(reason: str) -> Finding:
    return Finding((reason,), supports=False, is_final=True)


def _statement(question: str, claim: str) -> str:
    """Return what a claim states: a bare yes states its question."""
    if is_yes(claim):
        return question
    return "" if is_no(claim) else claim


def _passages_only(cited: Sequence[Evidence]) -> list[PassageEvidence]:
    """Return the cited passages, or none if images or OCR text are cited too."""
    passages = [item for item in cited if isinstance(item, PassageEvidence)]
    return passages if len(passages) == len(cited) else []


def _first_image(claim: Claim, context: CheckContext) -> ImageEvidence:
    return next(image for item in context.cited(claim) if (image := image_of(item)) is not None)


def _search_words(claim: Claim, context: CheckContext) -> Iterator[Finding]:
    phrase = claim.words
    for item in context.cited(claim):
        if isinstance(item, ImageEvidence):
            if len(normalize(phrase)) >= _MIN_PHRASE_CHARS:
                yield from _search_ocr(item, claim.box, phrase, context.question)
        elif contains_phrase(item.text, phrase):
            yield _match(item.text, phrase, context.question, "it is in the cited passage")
        elif isinstance(item, OcrEvidence):
            reason = f"it is not in the text that was read, [{item.number}]"
            yield Finding((reason,), is_doubtful=True)


def _search_ocr(
    item: ImageEvidence, box: Box | None, phrase: str, question: str
) -> Iterator[Finding]:
    text = " | ".join(line.text for line in item.ocr_lines)
    if not contains_phrase(text, phrase):
        return
    lines = [line for line in item.ocr_lines if line.box and contains_phrase(line.text, phrase)]
    if box and lines and not any(line.box and centers_overlap(line.box, box) for line in lines):
        reason = f"it is written elsewhere on [{item.number}], outside its box"
        yield Finding((reason,), is_doubtful=True)
    else:
        yield _match(text, phrase, question, f"it is written on [{item.number}]")


def _match(text: str, phrase: str, question: str, reason: str) -> Finding:
    if contains_phrase(remove_injections(text), phrase):
        return Finding((reason,), supports=True)
    injected = ("the text looks like a prompt injection",)
    if _ASKS_FOR_TEXT.search(question):
        return Finding(injected, is_doubtful=True)
    return Finding(injected, supports=False)


def _search_colors(
    box: Box | None, names: set[str], shown: Sequence[ImageEvidence]
) -> Finding | None:
    absent = set.intersection(*(absent_colors(names, item.image) for item in shown))
    if absent:
        return Finding((f"nothing in the cited image is {min(absent)}",), supports=False)
    if box is not None:
        absent = absent_colors(names, images.crop(shown[0].image, add_margin(box)))
    return Finding((f"nothing in its box is {min(absent)}",), is_doubtful=True) if absent else None


async def _ask_again(
    claim: Claim, image: Image.Image, context: CheckContext
) -> tuple[bool | None, float | None]:
    """Return whether the model agrees, and its probability of yes."""
    profile, seconds = context.model.profile, context.seconds_left()
    request = claim_check_request(
        profile, context.question, claim.text, image, deadline_seconds=seconds
    )
    reply = await context.model.ask(request)
    if not request.choices:
        return _is_same_answer(claim, reply, profile), None
    probabilities = choice_probabilities(reply, request.choices)
    agrees = None if reply.choice is None else reply.choice == "yes"
    return agrees, None if probabilities is None else probabilities["yes"]


def _is_same_answer(claim: Claim, reply: Reply, profile: Profile) -> bool:
    """Return whether a repeated question got the same box or the same words."""
    if is_not_shown(reply.text):
        return False
    if reply.placements and claim.box is not None:
        boxes = parse_boxes(reply.text, profile, reply.placements[0]).boxes
        if boxes:
            return iou(boxes[0].box, claim.box) >= _SAME_BOX_IOU
    return normalize(_BRACKETS.sub(" ", reply.text)) == normalize(claim.text)
