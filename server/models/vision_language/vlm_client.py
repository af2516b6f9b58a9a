"""Client of a vision-language model behind an OpenAI-compatible endpoint.

Callers do not affect each other: each has its own cached responses, its own circuit breaker, a fair
share of the concurrent requests, and messages without the endpoint's address and texts.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Literal, Self

import httpx
from pydantic import JsonValue

from sightline.server.models.vision_language.circuit_breaker import (
    CircuitBreaker,
    CircuitOpenError,
    CircuitState,
    retry_delay_seconds,
)
from sightline.server.models.vision_language.reply_text import parse_answer_json, parse_choice
from sightline.server.models.vision_language.request_builder import (
    SentImage,
    prepare_request,
)
from sightline.server.models.vision_language.response_parser import (
    Completion,
    parse_completion,
    parse_models,
)
from sightline.server.models.vision_language.transport import (
    EndpointError,
    HttpTransport,
    is_caller_failure,
    is_connection_failure,
)
from sightline.server.models.vision_language.unsupported_params import UnsupportedParams
from sightline.server.models.vision_language.vlm_endpoint import VlmEndpoint
from sightline.storage.errors import (
    InvalidArgumentError,
    ModelError,
    ModelUnavailableError,
    describe,
)
from sightline.storage.fair_semaphore import FairSemaphore
from sightline.storage.isolation.caller import current_caller
from sightline.storage.isolation.caller_cache import CallerCache
from sightline.storage.tracing import Attribute, span
from sightline.tools.vlm.vision_language_model import (
    ModelReplyError,
    ModelTimeoutError,
    Reply,
    Request,
    RequestTooLargeError,
    UnknownModelError,
)

logger = logging.getLogger(__name__)

#: Callers whose circuit breaker is remembered.
_MAX_CALLERS = 10_000
#: Cached responses of all callers. One with log-probabilities may have 100 kB.
_MAX_CACHED_RESPONSES = 1024
#: Requests of one caller that may wait for a slot: sixteen calls that each rerank or check claims.
_MAX_WAITING_REQUESTS = 1024

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


@dataclass(slots=True)
class _CallerState:
    """What the client has learned from the requests of one caller.

    A request may contain any text, and a server may repeat it in its error. So not even unsupported
    parameters are learned from others. ``thinks``: the model writes a draft before a short answer.
    """

    circuit: CircuitBreaker
    unsupported: UnsupportedParams
    thinks: bool = False


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
        self._slots = FairSemaphore(
            endpoint.max_concurrent_requests,
            max_waiting=_MAX_WAITING_REQUESTS,
            what="the vision-language model",
        )
        self._create_breaker = partial(
            CircuitBreaker,
            max_failures=endpoint.circuit_max_failures,
            reset_seconds=endpoint.circuit_reset_seconds,
            clock=clock,
        )
        # Opens only if no connection is possible, which no request can cause.
        self._connection_circuit = self._create_breaker(
            "The vision-language model cannot be reached", single_probe=False
        )
        self._callers: CallerCache[str, _CallerState] = CallerCache(1, max_total=_MAX_CALLERS)
        self._responses: CallerCache[bytes, Completion] = CallerCache(
            endpoint.max_cached_responses, max_total=_MAX_CACHED_RESPONSES
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; running calls fail."""
        await self._transport.close()

    @property
    def circuit_state(self) -> CircuitState:
        """Return the state of the circuit for the current caller."""
        if self._connection_circuit.state != "closed":
            return self._connection_circuit.state
        return self._caller_state().circuit.state

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
        max_seconds = self._endpoint.connect_timeout_seconds
        timeout = ModelTimeoutError(
            "The model server did not list its models in time.", details=self._endpoint.shown
        )
        async with _raise_at(_now() + min(seconds or max_seconds, max_seconds), timeout):
            models = await self._list_models()
        if self.model not in models:
            raise UnknownModelError(self.model, self._endpoint.shown, models)
        return models

    async def ask(self, request: Request) -> Reply:
        """See `VisionLanguageModel.ask`."""
        call = _Call(request, self._endpoint)
        outcome: Outcome = "failed"
        usage = None
        attributes: dict[str, Attribute] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": self.model,
        }
        try:
            with span(f"chat {self.model}", is_client=True, attributes=attributes) as active:
                reply = await self._ask(call)
                outcome = "cached" if reply.cached else "answered"
                usage = None if reply.cached else reply.usage
                active.set_attribute("sightline.cached", reply.cached)
                if usage is not None:
                    active.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
                    active.set_attribute("gen_ai.usage.output_tokens", usage.answer_tokens)
            return reply
        except ModelError as error:
            if isinstance(error, ModelTimeoutError):
                outcome = "timed_out"
            logger.warning("a model request failed: %s", describe(error))
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
            parts, body, key = await asyncio.to_thread(prepare_request, request, self._endpoint)
        completion = self._responses.get(key) if key is not None else None
        cached = completion is not None
        if completion is None:
            completion = await self._complete_answer(call, body)
            if key is not None:
                self._responses.set(key, completion)
        text, start = completion.text, completion.answer.start
        data, repaired = parse_answer_json(text) if request.schema is not None else (None, False)
        choice = None
        if request.choices:
            found = parse_choice(completion.answer.content[start:], request.choices)
            choice, start = (found[0], start + found[1]) if found is not None else (None, start)
        return Reply(
            text=text,
            finish=completion.finish,
            model=self.model,
            seconds=call.seconds,
            placements=tuple(part.placement for part in parts if isinstance(part, SentImage)),
            data=data,
            data_repaired=repaired,
            choice=choice,
            tokens=completion.tokens_from(start),
            usage=completion.usage,
            cached=cached,
        )

    async def _complete_answer(self, call: _Call, body: dict[str, JsonValue]) -> Completion:
        """Send the request until the model gets beyond its draft.

        Raises ModelReplyError if it does not. A model that thinks needs more tokens for a short
        answer.
        """
        state, most = self._caller_state(), self._endpoint.max_tokens
        allowed = call.request.max_tokens or most
        if state.thinks and allowed < most:
            body, allowed = body | {"max_tokens": most}, most
        completion = await self._complete(call, body)
        if completion.is_unfinished and allowed < most:
            state.thinks = True
            body, allowed = body | {"max_tokens": most}, most
            completion = await self._complete(call, body)
        if completion.is_unfinished:
            reason = f"all {allowed} tokens" if completion.finish == "length" else "its reply"
            raise ModelReplyError(
                f"The model {self.model} gave no answer: it used {reason} for thinking. Raise "
                "SIGHTLINE_VLM__MAX_TOKENS, or turn thinking off in the model server (vLLM: "
                "--default-chat-template-kwargs '{\"enable_thinking\": false}')."
            )
        return completion

    async def _complete(self, call: _Call, body: dict[str, JsonValue]) -> Completion:
        """Send the request; retry within the retry limit and the deadline."""
        attempt = 0
        omitted: set[str] = set()
        unsupported = self._caller_state().unsupported
        while True:
            sent = unsupported.remove_from(body, omitted)
            try:
                return await self._send(call, sent)
            except EndpointError as failure:
                if isinstance(failure.error, RequestTooLargeError):
                    raise failure.error from failure
                if failure.status in (400, 422):
                    field = unsupported.record_rejection(sent, failure.message)
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
        circuit = self._caller_state().circuit
        async with AsyncExitStack() as slot:
            async with call.stage("while waiting for a free slot"):
                await slot.enter_async_context(self._slots.hold(current_caller()))
            try:
                with (
                    self._connection_circuit.request(is_connection_failure),
                    circuit.request(is_caller_failure),
                ):
                    async with call.stage("while the model was answering"):
                        call.requests += 1
                        data = await self._transport.request("/chat/completions", body)
                    return parse_completion(data)
            except CircuitOpenError as is_open:
                raise ModelUnavailableError(str(is_open)) from is_open

    def _caller_state(self) -> _CallerState:
        state = self._callers.get("state")
        if state is None:
            circuit = self._create_breaker(
                "Your last requests to the vision-language model failed",
            )
            state = _CallerState(circuit, UnsupportedParams())
            self._callers.set("state", state)
        return state

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
                    "There is no OpenAI-compatible endpoint.",
                    details=f"{self._endpoint.shown}; the address usually ends in /v1",
                ) from failure
            raise failure.error from failure


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
