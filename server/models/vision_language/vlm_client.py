"""Client of a vision-language model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal, Self

import httpx
from cachetools import LRUCache
from pydantic import JsonValue

from sightline.server.models.vision_language.circuit_breaker import (
    CircuitBreaker,
    CircuitOpenError,
    CircuitState,
    retry_delay_seconds,
)
from sightline.server.models.vision_language.request_builder import (
    SentImage,
    build_chat_request,
    prepare_parts,
)
from sightline.server.models.vision_language.response_parser import (
    Completion,
    parse_answer_json,
    parse_choice,
    parse_completion,
    parse_models,
)
from sightline.server.models.vision_language.transport import EndpointError, HttpTransport
from sightline.server.models.vision_language.unsupported_params import UnsupportedParams
from sightline.server.models.vision_language.vlm_endpoint import VlmEndpoint
from sightline.storage.errors import InvalidArgumentError, ModelError, ModelUnavailableError
from sightline.tools.vlm.vision_language_model import (
    ModelReplyError,
    ModelTimeoutError,
    Reply,
    Request,
    UnknownModelError,
)

logger = logging.getLogger(__name__)

#: Outcome of a call, for metrics.
Outcome = Literal["answered", "cached", "failed", "timed_out", "cancelled"]


@dataclass(frozen=True, slots=True)
class VlmCallStats:
    """One call, for metrics. ``requests`` is the number of its HTTP requests."""

    outcome: Outcome
    seconds: float
    requests: int
    prompt_tokens: int = 0
    answer_tokens: int = 0


class _Call:
    """Deadline and statistics of one call, in seconds of the event loop's clock."""

    def __init__(self, request: Request, endpoint: VlmEndpoint) -> None:
        self.request = request
        self.requests = 0
        self._model = endpoint.model
        self._timeout_seconds = endpoint.timeout_seconds
        if request.deadline_seconds is not None:
            self._timeout_seconds = min(request.deadline_seconds, endpoint.timeout_seconds)
        self._started_at = _now()
        self.deadline = self._started_at + self._timeout_seconds

    @property
    def seconds(self) -> float:
        return _now() - self._started_at

    def stage(self, stage: str) -> AbstractAsyncContextManager[None]:
        """Raise ModelTimeoutError if the stage has not ended at the deadline."""
        seconds = f"{self._timeout_seconds:.1f} s"
        message = f"The request to {self._model} exceeded its {seconds} {stage}."
        return _raise_at(self.deadline, ModelTimeoutError(message))


