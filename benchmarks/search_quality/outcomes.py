"""Outcomes of queries: what was first, shares by group, tables and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.tables import print_table

ALL = "all"
NONE = "-"


@dataclass(frozen=True, slots=True)
class Query:
    """A query; ``relevant`` are file names without suffix, empty if nothing should be found."""

    group: str
    text: str
    relevant: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reply:
    """The hits of a search, best first, as pairs of file name without suffix and weakness."""

    hits: tuple[tuple[str, bool], ...]
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> str | None:
        """The file name of the first hit."""
        return self.hits[0][0] if self.hits else None

    @property
    def first_is_weak(self) -> bool:
        """Whether the caller learns that nothing was found: no hit, or a weak first one."""
        return self.hits[0][1] if self.hits else True


@dataclass(frozen=True, slots=True)
class Outcome:
    """A query with its reply."""

    query: Query
    reply: Reply

    @property
    def is_right(self) -> bool:
        """Whether a relevant hit is first; without any, whether no hit claims to be one."""
        if not self.query.relevant:
            return all(weak for _, weak in self.reply.hits)
        return self.reply.first in self.query.relevant

    @property
    def is_empty_without_note(self) -> bool:
        """Whether the caller gets neither hits nor a reason."""
        return not self.reply.hits and not self.reply.notes


def by_group(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Return the outcomes of each group, and of all."""
    groups: dict[str, list[Outcome]] = {}
    for each in outcomes:
        groups.setdefault(each.query.group, []).append(each)
    return {**groups, ALL: list(outcomes)}


def share(outcomes: Sequence[Outcome], holds: Callable[[Outcome], bool]) -> float | None:
    """Return the share of outcomes for which it holds, None if there are none."""
    return sum(map(holds, outcomes)) / len(outcomes) if outcomes else None


def recall(outcomes: Sequence[Outcome]) -> float:
    """Return R@1."""
    return share(outcomes, lambda each: each.is_right) or 0.0


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of each group as JSON values."""
    return {
        group: {
            "queries": len(found),
            "R@1": round(recall(found), 4),
            "empty": sum(not each.reply.hits for each in found),
            "empty_without_note": sum(each.is_empty_without_note for each in found),
        }
        for group, found in by_group(outcomes).items()
    }


def print_recall(title: str, column: str, systems: Mapping[str, Sequence[Outcome]]) -> None:
    """Print R@1 by group of each system, the gap to the first, and empty results."""
    grouped = {name: by_group(outcomes) for name, outcomes in systems.items()}
    first, *others = grouped
    columns = [column, "queries", *grouped, *(f"{name} minus {first}" for name in others)]
    rows = []
    for group, found in grouped[first].items():
        values = [recall(groups[group]) for groups in grouped.values()]
        gaps = [f"{value - values[0]:+.2f}" for value in values[1:]]
        everywhere = [each for groups in grouped.values() for each in groups[group]]
        empty = sum(not each.reply.hits for each in everywhere)
        silent = sum(each.is_empty_without_note for each in everywhere)
        cells = [f"{value:.2f}" for value in values]
        rows.append([group, str(len(found)), *cells, *gaps, str(empty), str(silent)])
    print_table(title, [*columns, "empty", "without note"], rows)


def print_failures(system: str, outcomes: Sequence[Outcome]) -> None:
    """Print each wrong outcome: the query, what is relevant, the first hit and the notes."""
    wrong = [each for each in outcomes if not each.is_right]
    print(f"\n{system}: {len(wrong)} of {len(outcomes)} wrong")
    for each in wrong:
        relevant = ", ".join(sorted(each.query.relevant)) or NONE
        first = f"{each.reply.first or NONE}{' (weak)' if each.reply.first_is_weak else ''}"
        notes = f"; notes: {' '.join(each.reply.notes)}" if each.reply.notes else ""
        print(f"  [{each.query.group}] {each.query.text!r}: {first} instead of {relevant}{notes}")


def print_json(values: Mapping[str, Any]) -> None:
    """Print one line of JSON."""
    print(json.dumps(values, ensure_ascii=False))
