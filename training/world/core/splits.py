"""Which split a picture belongs to: disjoint by seed, and by combination of attributes.

A *combination* is a short string such as ``street/van/white`` or ``room/lamp/left of/sofa``. Its
hash decides whether it is *unseen*: about 15% are, and those occur in the test split alone. All
others occur in every split, drawn from seeds that no other split uses. Three in ten test pictures
hold an unseen combination, the rest hold none.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.training.world.core.picture import Split

UNSEEN_SHARE: Final = 0.15
UNSEEN_PICTURES: Final = 0.30
_TRIES: Final = 5000

#: The seeds of each split; they never overlap.
SEEDS: Final[dict[Split, range]] = {
    "train": range(1_000_000_000),
    "validation": range(1_000_000_000, 2_000_000_000),
    "test": range(2_000_000_000, 3_000_000_000),
}

T = TypeVar("T")


class SplitError(InvalidArgumentError):
    """A seed of another split, or attributes that cannot be drawn for a split."""


def is_unseen(combination: str) -> bool:
    """Whether ``combination`` is kept for the test split."""
    digest = hashlib.sha256(combination.encode()).digest()
    return int.from_bytes(digest[:4], "big") < UNSEEN_SHARE * 2**32


def allowed(combination: str, split: Split) -> bool:
    """Whether a picture of ``split`` may show ``combination``."""
    return split == "test" or not is_unseen(combination)


def seed_of(split: Split, number: int) -> int:
    """The seed of the ``number``-th picture of ``split``, counted from 0."""
    seeds = SEEDS[split]
    if not 0 <= number < len(seeds):
        raise SplitError(f"picture number {number} of {split!r} is outside 0 to {len(seeds) - 1}")
    return seeds[number]


def check_seed(seed: int, split: Split) -> None:
    """Refuse a seed that belongs to another split."""
    if split not in SEEDS:
        raise UnknownNameError("split", split, SEEDS)
    if seed not in SEEDS[split]:
        seeds = SEEDS[split]
        raise SplitError(
            f"seed {seed} is not one of {split!r}; its seeds are {seeds.start} to {seeds.stop - 1}"
        )


def choose(
    rng: random.Random,
    split: Split,
    draw: Callable[[], T],
    combinations: Callable[[T], Iterable[str]],
) -> tuple[T, bool]:
    """Draw attributes by rejection until the split allows every combination they hold.

    Call it once a picture, with ``draw`` choosing everything that combinations speak of and
    ``combinations`` naming them all. Returns the attributes and whether one of them is unseen,
    which is never so outside the test split and so in ``UNSEEN_PICTURES`` of the test split.
    """
    wanted = split == "test" and rng.random() < UNSEEN_PICTURES
    for _ in range(_TRIES):
        value = draw()
        if any(map(is_unseen, combinations(value))) == wanted:
            return value, wanted
    kind = "an unseen combination" if wanted else "seen combinations alone"
    raise SplitError(f"{_TRIES} draws for {split!r} gave no picture with {kind}")
