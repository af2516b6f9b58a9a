"""Sound with words at known times, and a Whisper endpoint that hears them."""

from __future__ import annotations

import io
import wave
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from tests.support.fake_vlm_server import FakeVlmServer, reply
from tests.support.media import Shot

RATE = 16_000
WORD_SECONDS = 0.6
#: A word is a tone.
TONES = {"kettle": 500, "stove": 1000, "hydraulic": 2000, "transmission": 3000}
Words = Sequence[tuple[float, str]]


def sound_of(words: Words, seconds: float) -> NDArray[np.int16]:
    """Return sound at 16 kHz: each word at its time, silence between."""
    samples = np.zeros(round(seconds * RATE))
    moments = np.arange(round(WORD_SECONDS * RATE)) / RATE
    for start, word in words:
        at = round(start * RATE)
        samples[at : at + len(moments)] = 9000 * np.sin(2 * np.pi * TONES[word] * moments)
    return samples.astype(np.int16)


def audio_file(
    path: Path, words: Words, seconds: float, codec: str, container: str | None = None
) -> Path:
    """Write an audio file in the format of its name."""
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=44_100 if codec == "wmav2" else RATE, layout="mono")
        if codec == "wmav2":
            stream.bit_rate = 64_000
        _encode(out, stream, sound_of(words, seconds))
    return path


def talking_film(path: Path, shots: Sequence[Shot], words: Words) -> Path:
    """Write a video of shots with sound."""
    seconds = sum(each for _, each in shots)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        sound = out.add_stream("aac", rate=RATE, layout="mono")
        for color, length in shots:
            pixels = np.full((96, 160, 3), color, np.uint8)
            for _ in range(round(length * 10)):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode())
        _encode(out, sound, sound_of(words, seconds))
    return path


def _encode(out: Any, stream: Any, samples: NDArray[np.int16]) -> None:
    resampler = None
    for start in range(0, len(samples), 960):
        frame = av.AudioFrame.from_ndarray(
            samples[None, start : start + 960], format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts = RATE, start
        frame.time_base = Fraction(1, RATE)
        if resampler is None:
            codec = stream.codec_context
            resampler = av.AudioResampler(codec.format, codec.layout, codec.sample_rate)
        for part in resampler.resample(frame):
            out.mux(stream.encode(part))
    out.mux(stream.encode())


def words_in(samples: NDArray[np.int16]) -> list[tuple[float, float, str]]:
    """Return start, end and name of each tone."""
    window = RATE // 20
    loud = np.abs(samples[: len(samples) // window * window]).reshape(-1, window).max(1) > 2000
    edges = np.flatnonzero(np.diff(np.concatenate(([0], loud.astype(int), [0]))))
    found = []
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        piece = samples[first * window : last * window].astype(float)
        peak = np.argmax(np.abs(np.fft.rfft(piece))) * RATE / len(piece)
        name = min(TONES, key=lambda word: abs(TONES[word] - peak))
        found.append((first * window / RATE, last * window / RATE, name))
    return found


class FakeSpeechServer(FakeVlmServer):
    """Transcribes what `sound_of` says; checks each request as a real server does."""

    def __init__(self, model: str = "whisper-tiny") -> None:
        super().__init__()
        self.model = model
        self.has_times = True
        self.requests: list[dict[str, str]] = []
        self.lengths: list[float] = []
        self.failures: list[tuple[int, Mapping[str, str]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        self.headers.append(dict(request.headers))
        if self.failures:
            status, headers = self.failures.pop(0)
            await self._fail(send, status, "busy " + headers.get("say", ""), headers)
            return
        if (scope["method"], scope["path"]) != ("POST", "/v1/audio/transcriptions"):
            await reply(send, 404, {"detail": "Not Found"})
            return
        async with request.form() as form:
            file = form["file"]
            assert not isinstance(file, str)
            data = await file.read()
            fields = {key: str(value) for key, value in form.items() if key != "file"}
        self.requests.append(fields)
        if fields["model"] != self.model:
            await self._fail(send, 404, f"The model `{fields['model']}` does not exist.")
        elif fields["response_format"] == "verbose_json" and not self.has_times:
            await self._fail(send, 400, "verbose_json is no response_format of this server")
        else:
            await reply(send, 200, self._transcribe(data, fields))

    def _transcribe(self, data: bytes, fields: Mapping[str, str]) -> dict[str, Any]:
        with wave.open(io.BytesIO(data)) as sound:
            assert (sound.getnchannels(), sound.getsampwidth()) == (1, 2)
            assert sound.getframerate() == RATE
            samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
        self.lengths.append(len(samples) / RATE)
        found = words_in(samples)
        text = " ".join(f"The {word}." for *_, word in found)
        if fields["response_format"] == "json":
            return {"text": text}
        segments = [
            {"id": number, "start": start, "end": end, "text": f" The {word}."}
            | {"avg_logprob": -0.2, "no_speech_prob": 0.01}
            for number, (start, end, word) in enumerate(found)
        ]
        return {"task": "transcribe", "language": "en", "text": text, "segments": segments}

    async def _fail(
        self, send: Send, status: int, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        raw = [(key.encode(), value.encode()) for key, value in (headers or {}).items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        body = b'{"error": {"message": "%s"}}' % message.encode()
        await send({"type": "http.response.body", "body": body})
