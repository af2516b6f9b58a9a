# ruff: noqa: DTZ001 - wall clocks have no zone

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from sightline.storage.ingest.captured import Captured, from_exif, from_text

BERLIN = ZoneInfo("Europe/Berlin")


def test_an_exif_time_with_an_offset_keeps_the_moment_and_the_wall_clock() -> None:
    assert from_exif("2024:05:03 17:22:10", "+08:00", BERLIN) == Captured(
        datetime(2024, 5, 3, 9, 22, 10, tzinfo=UTC), datetime(2024, 5, 3, 17, 22, 10)
    )


def test_an_exif_time_without_an_offset_is_on_the_clock_of_the_zone_that_is_set() -> None:
    captured = from_exif("2024:07:01 12:00:00\0", None, BERLIN)
    assert captured == Captured(datetime(2024, 7, 1, 10, tzinfo=UTC), datetime(2024, 7, 1, 12))


@pytest.mark.parametrize(
    "value", ["0000:00:00 00:00:00", "", "yesterday", "2024:13:01 00:00:00", "2024:02:30 10:00:00"]
)
def test_what_is_no_exif_time_is_none(value: str) -> None:
    assert from_exif(value, None, UTC) is None


@pytest.mark.parametrize("offset", ["+99:99", "east", ""])
def test_a_broken_offset_leaves_the_clock(offset: str) -> None:
    captured = from_exif("2024:05:03 17:22:10", offset, UTC)
    assert captured is not None
    assert captured.local == datetime(2024, 5, 3, 17, 22, 10)


@pytest.mark.parametrize("value", ["0001:01:01 00:00:00", "9999:12:31 23:59:59"])
@pytest.mark.parametrize("offset", ["+14:00", "-14:00", None])
def test_times_at_the_ends_of_the_calendar_do_not_fail(value: str, offset: str | None) -> None:
    from_exif(value, offset, ZoneInfo("Pacific/Kiritimati"))


@pytest.mark.parametrize(
    ("text", "at", "local"),
    [
        ("2024-05-03T17:22:10+02:00", (2024, 5, 3, 15, 22, 10), (2024, 5, 3, 17, 22, 10)),
        ("2024-05-03T17:22:10Z", (2024, 5, 3, 17, 22, 10), (2024, 5, 3, 17, 22, 10)),
        ("2024-05-03 17:22", (2024, 5, 3, 17, 22), (2024, 5, 3, 17, 22)),
        ("2024:05:03 17:22:10", (2024, 5, 3, 17, 22, 10), (2024, 5, 3, 17, 22, 10)),
        ("2024-05-03", (2024, 5, 3), None),
    ],
)
def test_a_sidecars_time_is_read_in_the_forms_people_write(
    text: str, at: tuple[int, ...], local: tuple[int, ...] | None
) -> None:
    expected = Captured(datetime(*at, tzinfo=UTC), datetime(*local) if local else None)
    assert from_text(text, UTC) == expected


@pytest.mark.parametrize("text", ["", "noon", "2024-13-01", "9999-12-31T23:59:59-14:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_text(text, UTC)
