# ruff: noqa: DTZ001 - wall clocks have no zone

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from sightline.storage.ingest.decode.capture_time import (
    CaptureTime,
    from_exif,
    from_filename,
    from_text,
    from_video,
)

BERLIN = ZoneInfo("Europe/Berlin")


def test_an_exif_time_with_an_offset_keeps_both_utc_and_local_time() -> None:
    assert from_exif("2024:05:03 17:22:10", "+08:00", BERLIN) == CaptureTime(
        datetime(2024, 5, 3, 9, 22, 10, tzinfo=UTC), datetime(2024, 5, 3, 17, 22, 10)
    )


def test_an_exif_time_without_an_offset_is_in_the_configured_zone() -> None:
    captured = from_exif("2024:07:01 12:00:00\0", None, BERLIN)
    assert captured == CaptureTime(datetime(2024, 7, 1, 10, tzinfo=UTC), datetime(2024, 7, 1, 12))


@pytest.mark.parametrize(
    "value", ["0000:00:00 00:00:00", "", "yesterday", "2024:13:01 00:00:00", "2024:02:30 10:00:00"]
)
def test_an_invalid_exif_time_is_none(value: str) -> None:
    assert from_exif(value, None, UTC) is None


@pytest.mark.parametrize("offset", ["+99:99", "east", ""])
def test_a_broken_offset_keeps_the_local_time(offset: str) -> None:
    captured = from_exif("2024:05:03 17:22:10", offset, UTC)
    assert captured is not None
    assert captured.local == datetime(2024, 5, 3, 17, 22, 10)


@pytest.mark.parametrize("value", ["0001:01:01 00:00:00", "9999:12:31 23:59:59"])
@pytest.mark.parametrize("offset", ["+14:00", "-14:00", None])
def test_times_at_the_limits_of_the_calendar_do_not_fail(value: str, offset: str | None) -> None:
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
def test_sidecar_times_are_parsed_in_common_formats(
    text: str, at: tuple[int, ...], local: tuple[int, ...] | None
) -> None:
    expected = CaptureTime(datetime(*at, tzinfo=UTC), datetime(*local) if local else None)
    assert from_text(text, UTC) == expected


@pytest.mark.parametrize("text", ["", "noon", "2024-13-01", "9999-12-31T23:59:59-14:00"])
def test_an_invalid_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_text(text, UTC)


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("a/IMG_20260501_164000.jpg", "2026-05-01T16:40:00"),
        ("VID_20260501_164000.mp4", "2026-05-01T16:40:00"),
        ("PXL_20260501_144000123.jpg", "2026-05-01T16:40:00"),
        ("2026-05-01 16.40.00.png", "2026-05-01T16:40:00"),
        ("Screenshot_20260501-164000.png", "2026-05-01T16:40:00"),
        ("Screenshot 2026-05-01 at 4.40.00\u202fPM.png", "2026-05-01T16:40:00"),
        ("WhatsApp Image 2026-05-01 at 16.40.00.jpeg", "2026-05-01T16:40:00"),
        ("signal-2026-05-01-16-40-00-123.jpg", "2026-05-01T16:40:00"),
        ("20260501_164000.jpg", "2026-05-01T16:40:00"),
    ],
)
def test_capture_times_are_parsed_from_file_names(name: str, local: str) -> None:
    captured = from_filename(name, ZoneInfo("Europe/Berlin"))
    assert captured is not None
    assert captured.local == datetime.fromisoformat(local)
    assert captured.at == datetime(2026, 5, 1, 14, 40, tzinfo=UTC)


@pytest.mark.parametrize("name", ["IMG-20260501-WA0003.jpg", "2026-05-01 the harbour.jpg"])
def test_a_day_in_a_file_name_has_no_local_time(name: str) -> None:
    captured = from_filename(name, ZoneInfo("UTC"))
    assert captured is not None
    assert (captured.at, captured.local) == (datetime(2026, 5, 1, tzinfo=UTC), None)


@pytest.mark.parametrize(
    "name",
    ["000000000025.jpg", "IMG_20261501_164000.jpg", "20260501.jpg", "9555916500133.png", "a.jpg"],
)
def test_numbers_that_are_not_a_time_are_ignored(name: str) -> None:
    assert from_filename(name, ZoneInfo("UTC")) is None


def test_a_video_time_without_an_offset_is_utc_and_1904_is_ignored() -> None:
    captured = from_video("2026-05-01T16:40:00", ZoneInfo("Asia/Tokyo"))
    assert captured is not None
    assert captured.local == datetime(2026, 5, 2, 1, 40)
    assert from_video("1904-01-01T00:00:00Z", ZoneInfo("UTC")) is None
    assert from_video("yesterday", ZoneInfo("UTC")) is None
