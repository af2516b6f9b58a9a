"""Decode sound in pieces that end at silence, and draw its waveform."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import av
import numpy as np
from numpy.typing import NDArray

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.media.media_container import (
    best_stream,
    open_media,
    start_seconds,
)
from sightline.storage.ingest.decode.worker.media.waveform import draw_waveform
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.interfaces import MAX_SPEECH_SECONDS, SPEECH_RATE

Samples = NDArray[np.int16]

_MIN_PIECE_SECONDS = 15
_QUIET_SECONDS = 0.2
_SILENCE = 60  # of 32,767: -55 dB
_PEAK_SECONDS = 0.05
_MAX_GAP_SECONDS = 1.0


def decode_audio(
    file: IO[bytes], name: str, context: WorkerContext, request: messages.DecodeRequest
) -> Generator[messages.JobPart, None, float]:
    """Yield the sound, as far as it is requested, and the picture of its waveform.

    Returns the duration in seconds; that of known sound is not needed. Damage after the start is a
    warning; raises MediaError if nothing can be decoded.
    """
    if request.metadata_only and not request.speech:
        return 0.0
    reader = SoundReader(context, request)
    yield from reader.parts(file, name)
    if reader.seconds == 0:
        raise MediaError("broken", "has no sound that can be decoded")
    if not request.metadata_only:
        picture = draw_waveform(reader.peaks(), reader.seconds)
        for part in context.picture_parts(picture, 1, kind="audio", ordinal=0):
            yield part._replace(hashes=None, local_hashes=None)
    return reader.seconds


@dataclass(slots=True)
class SoundReader:
    """Decodes one sound track to 16 kHz mono and cuts it into pieces."""

    context: WorkerContext
    request: messages.DecodeRequest
    seconds: float = 0.0
    _peaks: list[NDArray[np.int16]] = field(default_factory=list)
    _waiting: list[Samples] = field(default_factory=list)
    _waiting_count: int = 0
    _position: float = 0.0

    def parts(self, file: IO[bytes], name: str) -> Iterator[messages.JobPart]:
        """Yield the pieces that are not silent, and warnings."""
        try:
            with open_media(file, name) as container:
                if (stream := best_stream(container, "audio")) is None:
                    return
                stream.thread_type, stream.codec_context.thread_count = "NONE", 1
                yield from self._decode(container, stream)
        except (av.error.FFmpegError, ValueError) as error:
            if self.seconds == 0 and not self._waiting:
                raise MediaError("broken", f"has sound that cannot be decoded: {error}") from error
            yield messages.PartWarning(code="sound_damaged", reason=str(error))
        yield from self._pieces(at_end=True)
        self.seconds = self._position

    def peaks(self) -> NDArray[np.int16]:
        """Return the largest sample of each 0.05 s."""
        return np.concatenate(self._peaks) if self._peaks else np.zeros(0, np.int16)

    def _decode(self, container: Any, stream: Any) -> Iterator[messages.JobPart]:
        limits = self.context.limits
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SPEECH_RATE)
        first = start_seconds(container) or 0.0
        damaged = 0
        for packet in container.demux(stream):
            self.context.report_alive()
            try:
                frames = packet.decode()
            except av.error.EOFError:
                break
            except av.error.FFmpegError:
                damaged += 1
                continue
            for frame in frames:
                yield from self._skip_gap(frame, first)
                frame.pts = None  # the resampler would refuse a jump
                for part in resampler.resample(frame):
                    self._add(part.to_ndarray()[0])
            yield from self._pieces()
            ended = self._position + self._waiting_count / SPEECH_RATE
            too_slow = self.context.clock.seconds > self.request.work_seconds
            if too_slow or ended > limits.max_video_seconds:
                reason = f"was cut at {ended:,.0f} s"
                yield messages.PartWarning(code="sound_cut_short", reason=reason)
                break
        for part in resampler.resample(None):
            self._add(part.to_ndarray()[0])
        if damaged:
            reason = f"{damaged} packets of the sound cannot be decoded"
            yield messages.PartWarning(code="sound_damaged", reason=reason)

    def _skip_gap(self, frame: Any, first: float) -> Iterator[messages.JobPart]:
        """Keep the times right after a gap: sound that starts late, or is missing."""
        if frame.time is None:
            return
        gap = frame.time - first - self._position - self._waiting_count / SPEECH_RATE
        if _MAX_GAP_SECONDS < gap < self.context.limits.max_video_seconds:
            yield from self._pieces(at_end=True)
            self._peaks.append(np.zeros(round(gap / _PEAK_SECONDS), np.int16))
            self._position += gap

    def _add(self, samples: Samples) -> None:
        self._waiting.append(samples)
        self._waiting_count += len(samples)

    def _pieces(self, *, at_end: bool = False) -> Iterator[messages.SoundPart]:
        """Yield the pieces that are complete."""
        longest = MAX_SPEECH_SECONDS * SPEECH_RATE
        while self._waiting_count > longest or (at_end and self._waiting_count):
            samples = np.concatenate(self._waiting)
            end = len(samples) if len(samples) <= longest else _quietest(samples[:longest])
            piece, rest = samples[:end], samples[end:]
            self._waiting, self._waiting_count = [rest], len(rest)
            yield from self._piece(piece)

    def _piece(self, piece: Samples) -> Iterator[messages.SoundPart]:
        window = round(_PEAK_SECONDS * SPEECH_RATE)
        padded = np.pad(piece, (0, -len(piece) % window)).reshape(-1, window)
        peaks = np.maximum(padded.max(axis=1), -np.maximum(padded.min(axis=1), -32767))
        self._peaks.append(peaks)
        if self.request.speech and peaks.max() > _SILENCE:
            yield messages.SoundPart(round(self._position, 3), piece.astype("<i2").tobytes())
        self._position += len(piece) / SPEECH_RATE


def _quietest(samples: Samples) -> int:
    """Return where the quietest moment of the second half is."""
    window = round(_QUIET_SECONDS * SPEECH_RATE)
    start = _MIN_PIECE_SECONDS * SPEECH_RATE
    tail = samples[start : start + (len(samples) - start) // window * window]
    loudness = np.abs(tail.astype(np.int32)).reshape(-1, window).sum(axis=1)
    # Of equal ones the last, so that pieces are long.
    place = len(loudness) - 1 - int(np.argmin(loudness[::-1]))
    return start + place * window + window // 2
