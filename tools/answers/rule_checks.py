"""What evidence says of a claim without asking any model: its texts, its numbers, its colours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sightline.tools.answers import color_check
from sightline.tools.answers.answer_context import (
    Evidence,
    PassageEvidence,
    PictureEvidence,
    WrittenEvidence,
    picture_of,
)
from sightline.tools.answers.answer_parser import Claim
from sightline.tools.answers.crop_score import widened
from sightline.tools.answers.prompt_injection import without_orders
from sightline.tools.answers.text_matching import denies, is_no, is_yes, numbers, plain, stands_in
from sightline.tools.boxes.geometry import Box
from sightline.tools.shared import images

#: Shorter words stand somewhere on most pictures that have any text.
_FEWEST_LETTERS: Final = 2
#: A question for words that are written may well be answered with an order that is written.
_ASKS_FOR_TEXT: Final = re.compile(
    r"\b(?:say|says|said|written|writing|read|reads|text|words?|sign|title|caption)\b|[写说读字]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: ``True`` for the claim, ``False`` against it, ``None`` for a mere remark.

    A remark says why the claim's box, or words, are not enough by themselves.
    """

    agrees: bool | None
    reason: str


def unfounded(claim: Claim, evidence: Mapping[int, Evidence]) -> str | None:
    """What is wrong with a claim that the texts alone can tell; ``None`` where nothing is."""
    if not claim.citations:
        if claim.strange:
            listed = ", ".join(f"[{number}]" for number in claim.strange)
            return f"it cites {listed}, which does not exist"
        return "it cites no evidence"
    cited = [evidence[number] for number in claim.citations]
    passages = [item for item in cited if not isinstance(item, PictureEvidence)]
    if (
        claim.quote is not None
        and passages
        and not any(stands_in(claim.quote, item.text) for item in passages)
    ):
        return "its quote does not stand in the passage that it cites"
    if not all(isinstance(item, PassageEvidence) for item in cited):
        return None  # what was read on a picture is never all that is written there
    written = {number for item in passages for number in numbers(item.text)}
    strange = [number for number in numbers(claim.text) if number not in written]
    if strange:
        return f"{strange[0]} does not stand in the passages that it cites"
    named = set().union(*(color_check.named(item.text) for item in passages))
    unnamed = sorted(color_check.named(claim.text) - named)
    if named and unnamed:
        return f"the passages that it cites name other colours than {unnamed[0]}"
    return None


def look(question: str, claim: Claim, cited: Sequence[Evidence]) -> Iterator[Finding]:
    """Findings about a claim that is not `unfounded`."""
    yield from _in_texts(question, claim, cited)
    yield from _in_pixels(question, claim, cited)


def written_at(claim: Claim, item: Evidence) -> Box | None:
    """Where the words of a claim that cites the text on a picture stand, if in one line alone.

    A line that is nothing else goes before lines that hold the words among others.
    """
    wanted = claim.quote if claim.quote is not None else claim.text
    if not isinstance(item, WrittenEvidence) or is_yes(wanted) or is_no(wanted):
        return None
    lines = [line for line in item.picture.written if stands_in(wanted, line.text)]
    alone = [line for line in lines if plain(line.text) == plain(wanted)] or lines
    return alone[0].box if len(alone) == 1 else None


def placed(claim: Claim, evidence: Mapping[int, Evidence]) -> Claim:
    """The claim with the place where its words stand on a picture, if that can be told.

    They may be on the picture whose text it cites, or on one that a passage it cites speaks of (its
    caption, say); then the text on that picture is cited first, for there it can be seen.
    """
    if claim.box is not None:
        return claim
    if (box := written_at(claim, evidence[claim.citations[0]])) is not None:
        return replace(claim, box=box)
    spoken_of = {
        item.asset.id
        for number in claim.citations
        if isinstance(item := evidence[number], PassageEvidence) and item.asset is not None
    }
    for number, item in evidence.items():
        if (
            isinstance(item, WrittenEvidence)
            and item.picture.asset.id in spoken_of
            and (box := written_at(claim, item)) is not None
        ):
            others = tuple(cited for cited in claim.citations if cited != number)
            return replace(claim, box=box, citations=(number, *others))
    return claim


def statement(question: str, claim: str) -> str:
    """What a claim states, for what compares words: a bare yes states its question."""
    if is_yes(claim):
        return question
    return "" if is_no(claim) else claim


def _in_texts(question: str, claim: Claim, cited: Sequence[Evidence]) -> Iterator[Finding]:
    wanted = claim.quote if claim.quote is not None else claim.text
    if is_yes(wanted) or is_no(wanted) or not plain(wanted):
        return
    for item in cited:
        if not isinstance(item, PictureEvidence):
            if stands_in(wanted, item.text):
                said = "it stands in the passage that it cites"
                yield _heeding(question, wanted, item.text, said)
            elif isinstance(item, WrittenEvidence):
                yield Finding(None, f"it is not in the text that was read, [{item.number}]")
        elif len(plain(wanted)) >= _FEWEST_LETTERS:
            yield from _on_picture(question, wanted, claim.box, item)


def _on_picture(
    question: str, wanted: str, box: Box | None, item: PictureEvidence
) -> Iterator[Finding]:
    text = " | ".join(line.text for line in item.written)
    if not stands_in(wanted, text):
        return
    places = [line.box for line in item.written if line.box and stands_in(wanted, line.text)]
    if box is not None and places and not any(_meet(place, box) for place in places):
        yield Finding(None, f"it is written elsewhere on [{item.number}] than its box is")
    else:
        yield _heeding(question, wanted, text, f"it is written on [{item.number}]")


def _heeding(question: str, wanted: str, text: str, said: str) -> Finding:
    """Text that tells its reader what to answer supports no claim with that answer."""
    if stands_in(wanted, without_orders(text)):
        return Finding(True, said)
    reason = "its words stand in text that tells its reader what to answer"
    return Finding(None if _ASKS_FOR_TEXT.search(question) else False, reason)


def _in_pixels(question: str, claim: Claim, cited: Sequence[Evidence]) -> Iterator[Finding]:
    shown = [found for item in cited if (found := picture_of(item)) is not None]
    said = statement(question, claim.text)
    names = color_check.named(said)
    if not names or denies(said) or len(shown) < len(cited):
        return
    absent = set.intersection(*(color_check.absent(names, item.image) for item in shown))
    if absent:
        yield Finding(False, f"nothing in the picture that it cites is {min(absent)}")
    elif claim.box is not None:
        crop = images.crop(shown[0].image, widened(claim.box))
        lacking = color_check.absent(names, crop)
        if lacking:
            yield Finding(None, f"nothing in its box is {min(lacking)}")


def _meet(a: Box, b: Box) -> bool:
    """Whether the middle of one lies in the other."""
    return _holds(a, b) or _holds(b, a)


def _holds(a: Box, b: Box) -> bool:
    x, y = (b[0] + b[2]) / 2, (b[1] + b[3]) / 2
    return a[0] <= x <= a[2] and a[1] <= y <= a[3]
