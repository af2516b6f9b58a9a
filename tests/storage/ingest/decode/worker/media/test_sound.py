"""Sound is decoded to short pieces that end at silence, with their times."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.dispatch import run_request
from sightline.storage.ingest.decode.worker.media.waveform import draw_waveform
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.ingest.ingest_options import IngestOptions
from tests.support.media import GREEN, RED
from tests.support.speech import RATE, audio_file, sound_of, talking_film, words_in

WORDS = [(4.0, "kettle"), (24.0, "stove"), (31.5, "hydraulic"), (68.0, "transmission")]


def decoded(data: bytes, name: str, *, speech: bool = True, **limits: Any) -> list[Any]:
    context = WorkerContext(lambda image: np.asarray(image.resize((8, 8))), IngestOptions(**limits))
    request = messages.DecodeRequest(name=name, data=data, sha256="00", speech=speech)
    return list(run_request(request, context))


def heard(parts: list[Any]) -> Iterator[tuple[float, str]]:
    for part in parts:
        if isinstance(part, messages.SoundPart):
            for start, _, word in words_in(np.frombuffer(part.samples, "<i2")):
                yield part.start_seconds + start, word


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [
        ("a.wav", "pcm_s16le", None),
        ("a.mp3", "libmp3lame", None),
        ("a.m4a", "aac", "ipod"),
        ("a.aac", "aac", "adts"),
        ("a.flac", "flac", None),
        ("a.opus", "libopus", "ogg"),
        ("a.wma", "wmav2", "asf"),
        ("a.mka", "flac", "matroska"),
        ("a.aiff", "pcm_s16be", None),
        ("wrong.mp3", "flac", "flac"),
    ],
)
def test_audio_files_become_pieces_with_true_times(
    tmp_path: Path, name: str, codec: str, container: str | None
) -> None:
    parts = decoded(audio_file(tmp_path / name, WORDS, 75, codec, container).read_bytes(), name)
    found = list(heard(parts))
    assert [word for _, word in found] == [word for _, word in WORDS]
    assert [start for start, _ in found] == pytest.approx([at for at, _ in WORDS], abs=0.15)
    sizes = [len(each.samples) for each in parts if isinstance(each, messages.SoundPart)]
    assert max(sizes) <= 30 * 2 * RATE
    info = parts[-1]
    assert info.kind == "audio"
    assert info.sound_seconds == pytest.approx(75, abs=0.2)


def test_an_audio_file_has_the_picture_of_its_waveform(tmp_path: Path) -> None:
    data = audio_file(tmp_path / "a.flac", [(40.0, "kettle")], 80, "flac").read_bytes()
    (part,) = [
        each
        for each in decoded(data, "a.flac", speech=False)
        if isinstance(each, messages.ImagePart)
    ]
    assert (part.kind, part.width, part.height, part.hashes) == ("audio", 1600, 400, None)
    picture = np.asarray(Image.open(io.BytesIO(part.content or b"")).convert("RGB")).astype(int)
    blue = (picture[30] - (37, 99, 175)).__abs__().sum(axis=1) < 90  # near the top
    assert 800 <= int(np.flatnonzero(blue).min()) <= 803
    assert 808 <= int(np.flatnonzero(blue).max()) <= 816


def test_a_waveform_of_any_length_can_be_drawn() -> None:
    for seconds in (0.01, 1, 59, 4 * 3600):
        peaks = np.full(max(1, round(seconds * 20)), 99, np.int16)
        assert draw_waveform(peaks, seconds).size == (1600, 400)


def test_silence_is_not_transcribed(tmp_path: Path) -> None:
    data = audio_file(tmp_path / "a.flac", [], 70, "flac").read_bytes()
    parts = decoded(data, "a.flac")
    assert not [each for each in parts if isinstance(each, messages.SoundPart)]
    assert parts[-1].sound_seconds == pytest.approx(70, abs=0.1)


def test_the_sound_of_a_video_has_the_times_of_its_frames(tmp_path: Path) -> None:
    path = talking_film(tmp_path / "a.mp4", [(RED, 2), (GREEN, 2)], [(2.5, "stove")])
    parts = decoded(path.read_bytes(), "a.mp4")
    assert [word for _, word in heard(parts)] == ["stove"]
    assert next(heard(parts))[0] == pytest.approx(2.5, abs=0.15)
    frames = [each.frame_seconds for each in parts if isinstance(each, messages.ImagePart)]
    assert [round(each) for each in frames] == [0, 2]
    without = decoded(path.read_bytes(), "a.mp4", speech=False)
    assert not list(heard(without))
    assert without[-1].sound_seconds == pytest.approx(4, abs=0.2)


def test_video_without_pictures_is_sound_and_a_cover_is_no_video(tmp_path: Path) -> None:
    data = audio_file(tmp_path / "a.mp4", WORDS, 75, "aac", "mp4").read_bytes()
    assert decoded(data, "a.mp4", speech=False)[-1].kind == "audio"
    cover = io.BytesIO()
    Image.new("RGB", (64, 64), RED).save(cover, "JPEG")
    frame = b"\0image/jpeg\0\3\0" + cover.getvalue()
    frame = b"APIC" + struct.pack(">IH", len(frame), 0) + frame
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    data = audio_file(tmp_path / "b.mp3", WORDS, 75, "libmp3lame").read_bytes()
    data = b"ID3\3\0\0" + size + frame + data
    with av.open(io.BytesIO(data)) as container:
        assert len(container.streams.video) == 1
    parts = decoded(data, "b.mp3")
    assert parts[-1].kind == "audio"
    assert len(list(heard(parts))) == len(WORDS)


def riff(*, claimed: int, rate: int = 8_000, channels: int = 1, data: bytes = b"") -> bytes:
    head = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, channels * 2, 16)
    return (
        b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0" + head + b"data" + struct.pack("<I", claimed)
    ) + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        riff(claimed=0),
        riff(claimed=2**31 - 1),
        riff(claimed=100, rate=0, data=bytes(100)),
        riff(claimed=4_000, rate=2**31 - 1, data=bytes(4_000)),
        riff(claimed=100, channels=0, data=bytes(100)),
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(100),
        b"#EXTM3U\nhttp://127.0.0.1/a.mp3\n",
        b"OggS" + bytes(200),
    ],
)
def test_files_without_sound_are_refused(data: bytes) -> None:
    with pytest.raises(MediaError):
        decoded(data, "a.wav")


def test_a_header_that_claims_years_is_not_believed() -> None:
    samples = sound_of([(0.2, "kettle")], 1.0).tobytes()
    parts = decoded(riff(claimed=2**32 - 1, rate=RATE, data=samples), "a.wav")
    assert parts[-1].sound_seconds == pytest.approx(1.0, abs=0.1)


def test_sound_beyond_the_limit_is_left_out(tmp_path: Path) -> None:
    data = audio_file(tmp_path / "a.flac", WORDS, 75, "flac").read_bytes()
    parts = decoded(data, "a.flac", max_video_seconds=40)
    assert [word for _, word in heard(parts)] == ["kettle", "stove", "hydraulic"]
    codes = [each.code for each in parts if isinstance(each, messages.PartWarning)]
    assert codes == ["sound_cut_short"]


def test_truncated_sound_is_decoded_as_far_as_possible(tmp_path: Path) -> None:
    data = audio_file(tmp_path / "a.mp3", WORDS, 75, "libmp3lame").read_bytes()
    found = list(heard(decoded(data[: len(data) // 2], "a.mp3")))
    assert [word for _, word in found] == ["kettle", "stove", "hydraulic"]
