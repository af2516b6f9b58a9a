"""How alike two rankings are.

Cross-modal agreement is this measure between what picture vectors rank and what words on and
around the pictures rank: at 1 the two say the same and one could go; near 0 they see different
things, which is when fusing them pays, or one of them is blind.
"""

from __future__ import annotations

from collections.abc import Sequence

PERSISTENCE = 0.9
"""The chance that a reader goes on to the next place: the first ten carry 86% of the weight."""


def rank_biased_overlap(
    one: Sequence[str], other: Sequence[str], persistence: float = PERSISTENCE
) -> float:
    """0 (nothing in common) to 1 (the same order); lists of distinct keys, of any lengths.

    RBO extrapolated to unseen depths: Webber, Moffat and Zobel, "A similarity measure for
    indefinite rankings", ACM TOIS 28(4), 2010, equation 32. Two empty lists agree, 1; an empty and
    a full one do not, 0.

    >>> round(rank_biased_overlap("abc", "acb"), 3)
    0.955
    """
    shorter, longer = sorted((one, other), key=len)
    few, many = len(shorter), len(longer)
    if not few:
        return float(not many)
    p = persistence
    seen_short: set[str] = set()
    seen_long: set[str] = set()
    overlap, at_short, total = 0, 0, 0.0
    for depth in range(1, many + 1):
        key = longer[depth - 1]
        overlap += key in seen_short
        seen_long.add(key)
        if depth <= few:
            key = shorter[depth - 1]
            overlap += key in seen_long
            seen_short.add(key)
            at_short = overlap
        total += overlap / depth * p**depth
        if depth > few:
            total += at_short * (depth - few) / (few * depth) * p**depth
    return (1 - p) / p * total + ((overlap - at_short) / many + at_short / few) * p**many
