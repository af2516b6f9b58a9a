"""How long to wait before a request is tried again."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

FIRST_SECONDS: Final = 0.25
LONGEST_SECONDS: Final = 8.0
#: A server that names a time further off than this means something else than "in a moment".
_LONGEST_ASKED_SECONDS: Final = 3600.0


def pause_seconds(attempt: int, asked: float | None, chance: random.Random) -> float:
    """The pause after the failed ``attempt`` (0 is the first).

    What the server ``asked`` for and a little more, so that callers do not all return at once; else
    a random share of a time that doubles.
    """
    if asked is not None:
        return asked + chance.uniform(0, FIRST_SECONDS)
    longest = min(FIRST_SECONDS * 2 ** min(attempt, 10), LONGEST_SECONDS)
    return chance.uniform(longest / 2, longest)


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds of a ``Retry-After`` header, a number or a date; ``None`` where it makes no sense."""
    if value is None or len(value) > 100:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    # The comparison is false for NaN.
    return max(seconds, 0.0) if seconds <= _LONGEST_ASKED_SECONDS else None
