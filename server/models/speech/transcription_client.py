"""Client of ``/audio/transcriptions`` of an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import io
import logging
import random
import wave
from collections.abc import Awaitable, Callable

import httpx
import numpy as np
from numpy.typing import NDArray

from sightline.server.config.settings import SpeechSettings
from sightline.server.models.endpoint_url import api_url_of, without_password
from sightline.server.models.speech.spoken_segments import parse_segments
from sightline.server.models.vision_language.circuit_breaker import (
    parse_retry_after,
    retry_delay_seconds,
)
from sightline.server.models.vision_language.response_parser import parse_error_message
from sightline.storage.errors import ModelError, ModelUnavailableError
from sightline.storage.interfaces import SPEECH_RATE, SpeechSegment

logger = logging.getLogger(__name__)

_CONNECT_TIMEOUT_SECONDS = 5.0
_MAX_ATTEMPTS = 4
_MAX_RESPONSE_BYTES = 2_000_000
_MAX_ERROR_BYTES = 64_000
_RETRIED_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_NO_TIMES_STATUS = frozenset({400, 422})


class TranscriptionClient:
    """Implements `Transcriber`.

    ``transport``, ``sleep`` and ``rng`` are for tests.
    """

    def __init__(
        self,
        settings: SpeechSettings,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._model = settings.model or ""
        self._language = settings.language
        self._timeout_seconds = settings.timeout_seconds
        self._url = api_url_of(settings.base_url or "") + "/audio/transcriptions"
        self._shown = without_password(self._url)
        self._key = None if settings.api_key is None else settings.api_key.get_secret_value()
        self._slots = asyncio.Semaphore(settings.max_concurrent_requests)
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._has_times = True
        connections = settings.max_concurrent_requests
        self._http = httpx.AsyncClient(
            transport=transport,
            timeout=httpx.Timeout(None, connect=_CONNECT_TIMEOUT_SECONDS),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            # A redirect would send the API key to any host.
            follow_redirects=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )

    @property
    def name(self) -> str:
        """Return the model and the language, which change what is transcribed."""
        return f"{self._model} {self._language or 'any language'}"

    async def transcribe(self, samples: NDArray[np.int16]) -> list[SpeechSegment]:
        """Return what is said; retries while the endpoint is busy. Raises ModelError.

        Address and messages of the endpoint are details for the operator.
        """
        sound = await asyncio.to_thread(_wav, samples)
        seconds = len(samples) / SPEECH_RATE
        attempt = 0
        while True:
            try:
                async with self._slots, asyncio.timeout(self._timeout_seconds):
                    status, data, retry_after = await self._post(sound)
            except (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout) as error:
                status, retry_after = 0, None
                failure: ModelError = self._unavailable("cannot be reached", str(error))
            except TimeoutError as error:
                problem = f"did not answer within {self._timeout_seconds:g} s"
                raise self._unavailable(problem, "timeout") from error
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                # The cause may contain the key.
                raise self._unavailable("cannot be requested", type(error).__name__) from None
            else:
                if status == httpx.codes.OK:
                    return self._parsed(data, seconds)
                if status in _NO_TIMES_STATUS and self._has_times and b"response_format" in data:
                    self._has_times = False
                    continue
                failure = self._failure(status, data)
            attempt += 1
            if attempt >= _MAX_ATTEMPTS or (status and status not in _RETRIED_STATUS):
                raise failure
            delay = retry_delay_seconds(attempt - 1, retry_after, self._rng)
            if delay > self._timeout_seconds:
                raise failure
            logger.info("retrying the transcriber in %.1f s: %s", delay, failure)
            await self._sleep(delay)

    async def close(self) -> None:
        """Close the connections; running requests fail."""
        await self._http.aclose()

    async def _post(self, sound: bytes) -> tuple[int, bytes, float | None]:
        fields = {
            "model": self._model,
            "temperature": "0",
            "response_format": "verbose_json" if self._has_times else "json",
        }
        if self._has_times:
            fields["timestamp_granularities[]"] = "segment"
        if self._language:
            fields["language"] = self._language
        headers = {} if self._key is None else {"Authorization": f"Bearer {self._key}"}
        files = {"file": ("sound.wav", sound, "audio/wav")}
        async with self._http.stream(
            "POST", self._url, data=fields, files=files, headers=headers
        ) as response:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("a compressed response")
            limit = _MAX_RESPONSE_BYTES if response.is_success else _MAX_ERROR_BYTES
            data = bytearray()
            async for chunk in response.aiter_bytes():
                data += chunk
                if len(data) > limit:
                    raise ValueError("a response that is too long")
            retry_after = parse_retry_after(response.headers.get("retry-after"))
            return response.status_code, bytes(data), retry_after

    def _parsed(self, data: bytes, seconds: float) -> list[SpeechSegment]:
        try:
            return parse_segments(data, seconds)
        except ValueError as error:
            raise ModelError(
                "The transcriber sent an unreadable reply.", details=f"{self._shown}: {error}"
            ) from error

    def _failure(self, status: int, data: bytes) -> ModelError:
        """Return the error for a status; one that the next sound has too is unavailable."""
        message = parse_error_message(data)
        if self._key:  # a server may repeat the key that it rejects
            message = message.replace(self._key, "***")
        details = f"{self._shown}: {message}"
        if status in (401, 403):
            details += ". Set SIGHTLINE_SPEECH__API_KEY to a valid key."
        elif status == httpx.codes.NOT_FOUND:
            details += ". Set SIGHTLINE_SPEECH__MODEL to a model that transcribes."
        elif 300 <= status < 400:
            details += ". Redirects are not followed: set SIGHTLINE_SPEECH__BASE_URL to the target."
        text = f"The transcriber refused the request (HTTP {status})."
        if status in (400, 413, 415, 422):
            return ModelError(text, details=details)
        return ModelUnavailableError(text, details=details)

    def _unavailable(self, problem: str, reason: str) -> ModelUnavailableError:
        details = f"{self._shown}: {reason}"
        return ModelUnavailableError(f"The transcriber {problem}.", details=details)


def _wav(samples: NDArray[np.int16]) -> bytes:
    file = io.BytesIO()
    with wave.Wave_write(file) as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SPEECH_RATE)
        out.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()
