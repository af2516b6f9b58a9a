"""Videos become frames with their times, and subtitles."""

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.storage.ingest.decode.worker.media.media_container import container_tags
from sightline.storage.ingest.metadata.video_tags import read_video_tags
from tests.storage.ingest.conftest import Bench
from tests.support.media import BLUE, GREEN, RED, film

SRT = """1
00:00:00,500 --> 00:00:01,500
The kettle is

2
00:00:01,600 --> 00:00:02,000
<i>on the stove.</i>

3
00:00:04,200 --> 00:00:05,000
猫在沙发上。
"""

FRAMES = (
    "SELECT a.ordinal, a.frame_seconds, a.width, a.height, a.location, a.sha256, a.captured_at "
    "FROM sightline.asset a WHERE kind = 'frame' ORDER BY ordinal"
)
PASSAGES = (
    "SELECT p.text, p.start_seconds, p.end_seconds, a.frame_seconds FROM sightline.passage p "
    "LEFT JOIN sightline.asset a ON a.id = p.asset_id WHERE p.kind = 'subtitle' ORDER BY p.ordinal"
)


async def test_one_frame_per_scene_is_kept_with_its_time_and_image(
    bench: Bench, album: Path
) -> None:
    film(
        album / "clip.mp4",
        [(RED, 2), (GREEN, 2), (BLUE, 2)],
        creation_time="2026-05-01T16:40:00.000000Z",
    )
    summary = await bench.ingest("album", timezone="Europe/Berlin")
    assert (summary.added, summary.images) == (1, 3)
    frames = await bench.rows(FRAMES)
    assert [row[:4] for row in frames] == [
        (0, 0.0, 160, 96),
        (1, pytest.approx(2.0), 160, 96),
        (2, pytest.approx(4.0), 160, 96),
    ]
    picture = Image.open(io.BytesIO(bench.blobs.read(frames[1][4], frames[1][5], name="it")))
    assert np.abs(np.array(picture.getpixel((5, 5))) - GREEN).max() < 25
    assert frames[1][6] == datetime(2026, 5, 1, 16, 40, 2, tzinfo=UTC)
    local = "SELECT captured_local FROM sightline.asset WHERE ordinal = 0"
    assert await bench.rows(local) == [(datetime(2026, 5, 1, 18, 40),)]  # noqa: DTZ001
    kinds = "SELECT kind, mime_type FROM sightline.source"
    assert await bench.rows(kinds) == [("video", "video/mp4")]


async def test_a_still_video_is_one_frame_and_a_long_one_has_a_limit(
    bench: Bench, album: Path
) -> None:
    film(album / "still.mp4", [(RED, 12)])
    film(album / "busy.avi", [(RED, 1), (GREEN, 1), (BLUE, 1)] * 3)
    await bench.ingest("album", max_video_frames=4, frame_seconds=2)
    counted = await bench.rows(
        "SELECT s.name, count(*) FROM sightline.source s JOIN sightline.asset a "
        "ON a.source_id = s.id GROUP BY s.name ORDER BY s.name"
    )
    assert counted[1] == ("album/still.mp4", 1)
    assert 2 <= counted[0][1] <= 4


async def test_subtitles_of_a_video_reference_the_frame_shown_with_them(
    bench: Bench, album: Path
) -> None:
    film(album / "clip.mp4", [(RED, 2), (GREEN, 2), (BLUE, 2)])
    (album / "clip.en.srt").write_text(SRT)
    summary = await bench.ingest("album")
    assert (summary.added, summary.passages) == (1, 2)
    times = pytest.approx
    assert await bench.rows(PASSAGES) == [
        ("The kettle is on the stove.", times(0.5), times(2.0), times(2.0)),
        ("猫在沙发上。", times(4.2), times(5.0), times(4.0)),
    ]


async def test_a_subtitle_never_references_a_frame_after_it(bench: Bench, album: Path) -> None:
    cues = {
        "The stove is off.": (1.0, 1.9),  # nearer to the frame at 2 than to that at 0
        "All of it.": (1.0, 5.5),
        "The end.": (5.9, 9.0),
    }
    film(
        album / "clip.mkv",
        [(RED, 2), (GREEN, 2), (BLUE, 2)],
        cues=[(start, end, text) for text, (start, end) in cues.items()],
    )
    await bench.ingest("album")
    frames = {text: seconds for text, _, _, seconds in await bench.rows(PASSAGES)}
    assert frames == {
        "The stove is off.": 0.0,
        "All of it.": pytest.approx(4.0),
        "The end.": pytest.approx(4.0),
    }


