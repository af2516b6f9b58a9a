"""Train, validation and test splits, disjoint by seed and combination.

A *combination* is a short string such as ``street/van/white`` or ``room/lamp/left of/sofa``. Its
hash decides whether it is *unseen*. About 15% of combinations are unseen and occur only in the test
split. All others occur in every split, with different seeds. 30% of the test images contain an
unseen combination.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.training.world.core.scene import Split

UNSEEN_SHARE: Final = 0.15
UNSEEN_SHARE_OF_TEST: Final = 0.30
_TRIES: Final = 5000

#: Seeds of each split; the ranges do not overlap.
SEEDS: Final[dict[Split, range]] = {
    "train": range(1_000_000_000),
    "validation": range(1_000_000_000, 2_000_000_000),
    "test": range(2_000_000_000, 3_000_000_000),
}

T = TypeVar("T")


class SplitError(InvalidArgumentError):
    """Wrong seed for a split, or attributes that a split cannot contain."""


def is_unseen(combination: str) -> bool:
    """Return whether ``combination`` is reserved for the test split."""
    digest = hashlib.sha256(combination.encode()).digest()
    return int.from_bytes(digest[:4], "big") < UNSEEN_SHARE * 2**32


def is_allowed(combination: str, split: Split) -> bool:
    """Return whether an image of ``split`` may show ``combination``."""
    return split == "test" or not is_unseen(combination)


def seed_of(split: Split, number: int) -> int:
    """Return the seed of image ``number`` of ``split``, counted from 0."""
    seeds = SEEDS[split]
    if not 0 <= number < len(seeds):
        raise SplitError(f"Image number {number} of {split!r} is outside 0 to {len(seeds) - 1}.")
    return seeds[number]


def check_seed(seed: int, split: Split) -> None:
    """Raise ``SplitError`` if ``seed`` belongs to another split."""
    if split not in SEEDS:
        raise UnknownNameError("split", split, SEEDS)
    if seed not in SEEDS[split]:
        seeds = SEEDS[split]
        raise SplitError(
            f"Seed {seed} is not in split {split!r}. "
            f"Its seeds are {seeds.start} to {seeds.stop - 1}."
        )


def sample_attributes(
    rng: random.Random,
    split: Split,
    draw: Callable[[], T],
    combinations: Callable[[T], Iterable[str]],
) -> tuple[T, bool]:
    """Sample attributes by rejection until the split allows all combinations.

    Call it once per image. ``draw`` samples the attributes and ``combinations`` lists all
    combinations in them. Returns the attributes and whether one combination is unseen (only in the
    test split, with probability ``UNSEEN_SHARE_OF_TEST``).
    """
    use_unseen = split == "test" and rng.random() < UNSEEN_SHARE_OF_TEST
    for _ in range(_TRIES):
        value = draw()
        if any(map(is_unseen, combinations(value))) == use_unseen:
            return value, use_unseen
    kind = "an unseen combination" if use_unseen else "only seen combinations"
    raise SplitError(f"No image with {kind} for split {split!r} after {_TRIES} draws.")
