"""Content of a street: types, tables and sampling."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sightline.training.world.core.camera import Point
from sightline.training.world.core.clocks import sample_time
from sightline.training.world.core.scene import Box
from sightline.training.world.street.backdrops import PLACES
from sightline.training.world.street.vehicles import VEHICLES

PAINTS: Final = ("red", "orange", "yellow", "green", "blue", "purple", "black", "grey", "white")


@dataclass(frozen=True, slots=True)
class Group:
    """Adjacent vehicles of one kind and color."""

    kind: str
    color: str
    count: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Content of a street.

    ``relation`` relates the first group to the second: "left of" in the same row, "behind" in a row
    further away, or empty for a single group.
    """

    groups: tuple[Group, ...]
    relation: str
    place: str
    daylight: str
    when: datetime
    timepiece: str

    def combinations(self) -> list[str]:
        pairs = [f"street/{g.kind}/{g.color}" for g in self.groups]
        if self.relation:
            first, second = self.groups
            pairs.append(f"street/{first.kind}/{self.relation}/{second.kind}")
        return pairs


@dataclass(frozen=True, slots=True)
class DrawnAreas:
    """Positions of drawn objects: outlines by group, clock, timestamp, sign."""

    outlines: list[list[list[Point]]]
    clock: Box | None = None
    timestamp: tuple[str, Box] | None = None
    sign: tuple[str, Box] | None = None


def sample_plan(rng: random.Random) -> Plan:
    kinds = rng.sample(list(VEHICLES), 2)
    if rng.random() < 0.15:
        kinds[1] = kinds[0]
    colors = rng.sample(PAINTS, 2)
    relation = rng.choice(["", "left of", "left of", "behind"])
    max_count = {"": 3, "left of": 2, "behind": 2}[relation]
    counts = [rng.randint(1, max_count) for _ in kinds]
    if relation == "left of" and sum(counts) > 3:
        counts[rng.randrange(2)] = 1
    groups = [Group(k, c, n) for k, c, n in zip(kinds, colors, counts, strict=True)]
    daylight, when = sample_time(rng)
    return Plan(
        tuple(groups if relation else groups[:1]),
        relation,
        rng.choice(list(PLACES)),
        daylight,
        when,
        rng.choice(["clock", "clock", "stamp", "stamp", "none"]),
    )
