"""Names of columns, told apart where a table has one twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def told_apart(names: Sequence[str]) -> list[str]:
    """``price, price`` as ``price, price (2)``; columns without a name keep none.

    >>> told_apart(["price", "", "price", "price (2)"])
    ['price', '', 'price (3)', 'price (2)']
    """
    taken = {name for name, number in Counter(names).items() if number == 1}
    found: list[str] = []
    for name in names:
        number, free = 1, name
        while name and (free in found or (free in taken and free != name)):
            number += 1
            free = f"{name} ({number})"
        found.append(free)
    return found


def repeated(names: Sequence[str]) -> list[str]:
    """Those that stand there more than once."""
    return [name for name, number in Counter(names).items() if name and number > 1]
