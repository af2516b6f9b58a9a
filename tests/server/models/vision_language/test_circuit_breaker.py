from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from sightline.server.models.vision_language.circuit_breaker import (
    MAX_DELAY_SECONDS,
    parse_retry_after,
    retry_delay_seconds,
)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-4", 0.0),
        ("Sat, 01 Jan 2028 00:00:30 GMT", 30.0),
        ("Sat, 01 Jan 2028 00:00:30", 30.0),
        ("nan", None),
        ("1e99", None),
        ("soon", None),
        ("9" * 200, None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, datetime(2028, 1, 1, tzinfo=UTC)) == seconds


def test_delays_grow_to_a_limit_and_have_jitter() -> None:
    rng = random.Random(5)
    delays = [retry_delay_seconds(attempt, None, rng) for attempt in range(40)]
    assert all(0 < delay <= MAX_DELAY_SECONDS for delay in delays)
    assert delays[0] < 0.5 < delays[6]
    assert len(set(delays)) == len(delays)
    assert 2 <= retry_delay_seconds(0, 2.0, rng) < 3
