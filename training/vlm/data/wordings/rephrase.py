"""Sample wordings: grammar, frames around it, synonyms, mixed languages and typos."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from sightline.training.vlm.data.wordings import words
from sightline.training.vlm.data.wordings.frames import frame_chinese, frame_english
from sightline.training.vlm.data.wordings.grammar import Grammar, Wording, parse_choices
from sightline.training.world.core.scene import Language

_FOLDER: Final = Path(__file__).parent
#: Probability of each change, if it applies.
_SYNONYM_RATE: Final = {"en": 0.15, "zh": 0.35}
_TYPO_RATE: Final = 0.12
_DROPPED_ARTICLE_RATE: Final = 0.08
_LOWER_CASE_RATE: Final = 0.25
_TRANSLATION_RATE: Final = 0.06
#: Probability of a beginning of unknown words, which the answer does not depend on.
_NOISE_RATE: Final = 0.06
#: Probability of a name in the question, if the image has one: "What does the TH-8254 cost?".
_NAME_RATE: Final = 0.15
_SUBJECT: Final = re.compile(
    r"\b(?:it|this|that|(?:the|this) (?:product|item|part|heat sink|cooler|patient|X-ray))\b"
)
_CHINESE_SUBJECT: Final = re.compile(
    "它|这个商品|这件商品|商品|产品|这东西|这个散热器|散热器|零件|患者|病人"
)
_LETTERS: Final = "aeiouaeioubcdfghklmnprstvwy"
_CHINESE_NOISE: Final = (0x4E00, 0x8FFF)
_ARTICLE: Final = re.compile(r"\b(?:the|a|an) ")
_LONG_WORD: Final = re.compile(r"\b[a-z]{4,}\b")
_SPACES: Final = re.compile(r" {2,}")
_SPACE_BEFORE_MARK: Final = re.compile(r" +([,.:;?!]|'s\b)")


@dataclass(frozen=True)
class Wordings:
    """Samples wordings of questions.

    ``rate`` is the share of questions that get another wording.
    """

    english: Grammar
    chinese: Grammar
    unanswerable: Mapping[str, Sequence[tuple[str, str]]]
    rate: float = 0.75

    @classmethod
    def load(cls, rate: float = 0.75) -> Wordings:
        """Load the rules of this package."""
        return cls(
            Grammar.load(
                [_FOLDER / "english.txt", _FOLDER / "english_yes_no.txt"], words.ENGLISH_PHRASES
            ),
            Grammar.load(
                [_FOLDER / "chinese.txt", _FOLDER / "chinese_yes_no.txt"], words.CHINESE_PHRASES
            ),
            _unanswerable(_FOLDER / "unanswerable.txt"),
            rate,
        )

    def rephrase(
        self, rng: random.Random, question: str, language: str, names: Sequence[str] = ()
    ) -> str:
        """Return another wording of ``question`` with probability ``rate``.

        It may contain one of ``names``, which name the subject of the image.
        """
        if rng.random() >= self.rate:
            return question
        grammar = self.english if language == "en" else self.chinese
        wording = grammar.sample(rng, question, _ENGLISH if language == "en" else _CHINESE)
        if wording is None:
            return question
        name = rng.choice(names) if names and rng.random() < _NAME_RATE else ""
        if language == "en":
            return _finish_english(rng, wording, name)
        return _finish_chinese(rng, wording, name)

    def unanswerable_question(self, rng: random.Random, family: str, language: Language) -> str:
        """Return a question that no image of ``family`` answers."""
        english, chinese = rng.choice(self.unanswerable[family])
        text = parse_choices(english if language == "en" else chinese)(rng)
        wording = Wording("n", text, ())
        return _finish_english(rng, wording) if language == "en" else _finish_chinese(rng, wording)


def _unanswerable(path: Path) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            family, english, chinese = line.split(" | ")
            found.setdefault(family, []).append((english, chinese))
    general = found.pop("all")
    return {family: listed + general for family, listed in found.items()}


@dataclass(frozen=True)
class Synonyms:
    """Replaces words of a text by synonyms, each with probability ``rate``."""

    table: Mapping[str, Sequence[str]]
    rate: float
    pattern: re.Pattern[str]

    def __call__(self, rng: random.Random, text: str) -> str:
        """Return ``text`` with some words replaced."""

        def replaced(match: re.Match[str]) -> str:
            if rng.random() >= self.rate:
                return match[0]
            return rng.choice(self.table[match[1]]) + match[0][len(match[1]) :]

        return self.pattern.sub(replaced, text)


def _pattern(table: Mapping[str, Sequence[str]], form: str) -> re.Pattern[str]:
    longest_first = sorted(table, key=len, reverse=True)
    return re.compile(form.format("|".join(map(re.escape, longest_first))))


_ENGLISH: Final = Synonyms(
    words.ENGLISH_WORDS, _SYNONYM_RATE["en"], _pattern(words.ENGLISH_WORDS, r"\b({})s?\b")
)
_CHINESE: Final = Synonyms(
    words.CHINESE_WORDS, _SYNONYM_RATE["zh"], _pattern(words.CHINESE_WORDS, "({})")
)


def _finish_english(rng: random.Random, wording: Wording, name: str = "") -> str:
    text = _clean(wording.text)
    if name:
        named = f"{rng.choice(('the ', '', ''))}{name}"
        text, count = _SUBJECT.subn(named, text, count=1)
        text += "" if count else f" {rng.choice(('of', 'for', 'on', 'in'))} {named}"
    text = _clean(frame_english(rng, wording.type, text))
    if rng.random() < _DROPPED_ARTICLE_RATE:
        text = _ARTICLE.sub("", text)
    if rng.random() < _LOWER_CASE_RATE:
        text = _lower_first(text)
    if rng.random() < _NOISE_RATE:
        unknown = (_unknown_word(rng) for _ in range(rng.randint(1, 4)))
        text = f"{' '.join(unknown)}{rng.choice(('.', ',', ':', ''))} {text}"
    if rng.random() < _TYPO_RATE:
        text = add_typo(rng, text, wording.slots)
        if rng.random() < 0.5:
            text = add_typo(rng, text, wording.slots)
    return text


def _finish_chinese(rng: random.Random, wording: Wording, name: str = "") -> str:
    text = wording.text
    if name:
        text, count = _CHINESE_SUBJECT.subn(name, text, count=1)
        text = text if count else f"{name}{rng.choice('的的，上')}{text}"
    text = frame_chinese(rng, wording.type, text)
    if rng.random() < _TRANSLATION_RATE:
        text = _translate(rng, text)
    if rng.random() < _NOISE_RATE:
        unknown = (chr(rng.randint(*_CHINESE_NOISE)) for _ in range(rng.randint(1, 4)))
        text = f"{''.join(unknown)}{rng.choice('，。')}{text}"
    return text


def _unknown_word(rng: random.Random) -> str:
    return "".join(rng.choices(_LETTERS, k=rng.randint(2, 8)))


def _clean(text: str) -> str:
    return _SPACE_BEFORE_MARK.sub(r"\1", _SPACES.sub(" ", text)).strip()


def _lower_first(text: str) -> str:
    """Lower the first letter, unless the first word is a name or a code."""
    first = text.split(" ", 1)[0]
    return text[:1].lower() + text[1:] if first[1:].islower() else text


def add_typo(rng: random.Random, text: str, names: Sequence[str]) -> str:
    """Misspell one longer word that is no part of ``names``."""
    kept = {word.lower() for name in names for word in name.split()}
    candidates = [match for match in _LONG_WORD.finditer(text) if match[0] not in kept]
    if not candidates:
        return text
    match = rng.choice(candidates)
    return text[: match.start()] + _misspelled(rng, match[0]) + text[match.end() :]


def _misspelled(rng: random.Random, word: str) -> str:
    at = rng.randrange(1, len(word) - 1)
    match rng.randrange(4):
        case 0:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case 1:
            return word[:at] + word[at + 1 :]
        case 2:
            return word[:at] + word[at] + word[at:]
        case _:
            return word[:at] + rng.choice("abcdefghilmnoprstuy") + word[at + 1 :]


@cache
def _translated() -> re.Pattern[str]:
    return re.compile("|".join(sorted(words.TRANSLATIONS, key=len, reverse=True)))


def _translate(rng: random.Random, text: str) -> str:
    """Write one known Chinese word in English."""
    matches = list(_translated().finditer(text))
    if not matches:
        return text
    match = rng.choice(matches)
    english = words.TRANSLATIONS[match[0]]
    return f"{text[: match.start()]} {english} {text[match.end() :]}".strip()
