"""The client speaks the transcription API of OpenAI and vLLM over real HTTP."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from sightline.server.config.settings import SpeechSettings
from sightline.server.models.speech import load_transcriber
from sightline.server.models.speech.spoken_segments import parse_segments
from sightline.server.models.speech.transcription_client import TranscriptionClient
from sightline.storage.errors import (
    ConfigurationError,
    ModelError,
    ModelUnavailableError,
    describe,
)
from sightline.storage.interfaces import SpeechSegment
from tests.support.fake_vlm_server import serving
from tests.support.speech import FakeSpeechServer, sound_of

SOUND = sound_of([(0.5, "kettle"), (2.0, "stove")], 3)
KEY = "sk-secret-4711"


class Endpoint:
    """A running server, and clients of it."""

    def __init__(self, server: FakeSpeechServer, url: str) -> None:
        self.server = server
        self.url = url
        self.waits: list[float] = []

    async def transcribe(self, **settings: Any) -> list[SpeechSegment]:
        values = {"base_url": self.url, "model": "whisper-tiny", **settings}
        client = TranscriptionClient(
            SpeechSettings.model_validate(values), sleep=self.wait, rng=random.Random(1)
        )
        try:
            return await client.transcribe(SOUND)
        finally:
            await client.close()

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    server = FakeSpeechServer()
    async with serving(server) as url:
        yield Endpoint(server, url)


async def test_a_request_has_the_form_of_openai(endpoint: Endpoint) -> None:
    found = await endpoint.transcribe(language="en", api_key=KEY)
    assert [each.text.strip() for each in found] == ["The kettle.", "The stove."]
    assert [each.start for each in found] == pytest.approx([0.5, 2.0], abs=0.06)
    (fields,) = endpoint.server.requests
    assert fields == {
        "model": "whisper-tiny",
        "response_format": "verbose_json",
        "timestamp_granularities[]": "segment",
        "temperature": "0",
        "language": "en",
    }
    assert endpoint.server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert endpoint.server.headers[0]["content-type"].startswith("multipart/form-data")


async def test_a_server_without_times_gives_the_text_of_the_whole_piece(endpoint: Endpoint) -> None:
    endpoint.server.has_times = False
    assert await endpoint.transcribe() == [SpeechSegment(0, 3, "The kettle. The stove.")]
    assert [each["response_format"] for each in endpoint.server.requests] == [
        "verbose_json",
        "json",
    ]


async def test_a_busy_server_is_asked_again_after_the_time_it_says(endpoint: Endpoint) -> None:
    endpoint.server.failures = [(503, {}), (429, {"retry-after": "7"})]
    assert len(await endpoint.transcribe()) == 2
    assert 0 < endpoint.waits[0] < 1
    assert endpoint.waits[1] == pytest.approx(7, abs=0.5)


@pytest.mark.parametrize(
    ("failures", "settings", "error", "said"),
    [
        ([(500, {})] * 4, {}, ModelUnavailableError, "HTTP 500"),
        (
            [(401, {"say": KEY})],
            {"api_key": KEY},
            ModelUnavailableError,
            "SPEECH__API_KEY",
        ),
        ([(302, {"location": "http://127.0.0.1:1/"})], {}, ModelUnavailableError, "not followed"),
        ([(413, {})], {}, ModelError, "HTTP 413"),
        ([(200, {"content-encoding": "gzip"})], {}, ModelUnavailableError, "requested"),
        ([(200, {})], {}, ModelError, "unreadable"),
        ([], {"model": "other"}, ModelUnavailableError, "SIGHTLINE_SPEECH__MODEL"),
        ([], {"base_url": "http://127.0.0.1:9/v1"}, ModelUnavailableError, "reached"),
    ],
)
async def test_failures_name_the_cause_and_no_secret(
    endpoint: Endpoint,
    failures: list[tuple[int, dict[str, str]]],
    settings: dict[str, Any],
    error: type[ModelError],
    said: str,
) -> None:
    endpoint.server.failures = [*failures]
    with pytest.raises(error) as caught:
        await endpoint.transcribe(**settings)
    assert said in describe(caught.value)
    assert KEY not in describe(caught.value)
    assert "127.0.0.1" not in str(caught.value)  # callers do not learn the address


async def test_a_server_that_never_answers_is_left_in_time() -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    settings = SpeechSettings(base_url="http://speech", model="w", timeout_seconds=0.05)
    client = TranscriptionClient(settings, transport=httpx.MockTransport(hang))
    with pytest.raises(ModelUnavailableError, match="did not answer"):
        await client.transcribe(SOUND)
    await client.close()


async def test_a_reply_without_end_is_refused() -> None:
    async def flood(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b" " * 3_000_000)

    settings = SpeechSettings(base_url="http://speech", model="w")
    client = TranscriptionClient(settings, transport=httpx.MockTransport(flood))
    with pytest.raises(ModelUnavailableError):
        await client.transcribe(SOUND)
    await client.close()


@pytest.mark.parametrize(
    ("reply", "segments"),
    [
        (b'{"text": " hi "}', [SpeechSegment(0, 9, " hi ")]),
        (b'{"text": ""}', []),
        (b'{"text": "hi", "segments": []}', [SpeechSegment(0, 9, "hi")]),
        (b'{"segments": [{"text": "a"}, 7, {"text": 8}]}', [SpeechSegment(0, 9, "a")]),
        (b'{"segments": [{"text": "a", "start": true, "end": "x"}]}', [SpeechSegment(0, 9, "a")]),
        # no float can hold it
        (
            b'{"segments": [{"text": "a", "start": 1' + b"0" * 400 + b"}]}",
            [SpeechSegment(0, 9, "a")],
        ),
        # what Whisper makes of silence
        (
            b'{"segments": [{"text": "Thanks", "no_speech_prob": 0.9, "avg_logprob": -1.4}]}',
            [],
        ),
    ],
)
def test_replies_of_all_forms_are_read(reply: bytes, segments: list[SpeechSegment]) -> None:
    assert parse_segments(reply, 9) == segments


@pytest.mark.parametrize("reply", [b"", b"[]", b"null", b'{"text": 1}', b'{"segments": 1}'])
def test_other_replies_are_errors(reply: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_segments(reply, 9)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"base_url": "http://speech"}, "SIGHTLINE_SPEECH__MODEL"),
        ({"base_url": "http://speech", "model": "local-dir:/x"}, "SIGHTLINE_SPEECH__MODEL"),
        ({"model": "whisper"}, "SIGHTLINE_SPEECH__BASE_URL"),
        ({"model": "local-dir:/nowhere/whisper"}, "local-dir:whisper"),
    ],
)
def test_half_a_configuration_is_an_error(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load_transcriber(SpeechSettings.model_validate(settings))


def test_speech_is_off_by_default() -> None:
    assert load_transcriber(SpeechSettings()) is None