class VlmClient:
    """Implements `VisionLanguageModel`; an async context manager.

    ``observer`` is called after every call. ``transport``, ``sleep``, ``rng`` and ``clock`` are for
    tests.
    """

    def __init__(
        self,
        endpoint: VlmEndpoint,
        *,
        observer: Callable[[VlmCallStats], None] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = endpoint.model
        self.profile = endpoint.profile
        self._endpoint = endpoint
        self._observer = observer
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._transport = HttpTransport(endpoint, transport)
        self._slots = asyncio.Semaphore(endpoint.max_concurrent_requests)
        self._circuit = CircuitBreaker(
            endpoint.circuit_max_failures, endpoint.circuit_reset_seconds, clock
        )
        self._unsupported = UnsupportedParams()
        self._responses: LRUCache[bytes, Completion] = LRUCache(endpoint.max_cached_responses)
        self._last_failure = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; running calls fail."""
        await self._transport.close()

    @property
    def circuit_state(self) -> CircuitState:
        """Return the state of the circuit breaker."""
        return self._circuit.state

    async def get(self) -> Self:
        """Return itself, as a `Provider` that is always ready."""
        return self

    async def health(self, seconds: float | None = None) -> list[str]:
        """Return the models of the endpoint, for ``doctor`` and ``/readyz``.

        ``seconds`` may shorten the endpoint's ``connect_timeout_seconds``. Raises
        ModelUnavailableError or ModelTimeoutError if the endpoint is not reachable,
        ModelRefusedError for a wrong key, ModelReplyError if it is not such an endpoint, and
        UnknownModelError, which names the available models.
        """
        url = self._endpoint.shown
        max_seconds = self._endpoint.connect_timeout_seconds
        timeout = ModelTimeoutError(f"The model server at {url} did not list its models in time.")
        async with _raise_at(_now() + min(seconds or max_seconds, max_seconds), timeout):
            models = await self._list_models()
        if self.model not in models:
            raise UnknownModelError(self.model, url, models)
        return models

    async def ask(self, request: Request) -> Reply:
        """See `VisionLanguageModel.ask`."""
        call = _Call(request, self._endpoint)
        outcome: Outcome = "failed"
        usage = None
        try:
            reply = await self._ask(call)
            outcome = "cached" if reply.cached else "answered"
            usage = None if reply.cached else reply.usage
            return reply
        except ModelTimeoutError:
            outcome = "timed_out"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            if self._observer is not None:
                tokens = (usage.prompt_tokens, usage.answer_tokens) if usage else (0, 0)
                self._observer(VlmCallStats(outcome, call.seconds, call.requests, *tokens))

    async def _ask(self, call: _Call) -> Reply:
        request = call.request
        images = sum(not isinstance(part, str) for part in request.parts)
        if images > self.profile.max_images:
            raise InvalidArgumentError(
                f"The request has {images} images. The model profile {self.profile.name!r} takes "
                f"at most {self.profile.max_images}."
            )
        async with call.stage("while encoding its images"):
            parts, body, key = await asyncio.to_thread(_prepare, request, self._endpoint)
        completion = self._responses.get(key) if key is not None else None
        cached = completion is not None
        if completion is None:
            completion = await self._complete(call, body)
            if key is not None:
                self._responses[key] = completion
        text = completion.text
        data, repaired = parse_answer_json(text) if request.schema is not None else (None, False)
        return Reply(
            text=text,
            finish=completion.finish,
            model=self.model,
            seconds=call.seconds,
            placements=tuple(part.placement for part in parts if isinstance(part, SentImage)),
            data=data,
            data_repaired=repaired,
            choice=parse_choice(text, request.choices) if request.choices else None,
            tokens=completion.tokens,
            usage=completion.usage,
            cached=cached,
        )

    async def _complete(self, call: _Call, body: dict[str, JsonValue]) -> Completion:
        """Send the request; retry within the retry limit and the deadline."""
        attempt = 0
        omitted: set[str] = set()
        while True:
            sent = self._unsupported.remove_from(body, omitted)
            try:
                return await self._send(call, sent)
            except EndpointError as failure:
                if failure.status in (400, 422):
                    field = self._unsupported.record_rejection(sent, failure.message)
                    if field is not None:
                        omitted.add(field)
                        continue  # ends, because the number of optional fields is small
                if failure.status == HTTPStatus.NOT_FOUND:
                    raise await self._explain_not_found(call, failure) from failure
                if not failure.retryable or attempt >= self._endpoint.max_retries:
                    raise failure.error from failure
                seconds = retry_delay_seconds(attempt, failure.retry_after, self._rng)
                if _now() + seconds >= call.deadline:
                    raise failure.error from failure
                logger.info("retrying the model in %.1f s: %s", seconds, failure)
            attempt += 1
            # The slot is free meanwhile, so that other calls can run.
            await self._sleep(seconds)

    async def _send(self, call: _Call, body: dict[str, JsonValue]) -> Completion:
        """Send one request when a slot is free. Raises EndpointError or a ModelError."""
        async with call.stage("while waiting for a free slot"):
            await self._slots.acquire()
        try:
            with self._circuit.request(self._is_failure):
                async with call.stage("while the model was answering"):
                    call.requests += 1
                    data = await self._transport.request("/chat/completions", body)
                return parse_completion(data)
        except CircuitOpenError as circuit:
            raise ModelUnavailableError(
                f"The model server at {self._endpoint.shown} failed several times in a row. "
                f"Requests resume in {circuit.seconds:.0f} s. Last error: {self._last_failure}"
            ) from circuit
        finally:
            self._slots.release()

    def _is_failure(self, error: BaseException) -> bool | None:
        """Return whether the error is a failure; ``None`` for cancelled calls."""
        if isinstance(error, asyncio.CancelledError):
            return None
        failed = isinstance(error, ModelTimeoutError | ModelReplyError) or (
            isinstance(error, EndpointError) and error.unhealthy
        )
        if failed:
            self._last_failure = str(error)
        return failed

    async def _explain_not_found(self, call: _Call, failure: EndpointError) -> ModelError:
        """Return an error that names the available models, if the endpoint lists them."""
        try:
            async with call.stage("while listing the models"):
                models = await self._list_models()
        except ModelError:
            return failure.error
        unknown = UnknownModelError(self.model, self._endpoint.shown, models)
        return failure.error if self.model in models else unknown

    async def _list_models(self) -> list[str]:
        try:
            return parse_models(await self._transport.request("/models"))
        except EndpointError as failure:
            if failure.status == HTTPStatus.NOT_FOUND:
                raise ModelReplyError(
                    f"There is no OpenAI-compatible endpoint at {self._endpoint.shown}. Its "
                    "address usually ends in /v1."
                ) from failure
            raise failure.error from failure


def _prepare(
    request: Request, endpoint: VlmEndpoint
) -> tuple[Sequence[str | SentImage], dict[str, JsonValue], bytes | None]:
    """Return the prepared parts, the body and the cache key of a greedy request."""
    parts = prepare_parts(request.parts, endpoint.profile)
    body = build_chat_request(request, parts, endpoint)
    if request.temperature != 0.0 or endpoint.max_cached_responses == 0:
        return parts, body, None
    text = json.dumps([endpoint.api_url, body], sort_keys=True, separators=(",", ":"))
    return parts, body, hashlib.sha256(text.encode()).digest()


@asynccontextmanager
async def _raise_at(deadline: float, error: ModelError) -> AsyncIterator[None]:
    """Raise ``error`` if the block has not ended at ``deadline``."""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError as timeout:
        raise error from timeout


def _now() -> float:
    return asyncio.get_running_loop().time()
