"""Asks a vision-language model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

import httpx
from pydantic import JsonValue

from sightline.server.models.vision_language.call_state import (
    Call,
    Observation,
    Outcome,
    check_pictures,
    now,
    reply_of,
)
from sightline.server.models.vision_language.circuit_breaker import Breaker, BreakerOpenError
from sightline.server.models.vision_language.circuit_breaker import State as BreakerState
from sightline.server.models.vision_language.image_encoding import SentPicture, prepare
from sightline.server.models.vision_language.request_builder import chat_body
from sightline.server.models.vision_language.response_cache import Memory, fingerprint
from sightline.server.models.vision_language.response_parser import (
    Completion,
    read_completion,
    read_models,
)
from sightline.server.models.vision_language.retry import pause_seconds
from sightline.server.models.vision_language.transport import (
    Exchange,
    Failure,
    failing_with,
    not_found,
)
from sightline.server.models.vision_language.unsupported_params import Features
from sightline.server.models.vision_language.vlm_endpoint import Endpoint
from sightline.storage.errors import ModelError, ModelUnavailableError
from sightline.tools.boxes.model_profiles import Profile
from sightline.tools.vlm.vision_language_model import (
    ModelReplyError,
    ModelTimeoutError,
    Reply,
    Request,
    UnknownModelError,
)

logger = logging.getLogger(__name__)

_CHAT: Final = "/chat/completions"
_MODELS: Final = "/models"


class VlmClient:
    """Client of a vision-language model (`VisionLanguageModel`); an async context manager.

    ``observer`` is told of every call. ``transport``, ``pause`` and ``chance`` exist so that tests
    can answer, wait and draw lots in their own way.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        observer: Callable[[Observation], None] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = endpoint
        self._observer = observer
        self._pause = pause
        self._chance = chance or random.Random()
        self._exchange = Exchange(endpoint, transport)
        self._turns = asyncio.Semaphore(endpoint.concurrency)
        self._breaker = Breaker(endpoint.breaker_failures, endpoint.breaker_seconds, clock)
        self._features = Features()
        self._memory = Memory(endpoint.cache_entries)
        self._last_failure = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; calls in progress fail."""
        await self._exchange.close()

    @property
    def model(self) -> str:
        """The model's name at the endpoint."""
        return self._endpoint.model

    @property
    def profile(self) -> Profile:
        """What its family wants of a prompt, and how it writes boxes."""
        return self._endpoint.profile

    @property
    def breaker(self) -> BreakerState:
        """Whether the endpoint is being given rest."""
        return self._breaker.state

    @property
    def refused_features(self) -> frozenset[str]:
        """Fields of a request that this server turned out not to take."""
        return self._features.refused

    async def get(self) -> Self:
        """Itself: a `Provider` that is ready from the start, since nothing is opened before use."""
        return self

    async def health(self, seconds: float | None = None) -> list[str]:
        """The models at the endpoint, ours among them; for ``doctor`` and ``/readyz``.

        It may take ``seconds``, at most and unless given the endpoint's ``connect_seconds``.

        Raises ModelUnavailableError or ModelTimeoutError where the endpoint is not reached,
        ModelRefusedError for a wrong key, ModelReplyError where it is no such endpoint, and
        UnknownModelError, which names the models that are there.
        """
        where = self._endpoint.shown
        late = ModelTimeoutError(f"the model's server at {where} did not list its models in time")
        longest = self._endpoint.connect_seconds
        async with failing_with(late, now() + min(seconds or longest, longest)):
            models = await self._models()
        if self.model not in models:
            raise UnknownModelError(self.model, where, models)
        return models

    async def ask(self, request: Request) -> Reply:
        """See `VisionLanguageModel.ask`."""
        call = Call(request, self._endpoint)
        outcome: Outcome = "failed"
        answer: Completion | None = None
        try:
            reply, answer = await self._ask(call)
            outcome = "remembered" if reply.cached else "answered"
            return reply
        except ModelTimeoutError:
            outcome = "timed out"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            if self._observer is not None:
                usage = answer.usage if answer is not None and outcome == "answered" else None
                self._observer(
                    Observation(
                        outcome,
                        call.seconds,
                        call.requests,
                        usage.prompt_tokens if usage else 0,
                        usage.answer_tokens if usage else 0,
                    )
                )

    async def _ask(self, call: Call) -> tuple[Reply, Completion]:
        request = call.request
        check_pictures(request, self.profile)
        async with failing_with(call.late("while its pictures were made ready"), call.until):
            parts, body, key = await asyncio.to_thread(_made_ready, request, self._endpoint)
        known = self._memory.get(key) if key is not None else None
        answer = known
        if answer is None:
            answer = await self._complete(call, body)
            if key is not None:
                self._memory.put(key, answer)
        reply = reply_of(answer, call, parts)
        return replace(reply, cached=known is not None), answer

    async def _complete(self, call: Call, body: dict[str, JsonValue]) -> Completion:
        """An answer from the server, with as many tries as are allowed and fit in the time."""
        attempt = 0
        without: set[str] = set()
        while True:
            sent = self._features.accepted(body, without)
            try:
                return await self._try(call, sent)
            except Failure as failure:
                if failure.status in (400, 422):
                    field = self._features.learn(sent, failure.message)
                    if field is not None:
                        without.add(field)
                        continue  # there are few such fields, so this ends
                if not_found(failure):
                    raise await self._explained(call, failure) from failure
                if not failure.worth_retrying or attempt >= self._endpoint.retries:
                    raise failure.error from failure
                seconds = pause_seconds(attempt, failure.asked_seconds, self._chance)
                if now() + seconds >= call.until:
                    raise failure.error from failure
                logger.info("trying the model again in %.1f s: %s", seconds, failure)
            attempt += 1
            # The turn has been given back: others may ask while this call waits.
            await self._pause(seconds)

    async def _try(self, call: Call, body: dict[str, JsonValue]) -> Completion:
        """One request, in its turn; raises `Failure` or a ModelError."""
        async with failing_with(call.late("while it waited for its turn"), call.until):
            await self._turns.acquire()
        try:
            with self._breaker.attempt(self._is_failure):
                late = call.late("while the model was answering")
                async with failing_with(late, call.until):
                    call.requests += 1
                    data = await self._exchange.post(_CHAT, body)
                return read_completion(data)
        except BreakerOpenError as rest:
            raise ModelUnavailableError(
                f"the model's server at {self._endpoint.shown} failed several times in a row and "
                f"is tried again in {rest.seconds:.0f} s; last: {self._last_failure}"
            ) from rest
        finally:
            self._turns.release()

    def _is_failure(self, error: BaseException) -> bool | None:
        """Whether an outcome tells against the endpoint; a cancelled call says nothing."""
        if isinstance(error, asyncio.CancelledError):
            return None
        bad = isinstance(error, ModelTimeoutError | ModelReplyError)
        bad = bad or (isinstance(error, Failure) and error.unhealthy)
        if bad:
            self._last_failure = str(error)
        return bad

    async def _explained(self, call: Call, failure: Failure) -> ModelError:
        """What a 404 means: the models that are there, where the server lists them."""
        late = call.late("while the models at the endpoint were listed")
        try:
            async with failing_with(late, call.until):
                models = await self._models()
        except ModelError:
            return failure.error
        if self.model in models:
            return failure.error
        return UnknownModelError(self.model, self._endpoint.shown, models)

    async def _models(self) -> list[str]:
        try:
            return read_models(await self._exchange.get(_MODELS))
        except Failure as failure:
            if not_found(failure):
                raise ModelReplyError(
                    f"there is no OpenAI-compatible endpoint at {self._endpoint.shown}; its "
                    "address usually ends in /v1"
                ) from failure
            raise failure.error from failure


def _made_ready(
    request: Request, endpoint: Endpoint
) -> tuple[list[str | SentPicture], dict[str, JsonValue], bytes | None]:
    """Parts, body and the key to remember its answer by; milliseconds of work for each picture."""
    parts = prepare(request.parts, endpoint.profile)
    body = chat_body(request, parts, endpoint)
    greedy = request.temperature == 0
    return parts, body, fingerprint(endpoint.api_url, body) if greedy else None
