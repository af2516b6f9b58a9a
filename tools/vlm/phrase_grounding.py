"""Finding what phrases name in one picture: things by a model, quoted words by what was read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from PIL import Image

from sightline.storage.errors import ModelUnavailableError
from sightline.storage.records.ocr_lines import WrittenLine
from sightline.tools.answers.text_matching import stands_in
from sightline.tools.boxes.box_parser import Mark, Status, parse
from sightline.tools.boxes.geometry import Size, in_pixels
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.vlm.vision_language_model import Request, VisionLanguageModel

NO_MODEL = (
    "no vision-language model is set, so phrases cannot be looked for: set SIGHTLINE_VLM_BASE_URL "
    "and SIGHTLINE_VLM_MODEL, start the built-in one with `sightline vlm builtin`, put words that "
    "are written on the picture in quotation marks, or give boxes"
)
#: Who found a place: the model, or what was read on the picture at ingest.
Finder = Literal["model", "text"]
#: So many lines that hold the same words are drawn; the note says how many there are.
MOST_LINES: Final = 20
_QUOTED: Final = re.compile(r"""(?:"(.+)"|“(.+)”|„(.+)[“”]|«(.+)»|「(.+)」|『(.+)』)""")


@dataclass(frozen=True, slots=True)
class Located:
    """What was found for one phrase, or for all of them where the model takes several."""

    phrase: str
    status: Status
    marks: tuple[Mark, ...]
    notes: tuple[str, ...]
    by: Finder = "model"


def vision_model(deps: Dependencies) -> VisionLanguageModel:
    """The model; raises ModelUnavailableError that says how to set one."""
    if deps.vision is None:
        raise ModelUnavailableError(NO_MODEL)
    return deps.vision


async def locate(
    model: VisionLanguageModel, image: Image.Image, phrases: Sequence[str]
) -> list[Located]:
    """Ask for each phrase in an upright picture; boxes come back 0 to 1 of it.

    Raises ModelError where the model cannot be used, ModelUnavailableError where its family was
    taught no boxes.
    """
    profile = model.profile
    if profile.boxes is None:
        raise ModelUnavailableError(
            f"the model {model.model!r} cannot point at things: {profile.note}"
        )
    groups = [list(phrases)] if profile.several else [[phrase] for phrase in phrases]
    located: list[Located] = []
    for group in groups:
        reply = await model.ask(Request(parts=(image, *profile.locating(group))))
        found = parse(reply.text, profile, reply.placements[0])
        phrase = ", ".join(group)
        located.append(Located(phrase, found.status, found.marks, found.notes))
    return located


def quoted(phrase: str) -> str | None:
    """The words of a phrase that is all in quotation marks; ``None`` for any other."""
    found = _QUOTED.fullmatch(phrase.strip())
    words = next((group for group in found.groups() if group), "") if found else ""
    return words.strip() or None


def locate_words(words: str, lines: Sequence[WrittenLine], size: Size) -> Located:
    """The lines that hold ``words``, of those that were read on an upright picture of ``size``.

    Words stand whole and in their order; letter case and marks between them do not count.
    """
    holding = [line.box for line in lines if line.box and stands_in(words, line.text)]
    marks = tuple(Mark(words, box, in_pixels(box, size)) for box in holding[:MOST_LINES])
    if marks:
        many = f"{len(holding)} lines hold these words; the first {MOST_LINES} are drawn"
        return Located(words, "found", marks, (many,) if len(holding) > MOST_LINES else (), "text")
    if any(line.box for line in lines):
        note = "no line that was read on this picture holds these words"
    else:
        note = "no text was read on this picture when it was ingested"
    return Located(words, "absent", (), (note,), "text")
