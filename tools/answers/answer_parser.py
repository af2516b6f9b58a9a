"""A model's answer, read as claims that cite evidence. Nothing here raises, whatever it wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import JsonValue

from sightline.tools.answers.answer_context import Evidence, PictureEvidence
from sightline.tools.boxes.box_parser import parse
from sightline.tools.boxes.geometry import Box, Placement
from sightline.tools.boxes.model_profiles import Profile
from sightline.tools.vlm.vision_language_model import Reply

NOT_SHOWN: Final = frozenset({"not shown", "图中没有"})

_BOX: Final = re.compile(r"\[\s*\d?\.?\d+(?:\s*,\s*\d?\.?\d+){3}\s*\]")
_SOURCE: Final = re.compile(r"\[(\d{1,3})\]")
_MOST_CLAIMS: Final = 8
_CLAIM_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Claim:
    """One fact. ``box`` is 0 to 1 of the first cited picture, upright; ``None`` where there is
    none. ``strange`` are numbers that it cites of evidence that there is not. ``problems`` is what
    was wrong with how it was written.
    """

    text: str
    citations: tuple[int, ...]
    box: Box | None = None
    quote: str | None = None
    strange: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """The answer before it is checked. ``readable`` is false where no answer could be made out."""

    answer: str
    shown: bool
    claims: tuple[Claim, ...] = ()
    missing: str | None = None
    readings: tuple[str, ...] = ()
    readable: bool = True
    raw: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the model saw: ``numbers`` of the evidence by its place in the prompt, from 1, and where
    each picture, by its number, lay in what was sent.
    """

    numbers: dict[int, int]
    placements: dict[int, Placement]

    def cited(self, places: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The numbers of the evidence at these places, and the places where there is none."""
        known = [self.numbers[place] for place in places if place in self.numbers]
        return tuple(dict.fromkeys(known)), tuple(p for p in places if p not in self.numbers)


def read(reply: Reply, profile: Profile, evidence: Sequence[Evidence]) -> Draft:
    """The reply as a draft, in the form that the profile asked for."""
    pictures = [item.number for item in evidence if isinstance(item, PictureEvidence)]
    shown = _Shown(
        {place: item.number for place, item in enumerate(evidence, 1)},
        dict(zip(pictures, reply.placements, strict=False)),
    )
    if profile.answers == "cited":
        return _cited(reply.text, profile, shown)
    data = reply.data if isinstance(reply.data, dict) else None
    return _structured(reply.text, data, profile, shown)


def _cited(text: str, profile: Profile, shown: _Shown) -> Draft:
    """``white van [2] [0.12,0.30,0.55,0.80]``, or ``not shown``."""
    words = _BOX.sub(" ", text)
    citations, strange = shown.cited([int(place) for place in _SOURCE.findall(words)])
    answer = " ".join(_SOURCE.sub(" ", words).split())[:_CLAIM_CHARS]
    if is_not_shown(answer):
        return Draft(answer, shown=False, raw=text)
    if not answer:
        return Draft("", shown=False, readable=False, raw=text)
    found = _BOX.search(text)
    box, problems = _place(found.group() if found else None, citations, profile, shown)
    claim = Claim(answer, citations, box, None, strange, problems)
    return Draft(answer, shown=True, claims=(claim,), raw=text)


def _structured(
    text: str,
    data: dict[str, JsonValue] | None,
    profile: Profile,
    shown: _Shown,
) -> Draft:
    if data is None or not isinstance(data.get("answer"), str):
        return Draft("", shown=False, readable=False, raw=text)
    answer = " ".join(str(data["answer"]).split())
    listed = data.get("claims")
    claims = [
        _claim(item, profile, shown)
        for item in _listed(listed)[:_MOST_CLAIMS]
        if isinstance(item, dict)
    ]
    readings = data.get("interpretations")
    missing = data.get("missing")
    return Draft(
        answer,
        shown=bool(answer) and not is_not_shown(answer),
        claims=tuple(claim for claim in claims if claim.text),
        missing=missing[:_CLAIM_CHARS] if isinstance(missing, str) and missing.strip() else None,
        readings=tuple(each for each in _listed(readings) if isinstance(each, str)),
        raw=text,
    )


def _claim(item: dict[str, JsonValue], profile: Profile, shown: _Shown) -> Claim:
    citations, strange = shown.cited(
        [
            place
            for place in _listed(item.get("evidence"))
            if isinstance(place, int) and not isinstance(place, bool)
        ]
    )
    written = item.get("box")
    box, problems = _place(
        json.dumps(written) if written is not None else None, citations, profile, shown
    )
    text, quote = item.get("text"), item.get("quote")
    return Claim(
        " ".join(text.split())[:_CLAIM_CHARS] if isinstance(text, str) else "",
        citations,
        box,
        quote[:_CLAIM_CHARS] if isinstance(quote, str) and quote.strip() else None,
        strange,
        problems,
    )


def _listed(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _place(
    written: str | None,
    citations: tuple[int, ...],
    profile: Profile,
    shown: _Shown,
) -> tuple[Box | None, tuple[str, ...]]:
    """The box in the first cited picture, and what is wrong with it."""
    if written is None:
        return None, ()
    picture = next((number for number in citations if number in shown.placements), None)
    if picture is None:
        return None, ("its box is in no picture that it cites",)
    found = parse(written, profile, shown.placements[picture])
    if not found.marks or found.marks[0].is_point:
        return None, (f"its box {written[:80]} is no place in picture {picture}",)
    return found.marks[0].box, ()


def is_not_shown(answer: str) -> bool:
    """Whether the answer is that there is none."""
    return answer.strip(" .。!！").casefold() in NOT_SHOWN
