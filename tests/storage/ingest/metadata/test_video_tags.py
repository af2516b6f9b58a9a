import pytest

from sightline.storage.ingest.metadata.embedded_metadata import NO_METADATA, TimeTag
from sightline.storage.ingest.metadata.video_tags import parse_position, read_video_tags


def test_tags_of_a_phone_give_time_place_and_camera() -> None:
    found = read_video_tags(
        {
            "creation_time": "2024-05-03T10:05:00.000000Z",
            "com.apple.quicktime.creationdate": "2024-05-03T19:05:00+0900",
            "com.apple.quicktime.location.iso6709": "+35.6586+139.7454+040.1/",
            "com.apple.quicktime.make": "Apple",
            "com.apple.quicktime.model": "iPhone 15",
            "title": "Tower",
        }
    )
    assert found.times == (
        TimeTag("2024-05-03T19:05:00+0900", "original"),
        TimeTag("2024-05-03T10:05:00.000000Z", "digitized", is_utc=True),
    )
    assert found.position == (35.6586, 139.7454)
    assert (found.title, found.camera) == ("Tower", "Apple iPhone 15")


@pytest.mark.parametrize("text", ["", None, "+91.0+0.0/", "Paris", "+1e9+2"])
def test_a_broken_position_is_none(text: str | None) -> None:
    position = parse_position(text)
    assert position is None or not read_video_tags({"location": str(text)}).position


def test_a_video_without_tags_has_no_metadata() -> None:
    assert read_video_tags({"encoder": "Lavf62", "date": ""}) == NO_METADATA
