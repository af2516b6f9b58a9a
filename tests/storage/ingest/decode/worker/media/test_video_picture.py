"""Frames look as a player shows them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.media.video import decode_video
from sightline.storage.ingest.decode.worker.media.video_picture import shown_picture, shown_size
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.ingest.ingest_options import IngestOptions
from tests.support.media import BLUE, GREEN, RED, film

ONE, WHOLE = 1 << 16, 1 << 30
INTERLACED_FLAGS = 0x20040000
PQ, HLG, BT2020 = 16, 18, 9
CASES = Path(__file__).parents[5] / "data" / "cases"
PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile '{}'\n",
    "mpd": "<MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><BaseURL>{}</BaseURL></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 9 RTP/AVP 96\n",
}


def decoded(data: bytes, name: str, **limits: Any) -> list[messages.JobPart]:
    context = WorkerContext(lambda image: np.asarray(image.resize((8, 8))), IngestOptions(**limits))
    context.begin_source(len(data))
    return list(decode_video(io.BytesIO(data), name, context, messages.DecodeRequest(name=name)))


def frames_of(parts: list[messages.JobPart]) -> list[tuple[float, Image.Image]]:
    return [
        (part.frame_seconds or 0.0, Image.open(io.BytesIO(part.content or b"")))
        for part in parts
        if isinstance(part, messages.ImagePart)
    ]


def warnings_of(parts: list[messages.JobPart]) -> list[str]:
    return [each.code for each in parts if isinstance(each, messages.PartWarning)]


def encoded_video(
    path: Path,
    pictures: list[NDArray[np.uint8]],
    codec: str = "mpeg4",
    *,
    container: str | None = None,
    aspect: Fraction | None = None,
    matrix: tuple[int, ...] | None = None,
    flags: int = 0,
    **options: str,
) -> bytes:
    """Write RGB pictures at ten frames per second; return the file."""
    with av.open(str(path), "w", format=container, options=options) as out:
        stream = out.add_stream(codec, rate=25 if flags else 10)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        stream.codec_context.flags |= flags
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for pixels in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode())
    return path.read_bytes()


def quarters() -> NDArray[np.uint8]:
    """Return a picture of 96 x 64 with another color in each quarter."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:32, :48], pixels[:32, 48:], pixels[32:, :48] = RED, GREEN, BLUE
    pixels[32:, 48:] = 230
    return pixels


@pytest.mark.parametrize(
    ("size", "aspect", "shown"),
    [
        ((480, 480), 16 / 9, (853, 480)),
        ((720, 576), 64 / 45, (1024, 576)),
        ((1440, 1080), 4 / 3, (1920, 1080)),
        ((720, 480), 8 / 9, (720, 540)),
        ((3840, 2160), 1.0, (1920, 1080)),
        ((320, 240), 1e9, (320, 240)),
        ((1, 4000), 0.2, (1, 1920)),
    ],
)
def test_pixels_of_a_video_need_not_be_square(
    size: tuple[int, int], aspect: float, shown: tuple[int, int]
) -> None:
    assert shown_size(*size, aspect) == shown


def test_the_aspect_of_a_file_is_applied(tmp_path: Path) -> None:
    data = encoded_video(tmp_path / "a.mp4", [quarters()], aspect=Fraction(16, 9))
    ((_, picture),) = frames_of(decoded(data, "a.mp4"))
    assert picture.size == (171, 64)


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((0, ONE, 0, -ONE, 0, 0, 0, 0, WHOLE), lambda pixels: np.rot90(pixels, -1)),
        ((-ONE, 0, 0, 0, -ONE, 0, 0, 0, WHOLE), lambda pixels: np.rot90(pixels, 2)),
        ((0, -ONE, 0, ONE, 0, 0, 0, 0, WHOLE), np.rot90),
        ((-ONE, 0, 0, 0, ONE, 0, 0, 0, WHOLE), np.fliplr),
        ((ONE, 0, 0, 0, -ONE, 0, 0, 0, WHOLE), np.flipud),
        ((0, ONE, 0, ONE, 0, 0, 0, 0, WHOLE), lambda pixels: pixels.swapaxes(0, 1)),
        ((7, 7, 0, 7, 7, 0, 0, 0, 0), lambda pixels: pixels),
    ],
)
def test_frames_are_turned_and_mirrored_as_the_file_says(
    tmp_path: Path,
    matrix: tuple[int, ...],
    turned: object,
) -> None:
    data = encoded_video(tmp_path / "a.mov", [quarters()], matrix=matrix)
    ((_, picture),) = frames_of(decoded(data, "a.mov"))
    expected = turned(quarters())  # type: ignore[operator]
    assert picture.size == expected.shape[1::-1]
    for across, down in ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)):
        place = (int(picture.width * across), int(picture.height * down))
        difference = np.array(picture.getpixel(place)) - expected[place[1], place[0]]
        assert np.abs(difference).max() < 30