async def test_embedded_subtitles_are_passages_too(bench: Bench, album: Path) -> None:
    cues = [(0.2, 1.0, "<b>The kettle sings.</b>"), (2.5, 3.5, "It is quiet now.")]
    film(album / "clip.mkv", [(RED, 2), (GREEN, 2)], cues=cues)
    await bench.ingest("album")
    assert await bench.rows(PASSAGES) == [
        ("The kettle sings.", pytest.approx(0.2), pytest.approx(1.0), 0.0),
        ("It is quiet now.", pytest.approx(2.5), pytest.approx(3.5), pytest.approx(2.0)),
    ]


async def test_changed_subtitles_are_updated_without_decoding(bench: Bench, album: Path) -> None:
    film(album / "clip.mp4", [(RED, 2), (GREEN, 2)])
    (album / "clip.srt").write_text(SRT)
    await bench.ingest("album")
    (album / "clip.srt").write_text("1\n00:00:02,000 --> 00:00:03,000\nNew words.\n")
    summary = await bench.ingest("album")
    assert (summary.updated, summary.images) == (1, 0)
    assert await bench.rows(PASSAGES) == [("New words.", 2.0, 3.0, pytest.approx(2.0))]


async def test_removed_subtitle_files_are_replaced_by_embedded_subtitles(
    bench: Bench, album: Path
) -> None:
    film(album / "clip.mkv", [(RED, 2), (GREEN, 2)], cues=[(2.5, 3.5, "Within the film.")])
    film(album / "mute.mp4", [(GREEN, 2), (RED, 2)])
    for name in ("clip", "mute"):
        (album / f"{name}.srt").write_text(SRT)
    await bench.ingest("album")
    assert len(await bench.rows(PASSAGES)) == 4
    (album / "clip.srt").unlink()
    (album / "mute.srt").unlink()
    summary = await bench.ingest("album")
    assert (summary.updated, summary.images) == (2, 0)
    assert await bench.rows(PASSAGES) == [("Within the film.", 2.5, 3.5, pytest.approx(2.0))]
    assert (await bench.ingest("album")).unchanged == 2


async def test_a_video_is_streamed_and_has_its_own_size_limit(bench: Bench, album: Path) -> None:
    film(album / "a.mp4", [(RED, 1), (GREEN, 1)])
    size = (album / "a.mp4").stat().st_size
    assert (await bench.ingest("album", max_file_bytes=size // 2)).added == 1
    assert len(await bench.rows(FRAMES)) == 2
    (album / "b.mp4").write_bytes((album / "a.mp4").read_bytes() + b"\0\0\0\x08free")
    await bench.ingest("album", max_video_bytes=size)
    assert await bench.failures() == {"album/b.mp4": "too_large"}


async def test_subtitles_without_a_video_are_passages_with_times(bench: Bench, album: Path) -> None:
    cue = "00:01.000 --> 00:02.500 align:start\nHello &amp; hi."
    (album / "talk.vtt").write_text(f"WEBVTT\n\n{cue}")
    await bench.ingest("album")
    assert await bench.rows(PASSAGES) == [("Hello & hi.", 1.0, 2.5, None)]


async def test_videos_that_cannot_be_decoded_are_failures(bench: Bench, album: Path) -> None:
    whole = film(album / "good.avi", [(RED, 1), (GREEN, 2)]).read_bytes()
    (album / "a-noise.mp4").write_bytes(bytes(range(256)) * 64)
    (album / "b-playlist.mp4").write_bytes(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    (album / "c-wide.avi").write_bytes(film(album / "w.avi", [(RED, 1)], (640, 480)).read_bytes())
    (album / "w.avi").unlink()
    (album / "d-cut.avi").write_bytes(whole[: len(whole) * 2 // 3])
    (album / "e-words.srt").write_text("no times here")
    summary = await bench.ingest("album", max_pixels=200_000)
    assert await bench.failures() == {
        "album/a-noise.mp4": "broken",
        "album/b-playlist.mp4": "broken",
        "album/c-wide.avi": "too_many_pixels",
        "album/e-words.srt": "broken",
    }
    assert summary.added == 2
    assert len(list(bench.blobs.locations())) == len(
        set(await bench.rows("SELECT location FROM sightline.asset"))
    )


def test_a_phone_writes_its_local_time_besides_utc() -> None:
    path = Path(__file__).parents[5] / "data" / "cases" / "iphone.mov"
    with path.open("rb") as file:
        tags = container_tags(file, path.name)
    assert read_video_tags(tags).times[0].value == "2024-05-03T19:05:00+0900"
