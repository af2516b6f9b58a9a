"""Read the text layer of a page: what can be seen of it and has a meaning."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pypdfium2
from PIL import Image

from sightline.storage.ingest.decode.worker.pdf.characters import (
    Character,
    PageFrame,
    read_characters,
)
from sightline.storage.ingest.decode.worker.pdf.page_notes import (
    PageNote,
    characters_of,
    read_notes,
)
from sightline.storage.ingest.decode.worker.pdf.page_objects import PageObjects, read_objects
from sightline.storage.ingest.decode.worker.pdf.page_text import TextLine, lines_of
from sightline.storage.ingest.decode.worker.pdf.visibility import InkMap
from sightline.storage.unicode_forms import normalize_form

MIN_CHARS = 8
"""A page number alone is not a text layer."""
_MAX_LINES = 5000
_MAX_CHARS = 200_000
_GARBLED_SHARE = 0.2
_MIN_GARBLED = 4
_GRAM = 3  # characters that are compared together
_VOWELS = re.compile(r"[aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüýœ]", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-zÀ-ž]{4,}")
_MIN_WORDS, _MIN_VOWEL_SHARE = 10, 0.6


@dataclass(frozen=True, slots=True)
class TextLayer:
    """The characters that a page shows, and those that are invisible on a picture.

    Text without ink at its place is in neither: nobody sees it. ``garbled`` counts characters
    without a meaning, which are left out. The values of form fields count as shown.
    """

    frame: PageFrame
    objects: PageObjects
    shown: list[Character]
    hidden: list[Character]
    garbled: int
    is_blank: bool
    notes: list[PageNote]

    @property
    def has_fields(self) -> bool:
        return any(note.value for note in self.notes)

    @property
    def has_text(self) -> bool:
        return len(self.shown) >= MIN_CHARS

    @property
    def has_hidden_text(self) -> bool:
        return len(self.hidden) >= MIN_CHARS

    @property
    def is_garbled(self) -> bool:
        """Return whether too many characters have no meaning to use the others."""
        total = self.garbled + len(self.shown)
        return self.garbled >= _MIN_GARBLED and self.garbled >= _GARBLED_SHARE * total

    def lines(self, characters: Sequence[Character]) -> list[TextLine]:
        """Return some of the characters as lines in reading order."""
        return lines_of(characters, self.frame)[:_MAX_LINES]


def read_layer(
    document: pypdfium2.PdfDocument,
    page: pypdfium2.PdfPage,
    image: Image.Image,
    max_chars: int = _MAX_CHARS,
) -> TextLayer:
    """Read the text layer of a page with its picture, up to ``max_chars``."""
    frame = PageFrame.of(page, *page.get_size())
    objects = read_objects(page, frame)
    limit = min(max(0, max_chars), _MAX_CHARS)
    characters = list(read_characters(page, frame, limit, objects.covers))
    ink = InkMap(image)
    visible = ink.visible(characters, frame)
    seen = [each for each, is_visible in zip(characters, visible, strict=True) if is_visible]
    shown = [each for each in seen if not each.invisible]
    clear = [each for each in shown if not _is_garbled(each)]
    notes = list(read_notes(document, page, frame))
    values = [character for note in notes for character in characters_of(note)]
    return TextLayer(
        frame,
        objects,
        clear + values,
        [each for each in seen if each.invisible and not _is_garbled(each)],
        len(shown) - len(clear),
        ink.is_plain,
        notes,
    )


def agreement(layer: str, picture: str) -> float:
    """Return which share of the text of a layer was also read from the picture."""
    expected, found = _grams(layer), _grams(picture)
    return (expected & found).total() / max(1, expected.total())


def is_implausible(text: str) -> bool:
    """Return whether text is no words of a language: its font has a secret alphabet."""
    words = _WORD.findall(text)
    if len(words) < _MIN_WORDS:
        return False
    return sum(bool(_VOWELS.search(word)) for word in words) < _MIN_VOWEL_SHARE * len(words)


def is_readable_script(text: str) -> bool:
    """Return whether OCR can check a text: most of its letters are Latin or Chinese."""
    letters = [each for each in text if each.isalpha()]
    known = sum(each < "\u0250" or "\u4e00" <= each <= "\u9fff" for each in letters)
    return known * 2 >= len(letters)


def _grams(text: str) -> Counter[str]:
    compact = re.sub(r"[\W_]+", "", normalize_form("NFKC", text)).casefold()
    return Counter(compact[at : at + _GRAM] for at in range(max(1, len(compact) - _GRAM + 1)))


def _is_garbled(character: Character) -> bool:
    return character.unknown or any(
        each == "\ufffd" or unicodedata.category(each) in ("Cc", "Cn", "Co")
        for each in character.text
    )
