"""Finding what phrases name in one picture, through the vision-language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from sightline.storage.errors import ModelUnavailableError
from sightline.tools.boxes.parse import Mark, Status, parse
from sightline.tools.dependencies import Dependencies
from sightline.tools.vision import Request, VisionLanguageModel

NO_MODEL = (
    "no vision-language model is set, so phrases cannot be looked for: set SIGHTLINE_VLM_BASE_URL "
    "and SIGHTLINE_VLM_MODEL, start the built-in one with `sightline vlm builtin`, or give boxes"
)


@dataclass(frozen=True, slots=True)
class Located:
    """What the model answered for one phrase, or for all of them where it takes several."""

    phrase: str
    status: Status
    marks: tuple[Mark, ...]
    notes: tuple[str, ...]


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
