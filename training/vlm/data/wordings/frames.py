"""Frames around wordings: politeness, commands, indirect questions, keywords."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from sightline.training.vlm.data.wordings.grammar import parse_choices

_FRAMES: Final = Path(__file__).parent / "frames.txt"
#: Frames of keywords in the list of English frames for noun phrases.
_KEYWORD_FRAMES: Final = slice(2, 5)

Frame = Callable[[random.Random], str]


@cache
def _frames() -> dict[tuple[str, str], list[Frame]]:
    """Load the frames by language and type of wording."""
    parts: dict[str, str] = {}
    frames: dict[tuple[str, str], list[Frame]] = {}
    for line in _FRAMES.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, text = line.split(" ", 1)
        if name in ("en", "zh"):
            type_, frame = text.split(" ", 1)
            for part, choices in parts.items():
                frame = frame.replace(f"<{part}>", choices)
            # In English, "?" is a question mark.
            parsed = parse_choices(frame, optional="?" if name == "zh" else None)
            frames.setdefault((name, type_), []).append(parsed)
        else:
            parts[name] = text
    return frames


def frame_english(rng: random.Random, type_: str, text: str) -> str:
    """Put an English wording into a sentence.

    Noun phrases without an article only become keywords: "weight please".
    """
    frames = _frames()["en", type_]
    if type_ == "n" and not text.startswith(("the ", "its ")):
        frames = frames[_KEYWORD_FRAMES]
    frame = rng.choice(frames)(rng).strip()
    sentence = frame.replace("@", text).replace("^", text[:1].upper() + text[1:])
    return sentence[:1].upper() + sentence[1:]


def frame_chinese(rng: random.Random, type_: str, text: str) -> str:
    """Put a Chinese wording into a sentence."""
    frame = rng.choice(_frames()["zh", type_])(rng)
    return frame.replace("@", text).replace("吗吗", "吗")
