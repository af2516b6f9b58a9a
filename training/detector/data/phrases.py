"""Phrases that name targets, in both languages, and which targets each one means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sightline.training.detector.data.concepts import CONCEPTS, FOREIGN, UNKNOWN, Concept
from sightline.training.detector.data.targets import Target
from sightline.training.world.chart.drawing import AXES
from sightline.training.world.core.language import CHINESE, COLORS, article, plural
from sightline.training.world.core.scene import LANGUAGES, Language
from sightline.training.world.families import FAMILIES
from sightline.training.world.flowchart.drawing import DECISIONS, ENDS, STARTS, STEPS

#: Foreign things of the training; the others are kept for the evaluation.
TRAINED_FOREIGN: Final = FOREIGN[::2]
HELD_FOREIGN: Final = FOREIGN[1::2]
_MARKS: Final = {"bar": "柱子", "slice": "扇形", "point": "点"}
_COLOURS: Final = list(COLORS)
_NAMES: Final = list(CONCEPTS)

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Query:
    """What a phrase asks for: a concept, perhaps with a color, or one thing."""

    name: str
    colour: str = ""
    own: str = ""

    def wordings(self, language: Language) -> tuple[str, ...]:
        """Return the phrases for it; the first one is the shortest."""
        if self.own:
            return _own_wordings(self.own, language)
        concept = CONCEPTS.get(self.name)
        if concept is None:
            en, zh = next(pair for pair in FOREIGN if pair[0] == self.name)
            concept = Concept((en,), (zh,))
        if language == "en":
            return _english(concept.en, self.colour)
        return _chinese(concept.zh, self.colour)


def _english(names: Sequence[str], colour: str) -> tuple[str, ...]:
    found: list[str] = []
    for name in names:
        for tint in (colour, "gray") if colour == "grey" else (colour,):
            bare = f"{tint} {name}".strip()
            found += [bare, f"the {bare}", article(bare)]
        if " " not in name:
            found.append(f"{colour} {plural(name)}".strip())
    return tuple(found)


def _chinese(names: Sequence[str], colour: str) -> tuple[str, ...]:
    if not colour:
        return tuple(text for name in names for text in (name, f"一个{name}"))
    tint = CHINESE[colour]
    return tuple(
        text for name in names for text in (tint + name, f"{tint}的{name}", f"{tint[:1]}{name}")
    )


def _own_wordings(own: str, language: Language) -> tuple[str, ...]:
    kind, _, rest = own.partition(" ")
    if kind == "vertebra":
        return (own, rest, f"the {own}") if language == "en" else (f"椎体{rest}", rest)
    if kind in _MARKS:
        name = rest.removeprefix("of ")
        if language == "zh":
            return f"{name}的{_MARKS[kind]}", f"{name}{_MARKS[kind]}"
        return own, f"the {own}", f"{kind} for {name}"
    if language == "zh":
        return (f"{'方框' if kind == 'box' else '菱形'}{rest}",)
    return own, f"the {own}", f"step {rest}"


def all_queries() -> list[Query]:
    """Return every query of the training, in a fixed order."""
    found = []
    for name, concept in CONCEPTS.items():
        found.append(Query(name))
        if concept.painted:
            found += [Query(name, colour) for colour in _COLOURS]
    entries = sorted({entry for axis in AXES for entry in axis})
    found += [Query(mark, own=f"{mark} of {entry}") for mark in _MARKS for entry in entries]
    found += [Query("box", own=f"box {step}") for step in sorted({*STEPS, *STARTS, *ENDS})]
    found += [Query("diamond", own=f"diamond {word}") for word in DECISIONS]
    found += [Query("vertebra", own=f"vertebra L{level}") for level in range(1, 6)]
    return found + [Query(en) for en, _ in TRAINED_FOREIGN]


class Vocabulary:
    """Queries with their wordings, and which targets they mean."""

    def __init__(self, queries: Sequence[Query]) -> None:
        self.queries = list(queries)
        #: All phrases; ``rows`` has the places of each query's phrases by language.
        self.texts: list[str] = []
        self.rows: list[dict[Language, range]] = []
        for query in self.queries:
            places: dict[Language, range] = {}
            for language in LANGUAGES:
                wordings = query.wordings(language)
                places[language] = range(len(self.texts), len(self.texts) + len(wordings))
                self.texts += wordings
            self.rows.append(places)
        self._name = np.array([_place(_NAMES, query.name) for query in self.queries])
        self._colour = np.array([_place(_COLOURS, query.colour) for query in self.queries])
        self._own = [query.own for query in self.queries]
        self._owns = {own: row for row, own in enumerate(self._own) if own}
        self._known = {family: self._known_in(family) for family in FAMILIES}

    def meant(self, targets: Sequence[Target]) -> Mask:
        """Return (targets, queries): whether a target is what a query asks for."""
        hot = np.zeros((len(targets), len(_NAMES) + 1), np.bool_)
        for row, target in enumerate(targets):
            hot[row, [_NAMES.index(name) for name in target.names]] = True
        colour = np.array([_place(_COLOURS, target.colour) for target in targets], int)
        fits = (self._colour < 0) | (self._colour == colour[:, None])
        result: Mask = hot[:, self._name] & fits
        result[:, list(self._owns.values())] = False
        for row, target in enumerate(targets):
            if target.own in self._owns:
                result[row, self._owns[target.own]] = True
        return result

    def known(self, family: str) -> Mask:
        """Return (queries,): whether the boxes of a family say if there is such a thing."""
        return self._known[family]

    def _known_in(self, family: str) -> Mask:
        return np.array([query.name not in UNKNOWN[family] for query in self.queries])


def _place(values: Sequence[str], value: str) -> int:
    """Return the index of a value, -1 if it is not there: the last column, which is empty."""
    return values.index(value) if value in values else -1
