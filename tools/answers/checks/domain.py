"""Find out whether a picture and a question are like those that a model knows.

The built-in models know synthetic scenes only. Their results on other pictures mean nothing,
however sure they are.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import Final

from PIL import Image

from sightline.storage.errors import ModelError
from sightline.storage.interfaces import ImageEncoder, NoveltyMeasure
from sightline.tools.answers.text_matching import normalize

#: Distance from known pictures, in radii, from which a picture is unlike them: the largest of 99%
#: of the pictures of the validation split.
MAX_NOVELTY: Final = 1.3
#: Names and numbers say nothing about the form of a question.
_NAME: Final = re.compile(r"[A-Z0-9][\w.-]*|\S*\d\S*")
_WORD: Final = re.compile(r"[a-z]{2,}|[\u4e00-\u9fff]")
_BUILT_IN: Final = "builtin"


def is_built_in(model: str) -> bool:
    """Return whether a model is built in, and knows synthetic scenes only."""
    return model.startswith(_BUILT_IN)


async def measure_novelty(encoder: ImageEncoder | None, image: Image.Image) -> float | None:
    """Return the distance of a picture from known ones, in their radius.

    None without an encoder that knows its pictures.
    """
    if not isinstance(encoder, NoveltyMeasure):
        return None
    try:
        pixels = await asyncio.to_thread(encoder.preprocess, image)
        vectors = await encoder.encode_images([pixels])
    except ModelError:
        return None  # a failed check must not block the answer
    found = encoder.novelty(vectors)
    return None if found is None else float(found[0])


def names_of(phrase: str) -> list[str]:
    """Return the names and numbers in a phrase: "South" of "bar for South"."""
    return _NAME.findall(phrase)


def unknown_words(question: str, known: frozenset[str]) -> list[str]:
    """Return the unknown words of a question, without names and numbers.

    Chinese has no spaces between words: pairs of neighboring characters count as words.
    """
    words = question_words(question)
    return [] if not known else sorted(words - known)


def question_words(question: str) -> set[str]:
    """Return the words of a question without names and numbers."""
    first, space, rest = question.partition(" ")
    # The first word of a sentence is capitalized and no name.
    kept = first.lower() + space + _NAME.sub(" ", rest) if first.isascii() else question
    found = _WORD.findall(normalize(_NAME.sub(" ", kept)))
    pairs = {a + b for a, b in itertools.pairwise(found) if not (a + b).isascii() and len(a) == 1}
    return {each for each in found if each.isascii()} | pairs
