"""Have the sound of sources transcribed, and turn what is said into passages."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field

import numpy as np

from sightline.storage.errors import ModelError, ModelUnavailableError, first_error
from sightline.storage.ingest import stage_types as stages
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.media.subtitles import (
    SubtitleCue,
    join_sentences,
    unrolled,
)
from sightline.storage.ingest.discover.sidecars import clean_json
from sightline.storage.ingest.progress import IngestStats
from sightline.storage.interfaces import MAX_SPEECH_SECONDS, SPEECH_RATE, Transcriber
from sightline.storage.types import Box

_BYTES_PER_SECOND = 2 * SPEECH_RATE
_PIECES_AT_ONCE = 4  # of one source: 4 MB of sound wait
_MAX_PIECE_CHARS = 5_000
_MIN_BOX_WIDTH = 0.004


@dataclass(slots=True)
class SpeechStage:
    """Transcribes the sound of all sources of an ingest.

    After the transcriber was unavailable once, the rest of the ingest goes on without it: each
    source would wait for all retries. The next run tries again.
    """

    transcriber: Transcriber | None
    stats: IngestStats
    is_available: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_available = self.transcriber is not None

    @property
    def name(self) -> str:
        """Return the name that is recorded with transcribed sources, or nothing."""
        return "" if self.transcriber is None else self.transcriber.name

    def skip(self, name: str, seconds: float) -> None:
        """Count sound that is not transcribed, and say so in the report."""
        self.stats.untranscribed_seconds += seconds
        why = "failed" if self.transcriber is not None else "is not set up"
        reason = f"{seconds / 60:.1f} minutes of sound were skipped: the transcriber {why}"
        self.stats.warn("speech_skipped", name, reason)


@dataclass(slots=True)
class SourceSpeech:
    """Collects the sound of one source, and what is said in it."""

    _stage: SpeechStage
    _name: str
    max_seconds: float
    error: BaseException | None = None
    _waiting: list[messages.SoundPart] = field(default_factory=list)
    _cues: list[SubtitleCue] = field(default_factory=list)
    _seconds: float = 0.0

    async def add(self, part: messages.SoundPart) -> None:
        """Transcribe a piece with the next ones. Raises ValueError for a wrong one."""
        seconds = len(part.samples) / _BYTES_PER_SECOND
        self._seconds += seconds
        if (
            len(part.samples) % 2
            or not 0 < seconds <= MAX_SPEECH_SECONDS
            or not 0 <= part.start_seconds <= 2 * self.max_seconds
            or self._seconds > self.max_seconds + 2 * MAX_SPEECH_SECONDS
        ):
            raise ValueError("more sound than the file can have")
        self._waiting.append(part)
        if len(self._waiting) >= _PIECES_AT_ONCE:
            await self._transcribe()

    async def finish(self) -> list[SubtitleCue]:
        """Return what is said, joined to sentences; a failure is a warning.

        What was transcribed before the failure is kept.
        """
        await self._transcribe()
        if self.error is not None:
            reason = f"speech was not transcribed ({self.error}); the next run retries it"
            self._stage.stats.warn("speech_failed", self._name, reason)
        return list(join_sentences(unrolled(self._cues)))

    async def _transcribe(self) -> None:
        parts, self._waiting = self._waiting, []
        if self.error is not None or not self._stage.is_available or not parts:
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                pieces = [tasks.create_task(self._piece(part)) for part in parts]
        except* ModelError as group:
            self.error = first_error(group)
            if isinstance(self.error, ModelUnavailableError):
                self._stage.is_available = False
        for piece in pieces:
            if piece.done() and not piece.cancelled() and piece.exception() is None:
                self._cues += piece.result()

    async def _piece(self, part: messages.SoundPart) -> list[SubtitleCue]:
        assert self._stage.transcriber is not None  # noqa: S101 - `is_available`
        samples = np.frombuffer(part.samples, "<i2")
        length = len(samples) / SPEECH_RATE
        cues, chars = [], 0
        for each in await self._stage.transcriber.transcribe(samples):
            text = " ".join(str(clean_json(each.text)).split())
            chars += len(text)
            if not text or chars > _MAX_PIECE_CHARS or not math.isfinite(each.start + each.end):
                continue
            start = min(max(0.0, each.start), length)
            end = min(max(start, each.end), length)
            cues.append(SubtitleCue(part.start_seconds + start, part.start_seconds + end, text))
        return cues


def speech_passage(
    cue: SubtitleCue, ordinal: int, sound_seconds: float | None
) -> stages.PassageDraft:
    """Return the passage of a sentence.

    With ``sound_seconds``, the duration of an audio file, its box is its time in the waveform.
    """
    box: Box | None = None
    if sound_seconds:
        left = min(max(0.0, cue.start / sound_seconds), 1 - _MIN_BOX_WIDTH)
        right = min(1.0, max(cue.end / sound_seconds, left + _MIN_BOX_WIDTH))
        box = (left, 0.0, right, 1.0)
    return stages.PassageDraft(
        "speech",
        ordinal,
        cue.text,
        asset=0 if box else None,
        seconds=(cue.start, cue.end),
        box=box,
    )
