"""Answers the requests of an OpenAI client in this process, with a LLaVA folder.

The client is the same as for an endpoint, so limits, retries, deadlines and checks of replies are
too. There is no socket and no second process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from http import HTTPStatus
from pathlib import Path

import httpx

from sightline.server.models.vision_language.builtin.chat_request import (
    RequestError,
    RequestLimits,
    parse_conversation,
    parse_request,
)
from sightline.server.models.vision_language.builtin.constrained_decoding import build_grammar
from sightline.server.models.vision_language.builtin.generation_engine import GenerationEngine
from sightline.server.models.vision_language.builtin.llava_model import (
    BUILTIN_FOLDER,
    check_folder,
)
from sightline.storage.errors import choices, shown

_RETRY_AFTER = {"Retry-After": "1"}


class BuiltinTransport(httpx.AsyncBaseTransport):
    """Serves ``GET /models`` and ``POST /chat/completions`` of one model.

    The model has the name of its folder. It is loaded by the first request for an answer.
    """

    def __init__(self, folder: Path = BUILTIN_FOLDER, limits: RequestLimits | None = None) -> None:
        """Raise ConfigurationError if the folder has no model."""
        check_folder(folder)
        self._name = folder.name
        self._limits = limits or RequestLimits()
        self._load: Callable[[], GenerationEngine] = partial(GenerationEngine, folder, self._limits)
        self._loading: asyncio.Task[GenerationEngine] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response. Raises what the loading of the model raises."""
        endpoint = request.method, request.url.path.rpartition("/v1/")[2]
        try:
            if endpoint == ("GET", "models"):
                model = {"id": self._name, "object": "model", "owned_by": "sightline"}
                return httpx.Response(HTTPStatus.OK, json={"object": "list", "data": [model]})
            if endpoint == ("POST", "chat/completions"):
                answer = await self._answer(await request.aread())
                return httpx.Response(HTTPStatus.OK, json=answer)
            message = f"Unknown endpoint {request.method} {request.url.path}."
            raise RequestError(message, status=HTTPStatus.NOT_FOUND)
        except RequestError as error:
            headers = _RETRY_AFTER if error.status == HTTPStatus.TOO_MANY_REQUESTS else None
            return httpx.Response(error.status, json=error.body, headers=headers)

    async def aclose(self) -> None:
        """Stop the model; a running answer ends at its next token."""
        if self._loading is not None:
            await asyncio.wait([self._loading])
            if not self._loading.cancelled() and self._loading.exception() is None:
                await asyncio.to_thread(self._loading.result().close)

    async def _engine(self) -> GenerationEngine:
        """Return the model; a load that failed is tried again by the next request."""
        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(self._load))
        loading = self._loading
        try:
            # The first request may be cancelled; others wait for the model as well.
            return await asyncio.shield(loading)
        except Exception:
            if self._loading is loading:
                self._loading = None
            raise

    async def _answer(self, body: bytes) -> dict[str, object]:
        if len(body) > self._limits.max_body_bytes:
            message = f"the body may have {self._limits.max_body_bytes:,} bytes"
            raise RequestError(message, code="body_too_large", status=413)
        chat = parse_request(body)
        if chat.model != self._name:
            available = choices([self._name])
            message = f"The model {shown(chat.model)} does not exist. Available: {available}."
            raise RequestError(message, "model", "model_not_found", HTTPStatus.NOT_FOUND)
        engine = await self._engine()
        # Decoding images would block other requests.
        conversation = await asyncio.to_thread(
            parse_conversation, chat, engine.special_tokens, self._limits
        )
        async with aclosing(engine.generate(chat, conversation, build_grammar(chat))) as chunks:
            outputs = [chunk async for chunk in chunks]
        last = outputs[-1]
        logprobs = [each for output in outputs for each in output.logprobs]
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "".join(each.text for each in outputs)},
            "logprobs": {"content": logprobs} if logprobs else None,
            "finish_reason": last.finish_reason,
        }
        usage = {
            "prompt_tokens": last.prompt_tokens,
            "completion_tokens": last.completion_tokens,
            "total_tokens": last.prompt_tokens + last.completion_tokens,
        }
        return {
            "object": "chat.completion",
            "model": self._name,
            "choices": [choice],
            "usage": usage,
        }
