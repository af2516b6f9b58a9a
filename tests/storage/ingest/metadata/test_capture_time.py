# ruff: noqa: DTZ001 - wall clocks have no zone

import unicodedata
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from sightline.storage.ingest.metadata.capture_time import (
    CaptureTime,
    first_time,
    from_filename,
    from_tag,
    from_text,
)
from sightline.storage.ingest.metadata.embedded_metadata import TimeTag

BERLIN = ZoneInfo("Europe/Berlin")


def test_an_exif_time_with_an_offset_keeps_both_utc_and_local_time() -> None:
    assert from_tag(TimeTag("2024:05:03 17:22:10", offset="+08:00"), BERLIN) == CaptureTime(
        datetime(2024, 5, 3, 9, 22, 10, tzinfo=UTC), datetime(2024, 5, 3, 17, 22, 10)
    )


def test_an_exif_time_without_an_offset_is_in_the_configured_zone() -> None:
    captured = from_tag(TimeTag("2024:07:01 12:00:00\0"), BERLIN)
    assert captured == CaptureTime(datetime(2024, 7, 1, 10, tzinfo=UTC), datetime(2024, 7, 1, 12))


@pytest.mark.parametrize(
    "value", ["0000:00:00 00:00:00", "", "yesterday", "2024:13:01 00:00:00", "2024:02:30 10:00:00"]
)
def test_an_invalid_exif_time_is_none(value: str) -> None:
    assert from_tag(TimeTag(value), UTC) is None


@pytest.mark.parametrize("offset", ["+99:99", "east", ""])
def test_a_broken_offset_keeps_the_local_time(offset: str) -> None:
    captured = from_tag(TimeTag("2024:05:03 17:22:10", offset=offset), UTC)
    assert captured is not None
    assert captured.local == datetime(2024, 5, 3, 17, 22, 10)


@pytest.mark.parametrize("value", ["0001:01:01 00:00:00", "9999:12:31 23:59:59"])
@pytest.mark.parametrize("offset", ["+14:00", "-14:00", None])
def test_times_at_the_limits_of_the_calendar_do_not_fail(value: str, offset: str | None) -> None:
    for is_utc in (False, True):
        from_tag(TimeTag(value, "original", offset, is_utc), ZoneInfo("Pacific/Kiritimati"))


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


def test_a_time_in_utc_gets_the_wall_clock_of_the_zone_and_1904_is_ignored() -> None:
    captured = from_tag(TimeTag("2026-05-01T16:40:00Z", is_utc=True), ZoneInfo("Asia/Tokyo"))
    assert captured is not None
    assert captured.local == datetime(2026, 5, 2, 1, 40)
    assert from_tag(TimeTag("1904-01-01T00:00:00Z", is_utc=True), UTC) is None
    assert from_tag(TimeTag("yesterday", is_utc=True), UTC) is None


@pytest.mark.parametrize(
    "value", ["2024-05-03T19:05:00+0900", "2024:05:03 19:05:00+09:00", "D:20240503190500+09'00'"]
)
def test_a_written_offset_gives_the_wall_clock_of_the_place(value: str) -> None:
    assert from_tag(TimeTag(value), BERLIN) == CaptureTime(
        datetime(2024, 5, 3, 10, 5, tzinfo=UTC), datetime(2024, 5, 3, 19, 5)
    )


def test_fractions_of_a_second_order_a_burst() -> None:
    captured = from_tag(TimeTag("2024:05:03 17:22:10.25"), UTC)
    assert captured is not None
    assert captured.local == datetime(2024, 5, 3, 17, 22, 10, 250_000)


def test_the_first_time_that_is_one_counts() -> None:
    tags = (TimeTag("0000:00:00 00:00:00"), TimeTag("2024:05:03"), TimeTag("2023:01:01 00:00:00"))
    assert first_time(tags, UTC) == CaptureTime(datetime(2024, 5, 3, tzinfo=UTC), None)
    assert first_time((), UTC) is None


@pytest.mark.parametrize("text", ["1258375918", " 1258375918.0", "1258375918000"])
def test_a_number_is_seconds_or_milliseconds_since_1970(text: str) -> None:
    moment = datetime(2009, 11, 16, 12, 51, 58, tzinfo=UTC)
    assert from_text(text, BERLIN) == CaptureTime(moment, datetime(2009, 11, 16, 13, 51, 58))


@pytest.mark.parametrize(
    "name",
    [
        "DJI_20240503172210_0001_V.jpg",
        "IMG20240503172210.jpg",
        "20240503172210123.jpg",
        "Bildschirmfoto 2024-05-03 um 17.22.10.png",
        unicodedata.normalize("NFD", "Capture d’écran 2024-05-03 à 17.22.10.png"),
        "Captura de pantalla 2024-05-03 a la(s) 5.22.10 p. m..png",
        "Schermata 2024-05-03 alle 17.22.10.png",
        "Skärmavbild 2024-05-03 kl. 17.22.10.png",
        "截屏2024-05-03 下午5.22.10.png",
        "스크린샷 2024-05-03 오후 5.22.10.png",
        "1714749730000.jpg",
        "mmexport1714749730000.jpg",
    ],
)
def test_names_of_other_systems_and_languages_have_a_time_too(name: str) -> None:
    captured = from_filename(name, BERLIN)
    assert captured is not None
    assert captured.local == datetime(2024, 5, 3, 17, 22, 10)


@pytest.mark.parametrize("name", ["invoice 2024-05-03 EUR 1234.pdf", "DOC-20240503-WA0001.pdf"])
def test_a_number_after_a_day_is_not_always_a_time(name: str) -> None:
    captured = from_filename(name, UTC)
    assert captured == CaptureTime(datetime(2024, 5, 3, tzinfo=UTC), None)


def test_a_wall_clock_tells_the_zone_of_a_time_in_utc() -> None:
    """Google knows when a picture was taken, and the camera what the clock showed."""
    utc = TimeTag("2024-05-03T15:22:10", is_utc=True)
    clock = TimeTag("2024:05:03 17:22:10")
    moment = datetime(2024, 5, 3, 15, 22, 10, tzinfo=UTC)
    assert first_time((utc, clock), UTC) == CaptureTime(moment, datetime(2024, 5, 3, 17, 22, 10))
    for other in (TimeTag("2020:01:01 00:00:00"), TimeTag("2024:05:03 17:22:11"), TimeTag("x")):
        assert first_time((utc, other), UTC) == CaptureTime(moment, moment.replace(tzinfo=None))
