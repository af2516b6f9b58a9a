"""Parse a model's reply into claims that cite evidence. Never raises."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import JsonValue

from sightline.storage.types import Box
from sightline.tools.answers.answer_context import Evidence, ImageEvidence
from sightline.tools.boxes.box_parser import parse_boxes
from sightline.tools.boxes.geometry import Placement
from sightline.tools.boxes.model_profiles import Profile
from sightline.tools.vlm.vision_language_model import Reply

_NOT_SHOWN: Final = frozenset({"not shown", "图中没有"})
_BOX: Final = re.compile(r"\[\s*\d?\.?\d+(?:\s*,\s*\d?\.?\d+){3}\s*\]")
_CITATION: Final = re.compile(r"\[(\d{1,3})\]")
MAX_CLAIMS: Final = 8
_MAX_CLAIM_CHARS: Final = 500
_MAX_ANSWER_CHARS: Final = 2_000
_MAX_INTERPRETATIONS: Final = 4
_MAX_CITATIONS: Final = 8

Verdict = Literal["supported", "unchecked", "contradicted"]
"""What the checks of a claim found, see `claim_verification`."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One fact, with the numbers of the evidence that it cites.

    ``box`` is normalized xyxy in the first cited image. ``unknown_citations`` name no evidence.
    ``problems`` are the parser's remarks about the box.
    """

    text: str
    citations: tuple[int, ...]
    box: Box | None = None
    quote: str | None = None
    unknown_citations: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Return the words that the evidence should contain."""
        return self.text if self.quote is None else self.quote


@dataclass(frozen=True, slots=True)
class Draft:
    """A parsed answer before its claims are checked.

    ``shown`` is False if the model says that the evidence does not show an answer. ``readable`` is
    False if the reply could not be parsed.
    """

    answer: str
    shown: bool
    claims: tuple[Claim, ...] = ()
    missing: str | None = None
    interpretations: tuple[str, ...] = ()
    readable: bool = True
    raw: str = field(default="", repr=False)


def parse_reply(reply: Reply, profile: Profile, evidence: Sequence[Evidence]) -> Draft:
    """Parse a reply in the answer format of the profile."""
    parser = _Parser(reply, profile, evidence)
    return parser.cited_text() if profile.answer_format == "cited" else parser.json_object()


def is_not_shown(answer: str) -> bool:
    """Return whether the answer says that the evidence shows none."""
    return answer.strip(" .。!！").casefold() in _NOT_SHOWN


class _Parser:
    """Parses one reply.

    The model numbers the evidence by its place in the prompt, from 1; ``numbers`` maps places to
    evidence numbers. ``placements`` gives each image's place in the image that was sent.
    """

    def __init__(self, reply: Reply, profile: Profile, evidence: Sequence[Evidence]) -> None:
        self._reply = reply
        self._profile = profile
        self._numbers = {place: item.number for place, item in enumerate(evidence, 1)}
        images = [item.number for item in evidence if isinstance(item, ImageEvidence)]
        self._placements: dict[int, Placement] = dict(zip(images, reply.placements, strict=False))

    def cited_text(self) -> Draft:
        """Parse ``white van [2] [0.12,0.30,0.55,0.80]`` or ``not shown``."""
        text = self._reply.text
        words = _BOX.sub(" ", text)
        citations, unknown = self._resolve(
            [int(place) for place in _CITATION.findall(words)[:_MAX_CITATIONS]]
        )
        answer = " ".join(_CITATION.sub(" ", words).split())[:_MAX_CLAIM_CHARS]
        if is_not_shown(answer):
            return Draft(answer, shown=False, raw=text)
        if not answer:
            return Draft("", shown=False, readable=False, raw=text)
        box_text = _BOX.search(text)
        box, problems = self._parse_box(box_text.group() if box_text else None, citations)
        claim = Claim(answer, citations, box, None, unknown, problems)
        return Draft(answer, shown=True, claims=(claim,), raw=text)

    def json_object(self) -> Draft:
        """Parse the JSON object that `answer_prompts` asks for."""
        text, data = self._reply.text, self._reply.data
        if not isinstance(data, dict) or not isinstance(data.get("answer"), str):
            return Draft("", shown=False, readable=False, raw=text)
        answer = " ".join(str(data["answer"]).split())[:_MAX_ANSWER_CHARS]
        items = _as_list(data.get("claims"))[:MAX_CLAIMS]
        claims = [self._parse_claim(item) for item in items if isinstance(item, dict)]
        return Draft(
            answer,
            shown=bool(answer) and not is_not_shown(answer),
            claims=tuple(claim for claim in claims if claim.text),
            missing=_text(data.get("missing")),
            interpretations=tuple(
                each[:_MAX_CLAIM_CHARS]
                for each in _as_list(data.get("interpretations"))[:_MAX_INTERPRETATIONS]
                if isinstance(each, str)
            ),
            raw=text,
        )

    def _parse_claim(self, item: dict[str, JsonValue]) -> Claim:
        places = [
            place
            for place in _as_list(item.get("evidence"))[:_MAX_CITATIONS]
            if isinstance(place, int) and not isinstance(place, bool)
        ]
        citations, unknown = self._resolve(places)
        box_value = item.get("box")
        box, problems = self._parse_box(
            json.dumps(box_value) if box_value is not None else None, citations
        )
        text = item.get("text")
        return Claim(
            " ".join(text.split())[:_MAX_CLAIM_CHARS] if isinstance(text, str) else "",
            citations,
            box,
            _text(item.get("quote")),
            unknown,
            problems,
        )

    def _resolve(self, places: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the evidence numbers at these places, and the places that do not exist."""
        known = [self._numbers[place] for place in places if place in self._numbers]
        unknown = tuple(place for place in places if place not in self._numbers)
        return tuple(dict.fromkeys(known)), unknown

    def _parse_box(
        self, text: str | None, citations: tuple[int, ...]
    ) -> tuple[Box | None, tuple[str, ...]]:
        """Return the box in the first cited image, and the problems with it."""
        if text is None:
            return None, ()
        image = next((number for number in citations if number in self._placements), None)
        if image is None:
            return None, ("its box is in none of the images that it cites",)
        result = parse_boxes(text, self._profile, self._placements[image])
        if not result.boxes or result.boxes[0].is_point:
            return None, (f"its box {text[:80]} is not a valid box in image {image}",)
        return result.boxes[0].box, ()


def _as_list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _text(value: JsonValue) -> str | None:
    return value[:_MAX_CLAIM_CHARS] if isinstance(value, str) and value.strip() else None
