"""Rewrite questions by rules: match a template, then sample one of its wordings.

A rule file has rules such as::

    = What colour {v:is|are} the {x}?       the question of the synthetic world
    ? [what|which] colour {v} the {x}       a question without its question mark
    n the [colour|color] of the {x}         a noun phrase: "Tell me ..."
    i what colour the {x} {v}               an indirect question: "Do you know ..."
    s there is a {x}                        a statement, for yes or no: "..., right?"
    v name the colour of the {x}            a command: "Please ..."

``[a|b]`` is a choice, ``z?`` an optional character or choice. ``{x}`` matches any text and
``{v:is|are}`` one of these. ``{r+}`` and ``{r*}`` are synonyms of the matched text. Of several
rules that match, the one with the longest fixed text applies. ``=+`` adds wordings to it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

#: Relative frequency of each type of wording.
_TYPES: Final = {"?": 0.45, "n": 0.2, "i": 0.15, "s": 0.3, "v": 0.15}
_SLOT: Final = re.compile(r"\{(\w)(?::([^}]*))?\}")

Slots = Mapping[str, str]
Expand = Callable[[random.Random, Slots], str]


@dataclass(frozen=True, slots=True)
class Rule:
    """The wordings of one question, by type."""

    pattern: re.Pattern[str]
    fixed: int
    extra: bool
    wordings: dict[str, list[Expand]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wording:
    """A sampled wording: its type, its text and the texts that it copied from the question."""

    type: str
    text: str
    slots: tuple[str, ...]


class Grammar:
    """Rules of one language.

    ``synonyms`` maps a matched text to other texts for ``{r+}``; ``{r*}`` uses those after a "*".
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._find = lru_cache(maxsize=20_000)(self._match)

    @classmethod
    def load(cls, paths: Sequence[Path], synonyms: Mapping[str, Sequence[str]]) -> Grammar:
        """Load rule files."""
        rules: list[Rule] = []
        for path in paths:
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if not line.strip() or line.startswith("#"):
                    continue
                mark, _, text = line.partition(" ")
                if mark in ("=", "=+"):
                    rules.append(_rule(text.strip(), extra=mark == "=+"))
                elif mark in _TYPES and rules:
                    expand = _parse(text.strip(), synonyms)
                    rules[-1].wordings.setdefault(mark, []).append(expand)
                else:
                    raise ValueError(f"{path.name}:{number} is neither a rule nor a wording.")
        return cls(rules)

    def sample(
        self, rng: random.Random, question: str, change: Callable[[random.Random, str], str]
    ) -> Wording | None:
        """Sample a wording of ``question``; ``None`` if no rule matches.

        ``change`` may replace the matched texts of free slots by synonyms.
        """
        found = self._find(question)
        if found is None:
            return None
        slots, wordings, free = found
        types = list(wordings)
        type_ = rng.choices(types, [_TYPES[each] for each in types])[0]
        chosen = {name: change(rng, text) if name in free else text for name, text in slots.items()}
        text = rng.choice(wordings[type_])(rng, chosen)
        return Wording(type_, text, tuple(chosen[name] for name in free))

    def _match(
        self, question: str
    ) -> tuple[dict[str, str], dict[str, list[Expand]], tuple[str, ...]] | None:
        matches = [
            (rule, match)
            for rule in self._rules
            if (match := rule.pattern.fullmatch(question)) is not None
        ]
        if not matches:
            return None
        fixed = [pair for pair in matches if not pair[0].extra]
        main = max(fixed or matches, key=lambda pair: pair[0].fixed)
        slots: dict[str, str] = {}
        wordings: dict[str, list[Expand]] = {}
        for rule, match in [main, *(pair for pair in matches if pair[0].extra)]:
            slots |= {name: text or "" for name, text in match.groupdict().items()}
            for type_, each in rule.wordings.items():
                wordings.setdefault(type_, []).extend(each)
        free = tuple(name for name in slots if name in "xab")
        return slots, wordings, free


def _rule(header: str, *, extra: bool) -> Rule:
    pattern, fixed, at = "", 0, 0
    for match in _SLOT.finditer(header):
        literal = header[at : match.start()]
        at = match.end()
        name, choices = match[1], match[2]
        pattern += re.escape(literal)
        fixed += len(literal)
        if choices is None:
            pattern += f"(?P<{name}>.+?)"
        elif "" in choices.split("|"):
            listed = "|".join(re.escape(each) for each in choices.split("|") if each)
            pattern += f"(?:(?P<{name}>{listed}) )?"
            at += 1
        else:
            listed = "|".join(map(re.escape, choices.split("|")))
            pattern += f"(?P<{name}>{listed})"
    pattern += re.escape(header[at:])
    return Rule(re.compile(pattern), fixed + len(header) - at, extra)


@lru_cache(maxsize=1000)
def parse_choices(text: str, optional: str | None = "?") -> Callable[[random.Random], str]:
    """Parse a text with choices but without slots into a function that samples it."""
    expand = _parse(text, {}, optional)
    return lambda rng: expand(rng, {})


def _parse(text: str, synonyms: Mapping[str, Sequence[str]], optional: str | None = "?") -> Expand:
    """Parse one wording into a function that samples its text."""
    expand, at = _Parser(text, synonyms, optional).sequence(0)
    if at != len(text):
        raise ValueError(f"Unbalanced ']' in {text!r}.")
    return expand


@dataclass(frozen=True)
class _Parser:
    """Recursive descent parser; ``optional`` is the mark after an optional part."""

    text: str
    synonyms: Mapping[str, Sequence[str]]
    optional: str | None

    def sequence(self, at: int) -> tuple[Expand, int]:
        """Parse up to the end of a choice."""
        text = self.text
        parts: list[Expand] = []
        while at < len(text) and text[at] not in "|]":
            part: Expand
            if text[at] == "[":
                part, at = self.choice(at + 1)
            elif text[at] == "{":
                end = text.index("}", at)
                part, at = _slot(text[at + 1 : end], self.synonyms), end + 1
            else:
                part, at = _literal(text[at]), at + 1
            if at < len(text) and text[at] == self.optional:
                part, at = _optional(part), at + 1
            parts.append(part)
        return (lambda rng, slots: "".join(part(rng, slots) for part in parts)), at

    def choice(self, at: int) -> tuple[Expand, int]:
        """Parse the alternatives of a choice, after its bracket."""
        choices: list[Expand] = []
        while True:
            expand, at = self.sequence(at)
            choices.append(expand)
            if at >= len(self.text):
                raise ValueError(f"Missing ']' in {self.text!r}.")
            at += 1
            if self.text[at - 1] == "]":
                return (lambda rng, slots: rng.choice(choices)(rng, slots)), at


def _literal(character: str) -> Expand:
    return lambda _rng, _slots: character


def _optional(part: Expand) -> Expand:
    return lambda rng, slots: part(rng, slots) if rng.random() < 0.5 else ""


def _slot(name: str, synonyms: Mapping[str, Sequence[str]]) -> Expand:
    if name[-1] not in "+*":
        return lambda _rng, slots: slots[name]
    key, mark = name[0], name[1:]

    def expand(rng: random.Random, slots: Slots) -> str:
        text = slots[key]
        return rng.choice(synonyms.get(text + mark.rstrip("+"), (text,)))

    return expand