def combs(picture: Image.Image) -> float:
    """Return how much lines differ from both neighbors, which are equal."""
    gray = np.asarray(picture.convert("L")).astype(np.int16)
    between = np.abs(gray[1:-1] - (gray[:-2] + gray[2:]) // 2)
    return float(between[np.abs(gray[:-2] - gray[2:]) < 8].mean())


def moving_disc(count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield interlaced frames: the lines of the second field are of a later moment."""
    down, across = np.mgrid[:240, :320]
    for number in range(count):
        first, second = (
            np.where((across - 60 - 6 * moment) ** 2 + (down - 120) ** 2 < 2500, 220, 40)
            for moment in (2 * number, 2 * number + 1)
        )
        gray = np.where(down % 2 == 0, first, second).astype(np.uint8)
        yield np.repeat(gray[..., None], 3, axis=2)


@pytest.mark.parametrize("name", ["a.MTS", "a.mpg"])
def test_frames_of_interlaced_video_have_no_combs(tmp_path: Path, name: str) -> None:
    pictures = list(moving_disc(3))
    data = encoded_video(
        tmp_path / "a",
        pictures,
        "mpeg2video",
        container="mpegts" if name.endswith("MTS") else "mpeg",
        flags=INTERLACED_FLAGS,
    )
    ((_, picture),) = frames_of(decoded(data, name))
    assert combs(Image.fromarray(pictures[0])) > 2
    assert combs(picture) < 0.5


def pq_signal(nits: float) -> float:
    """Return the signal of SMPTE ST 2084, 0 to 1."""
    light = (nits / 10_000) ** 0.1593017578125
    return float(((0.8359375 + 18.8515625 * light) / (1 + 18.6875 * light)) ** 78.84375)


def hdr_picture(signal: float, transfer: int) -> int:
    """Return the gray value of a plain HDR frame."""
    pixels = np.full((16, 32, 3), round(signal * 65535), np.uint16)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le")
    frame.color_trc, frame.color_primaries = transfer, BT2020
    shown = np.asarray(shown_picture(frame, 1.0))
    assert shown.std() < 2
    return int(shown[5, 5, 1])


@pytest.mark.parametrize(
    ("signal", "transfer", "gray"),
    [
        # BT.2408: 203 nits are diffuse white; below the knee the light is kept.
        (pq_signal(100), PQ, 187),  # 0.493 of white
        (pq_signal(27), PQ, 103),
        (1.0, PQ, 255),
        (0.0, PQ, 0),
        (0.5, HLG, 137),
        (1.0, HLG, 255),
    ],
)
def test_hdr_is_mapped_to_the_brightness_of_players(
    signal: float, transfer: int, gray: int
) -> None:
    assert hdr_picture(signal, transfer) == pytest.approx(gray, abs=4)


def test_highlights_of_hdr_keep_their_differences() -> None:
    shown = [hdr_picture(signal, PQ) for signal in map(pq_signal, (203, 400, 600, 1000))]
    assert shown == sorted(set(shown))
    assert shown[0] > 200


def test_an_hdr_film_has_the_colors_of_players() -> None:
    frames = frames_of(decoded((CASES / "hdr.mp4").read_bytes(), "hdr.mp4"))
    red, green, *_ = [picture.getpixel((20, 400)) for _, picture in frames]
    assert red == pytest.approx((255, 0, 0), abs=8)
    assert green == pytest.approx((0, 144, 0), abs=8)  # without mapping: (84, 122, 0)


@pytest.mark.parametrize(
    ("size", "matrix", "weights", "color_range"),
    [
        ((320, 240), 2, (0.299, 0.114), 0),  # unspecified: SD is BT.601
        ((1280, 720), 2, (0.2126, 0.0722), 0),  # HD is BT.709
        ((320, 240), 1, (0.2126, 0.0722), 1),
        ((320, 240), 9, (0.2627, 0.0593), 1),  # BT.2020
        ((320, 240), 6, (0.299, 0.114), 2),  # full range
    ],
)
def test_color_matrix_and_range_are_obeyed(
    size: tuple[int, int], matrix: int, weights: tuple[float, float], color_range: int
) -> None:
    rgb = (192, 128, 64)
    luma = weights[0] * rgb[0] + (1 - sum(weights)) * rgb[1] + weights[1] * rgb[2]
    blue, red = (rgb[2] - luma) / (2 - 2 * weights[1]), (rgb[0] - luma) / (2 - 2 * weights[0])
    scale, base, chroma = (1, 0, 1) if color_range == 2 else (219 / 255, 16, 224 / 255)
    levels = (base + scale * luma, 128 + chroma * blue, 128 + chroma * red)
    area = size[0] * size[1]
    planes = [np.full(area // 4 if each else area, round(levels[each])) for each in (0, 1, 2)]
    rows = np.concatenate(planes).astype(np.uint8).reshape(-1, size[0])
    frame = av.VideoFrame.from_ndarray(rows, format="yuv420p")
    frame.colorspace, frame.color_range = matrix, color_range
    assert shown_picture(frame, 1.0).getpixel((5, 5)) == pytest.approx(rgb, abs=4)


def test_scenes_of_equal_brightness_are_kept(tmp_path: Path) -> None:
    colors = [(128, 0, 0), (0, 65, 0), (0, 30, 180), (38, 38, 38), (70, 20, 70)]
    weights = (0.299, 0.587, 0.114)
    assert all(abs(np.dot(weights, each) - 38) < 4 for each in colors)
    pictures = [np.full((64, 96, 3), each, np.uint8) for each in colors for _ in range(10)]
    frames = frames_of(decoded(encoded_video(tmp_path / "a.mp4", pictures), "a.mp4"))
    assert [round(seconds) for seconds, _ in frames] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "container", "codec"),
    [
        ("a.3gp", "3gp", "mpeg4"),
        ("A.WMV", "asf", "wmv2"),
        ("a.flv", "flv", "flv"),
        ("a.vob", "vob", "mpeg2video"),
        ("a.M2TS", "mpegts", "mpeg2video"),
        ("a.insv", "mp4", "mpeg4"),
        ("a.ogv", "ogg", "libtheora"),
        ("a.mp4", "avi", "mpeg4"),  # a wrong name
        ("a.avi", "matroska", "mpeg4"),
    ],
)
def test_camera_and_web_containers_are_read(
    tmp_path: Path, name: str, container: str, codec: str
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    pictures = [np.full((144, 176, 3), color, np.uint8) for color in (RED, GREEN)]
    data = encoded_video(
        tmp_path / "a",
        [each for each in pictures for _ in range(10)],
        codec,
        container=container,
        flags=0,
    )
    frames = frames_of(decoded(data, name))
    assert [round(seconds) for seconds, _ in frames] == [0, 1]


def test_a_video_without_duration_is_sampled_to_its_end(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", [(RED, 1), (GREEN, 1), (BLUE, 1)] * 4)
    whole = path.read_bytes()
    at = whole.index(b"\x44\x89\x88")  # the element Duration, of eight bytes
    data = whole[:at] + b"\xec\x89" + bytes(9) + whole[at + 11 :]  # Void
    with av.open(io.BytesIO(data)) as container:
        assert container.duration is None
    frames = frames_of(decoded(data, "a.mkv", max_video_frames=4))
    assert frames[-1][0] > 8


def test_truncated_and_damaged_videos_are_decoded_as_far_as_possible(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    shots = [(RED, 2), (GREEN, 2), (BLUE, 2)]
    pictures = [np.full((96, 160, 3), color, np.uint8) for color, n in shots for _ in range(n * 10)]
    noise = np.random.default_rng(1)
    pictures = [each + noise.integers(0, 9, each.shape, np.uint8) for each in pictures]
    data = encoded_video(path, pictures, movflags="faststart")
    assert warnings_of(decoded(data, "a.mp4")) == []
    cut = decoded(data[: len(data) // 2], "a.mp4")
    assert [round(seconds) for seconds, _ in frames_of(cut)] == [0, 2]
    assert warnings_of(cut) == ["video_damaged"]
    third = len(data) // 3
    holed = decoded(data[:third] + bytes(2_000) + data[third + 2_000 :], "a.mp4")
    assert round(frames_of(holed)[-1][0]) == 4


def test_times_that_start_again_continue(tmp_path: Path) -> None:
    parts = [
        film(tmp_path / f"{number}.ts", [(first, 2), (BLUE, 2)]).read_bytes()
        for number, first in enumerate((RED, GREEN))
    ]
    frames = frames_of(decoded(b"".join(parts), "a.ts"))
    assert [round(seconds) for seconds, _ in frames] == [0, 2, 4, 6]


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("suffix", ["mp4", "ts", "mpg", "avi", "3gp", "wmv", "flv", "vob", "mxf"])
def test_a_playlist_is_no_video_whatever_its_name(tmp_path: Path, kind: str, suffix: str) -> None:
    secret = film(tmp_path / "secret.mp4", [(RED, 1)])
    with pytest.raises(MediaError):
        decoded(PLAYLISTS[kind].format(secret).encode(), f"a.{suffix}")
