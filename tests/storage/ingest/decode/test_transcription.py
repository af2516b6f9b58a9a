"""Speech in videos and audio files becomes passages with their times."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sightline.server.config.settings import SpeechSettings
from sightline.server.models.speech.transcription_client import TranscriptionClient
from sightline.storage.errors import ModelError, ModelUnavailableError
from sightline.storage.ingest.decode.transcription import SourceSpeech, SpeechStage, speech_passage
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.media.subtitles import SubtitleCue
from sightline.storage.ingest.progress import IngestStats
from sightline.storage.interfaces import SPEECH_RATE, SpeechSegment
from tests.storage.ingest.conftest import Bench
from tests.support.fake_vlm_server import serving
from tests.support.media import GREEN, RED
from tests.support.speech import FakeSpeechServer, audio_file, talking_film

SPEECH = (
    "SELECT s.name, p.text, p.start_seconds, p.end_seconds, a.kind, a.frame_seconds, p.x0, p.x1 "
    "FROM sightline.passage p JOIN sightline.source s ON s.id = p.source_id "
    "LEFT JOIN sightline.asset a ON a.id = p.asset_id WHERE p.kind = 'speech' "
    "ORDER BY s.name, p.start_seconds"
)
about = pytest.approx


@pytest.fixture
async def server() -> AsyncIterator[tuple[FakeSpeechServer, str]]:
    endpoint = FakeSpeechServer()
    async with serving(endpoint) as url:
        yield endpoint, url


async def test_speech_is_added_when_a_transcriber_is_set_up(
    bench: Bench, album: Path, server: tuple[FakeSpeechServer, str]
) -> None:
    endpoint, url = server
    words = [(5.0, "kettle"), (40.0, "stove"), (70.0, "hydraulic")]
    audio_file(album / "talk.ogg", words, 75, "flac", "ogg")
    talking_film(album / "clip.mp4", [(RED, 2), (GREEN, 2)], [(2.5, "transmission")])

    summary = await bench.ingest("album")
    assert (summary.added, summary.images) == (2, 3), summary.failures
    assert summary.warnings["speech_skipped"].count == 2
    assert summary.untranscribed_minutes == about(79 / 60, abs=0.05)
    assert summary.as_json()["untranscribed_minutes"] == summary.untranscribed_minutes
    kinds = "SELECT kind, mime_type, transcriber FROM sightline.source ORDER BY kind"
    assert await bench.rows(kinds) == [("audio", "audio/ogg", None), ("video", "video/mp4", None)]
    vectors = "SELECT kind FROM sightline.asset JOIN sightline.embedding ON asset_id = asset.id"
    assert set(await bench.rows(vectors + " WHERE passage_id IS NULL")) == {("frame",)}

    endpoint.failures += [(500, {})] * 4 * 8
    bench.transcriber = transcriber = TranscriptionClient(
        SpeechSettings(base_url=url, model="whisper-tiny", max_concurrent_requests=1), sleep=no_wait
    )
    summary = await bench.ingest("album")
    assert summary.warnings["speech_failed"].count == 1  # the second was not even tried
    assert await bench.rows(SPEECH) == []

    endpoint.failures.clear()
    assert (await bench.ingest("album")).updated == 2
    film, *talk = await bench.rows(SPEECH)
    assert film == (
        *("album/clip.mp4", "The transmission.", about(2.5, abs=0.1), about(3.1, abs=0.1)),
        *("frame", about(2.0), None, None),
    )
    assert [row[:5] for row in talk] == [
        ("album/talk.ogg", f"The {word}.", about(at, abs=0.1), about(at + 0.6, abs=0.1), "audio")
        for at, word in words
    ]
    assert [row[6] for row in talk] == [about(at / 75, abs=0.002) for at, _ in words]
    assert max(endpoint.lengths) <= 30

    assert (await bench.ingest("album")).unchanged == 2
    requests = len(endpoint.requests)
    bench.transcriber = other = TranscriptionClient(
        SpeechSettings(base_url=url, model="whisper-tiny", language="en"), sleep=no_wait
    )
    assert (await bench.ingest("album")).updated == 2  # another result is possible
    assert len(await bench.rows(SPEECH)) == 4
    assert endpoint.requests[requests]["language"] == "en"
    await transcriber.close()
    await other.close()


async def no_wait(_: float) -> None:
    pass


class Scripted:
    """A transcriber that says the same of every piece, or fails."""

    name = "scripted"

    def __init__(self, *said: SpeechSegment, error: ModelError | None = None) -> None:
        self.said = said
        self.error = error
        self.calls = 0

    async def transcribe(self, _: object) -> list[SpeechSegment]:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return list(self.said)


def piece(start: float, seconds: float = 10) -> messages.SoundPart:
    return messages.SoundPart(start, bytes(round(2 * SPEECH_RATE * seconds)))


def source_speech(transcriber: Scripted) -> tuple[SourceSpeech, SpeechStage]:
    stage = SpeechStage(transcriber, IngestStats("x", lambda _: None))
    return SourceSpeech(stage, "a.mp3", max_seconds=100), stage


async def test_replies_of_a_transcriber_are_bounded() -> None:
    said = [
        SpeechSegment(-5, 2, "First\0 words."),
        SpeechSegment(3, 99, "To the end."),
        SpeechSegment(float("nan"), 4, "never"),
        SpeechSegment(4, 5, "x" * 10_000),
        SpeechSegment(5, 6, "[Music]"),
    ]
    speech, _ = source_speech(Scripted(*said))
    await speech.add(piece(20))
    assert await speech.finish() == [
        SubtitleCue(20, 22, "First words."),
        SubtitleCue(23, 30, "To the end."),
    ]


async def test_a_phrase_that_the_model_repeats_is_there_once() -> None:
    speech, _ = source_speech(Scripted(*(SpeechSegment(n, n + 1, "Thanks.") for n in range(9))))
    await speech.add(piece(0))
    assert await speech.finish() == [SubtitleCue(0, 9, "Thanks.")]


@pytest.mark.parametrize("part", [piece(0, 31), piece(-1), piece(1e9), piece(float("nan"))])
async def test_a_worker_that_sends_wrong_sound_is_refused(part: messages.SoundPart) -> None:
    speech, _ = source_speech(Scripted())
    with pytest.raises(ValueError, match="more sound"):
        await speech.add(part)


async def test_a_worker_cannot_send_sound_without_end() -> None:
    speech, _ = source_speech(Scripted())
    for _ in range(5):
        await speech.add(piece(0, 30))
    with pytest.raises(ValueError, match="more sound"):
        await speech.add(piece(0, 30))


@pytest.mark.parametrize(
    ("error", "is_available"), [(ModelError("refused"), True), (ModelUnavailableError("x"), False)]
)
async def test_a_failure_ends_the_source_and_an_outage_all(
    error: ModelError, *, is_available: bool
) -> None:
    transcriber = Scripted(error=error)
    speech, stage = source_speech(transcriber)
    for start in range(0, 80, 10):
        await speech.add(piece(start))
    assert await speech.finish() == []
    assert transcriber.calls <= 4
    assert stage.is_available is is_available
    assert "speech_failed" in stage.stats.summary(1, 0, []).warnings


def test_the_box_of_speech_is_its_time_in_the_waveform() -> None:
    whole = speech_passage(SubtitleCue(0, 10, "x"), 0, 10)
    assert whole.box == (0, 0, 1, 1)
    last = speech_passage(SubtitleCue(9.999, 12, "x"), 0, 10)
    assert last.box is not None
    left, _, right, _ = last.box
    assert left < right == 1
    assert speech_passage(SubtitleCue(1, 2, "x"), 0, None).box is None
