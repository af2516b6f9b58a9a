"""OpenAI-compatible ASGI app: chat completions, models and health."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sightline.server.models.model_server.builtin.chat_request import (
    ChatRequest,
    parse_conversation,
    parse_request,
)
from sightline.server.models.model_server.builtin.constrained_decoding import build_grammar
from sightline.server.models.model_server.builtin.generation_engine import (
    GenerationEngine,
    GenerationRequest,
    OutputChunk,
    TokenLogprob,
)
from sightline.server.models.model_server.builtin.request_limits import (
    BodyTooLargeError,
    ModelNotFoundError,
    QueueFullError,
    RequestError,
    RequestLimits,
)

logger = logging.getLogger(__name__)

#: Folder of the built-in model.
BUILTIN_VLM: Final = Path(__file__).parents[2] / "weights" / "builtin-llava"
_CLIENT_CLOSED_REQUEST: Final = 499


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The engine, its served name and the start time in Unix seconds."""

    engine: GenerationEngine
    name: str
    started_at: int


def create_app(
    folder: Path = BUILTIN_VLM,
    *,
    name: str | None = None,
    limits: RequestLimits | None = None,
    device: str = "cpu",
) -> Starlette:
    """Create the app for a LLaVA folder; the model is loaded at startup."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        engine = await asyncio.to_thread(
            GenerationEngine, folder, limits or RequestLimits(), device
        )
        app.state.served = ServedModel(engine, name or folder.name, int(time.time()))
        logger.info("serving %s", app.state.served.name)
        try:
            yield
        finally:
            engine.close()

    return Starlette(
        routes=[
            Route("/health", _health),
            Route("/v1/models", _models),
            Route("/v1/chat/completions", _chat_completions, methods=["POST"]),
        ],
        lifespan=lifespan,
        exception_handlers={RequestError: _error_response, 404: _no_route, 405: _no_route},
    )


async def _health(_: Request) -> Response:
    return Response()


async def _models(request: Request) -> Response:
    served: ServedModel = request.app.state.served
    model = {
        "id": served.name,
        "object": "model",
        "created": served.started_at,
        "owned_by": "sightline",
        "max_model_len": served.engine.max_context_tokens,
    }
    return JSONResponse({"object": "list", "data": [model]})


async def _chat_completions(request: Request) -> Response:
    served: ServedModel = request.app.state.served
    engine = served.engine
    limits = engine.limits
    try:
        body = await _read_body(request, limits.max_body_bytes)
    except ClientDisconnect:
        return Response(status_code=_CLIENT_CLOSED_REQUEST)
    chat = parse_request(body, limits)
    if chat.model != served.name:
        raise ModelNotFoundError(chat.model, [served.name])
    # Decoding images would block other requests.
    conversation = await asyncio.to_thread(parse_conversation, chat, engine.special_tokens, limits)
    chunks = engine.generate(
        GenerationRequest(
            conversation,
            chat.max_completion_tokens or chat.max_tokens,
            chat.temperature,
            chat.top_p,
            chat.seed,
            tuple(chat.stop_strings),
            build_grammar(chat, limits),
            chat.top_logprobs if chat.logprobs else None,
        )
    )
    completion_id = f"chatcmpl-{uuid.uuid4().hex}"
    if not chat.stream:
        return await _complete_response(request, served.name, chunks, completion_id)
    # Wait for the first chunk before the status line, so that errors have their own status.
    first = await anext(chunks)
    return StreamingResponse(
        _stream_events(served.name, chat, first, chunks, completion_id),
        media_type="text/event-stream",
    )


async def _complete_response(
    request: Request, model: str, chunks: AsyncIterator[OutputChunk], completion_id: str
) -> Response:
    """Return the complete answer; cancel it if the client disconnects."""

    async def collect() -> list[OutputChunk]:
        return [chunk async for chunk in chunks]

    answer = asyncio.create_task(collect())
    disconnected = asyncio.create_task(_wait_for_disconnect(request))
    try:
        await asyncio.wait({answer, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        return JSONResponse(_completion(answer.result(), model, completion_id))
    finally:
        for task in (answer, disconnected):
            task.cancel()
        await asyncio.gather(answer, disconnected, return_exceptions=True)


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _stream_events(
    model: str,
    chat: ChatRequest,
    first: OutputChunk,
    rest: AsyncIterator[OutputChunk],
    completion_id: str,
) -> AsyncIterator[str]:
    """Yield server-sent events. Starlette closes it when the client disconnects."""
    async with contextlib.aclosing(rest):  # type: ignore[type-var]
        yield _event(_completion_chunk(None, model, completion_id))
        last = first
        yield _event(_completion_chunk(first, model, completion_id))
        try:
            async for chunk in rest:
                last = chunk
                yield _event(_completion_chunk(chunk, model, completion_id))
        except RequestError as error:
            yield _event(error.body())
        if chat.stream_options is not None and chat.stream_options.include_usage:
            opening = _completion_chunk(None, model, completion_id)
            yield _event({**opening, "choices": [], "usage": _usage(last)})
        yield "data: [DONE]\n\n"


def _event(data: dict[str, object]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _completion(chunks: Sequence[OutputChunk], model: str, completion_id: str) -> dict[str, object]:
    """Return a ``chat.completion`` object."""
    logprobs = [each for chunk in chunks for each in chunk.logprobs]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "".join(chunk.text for chunk in chunks)},
        "logprobs": _logprobs(logprobs),
        "finish_reason": chunks[-1].finish_reason,
    }
    head = _head("chat.completion", model, completion_id)
    return {**head, "choices": [choice], "usage": _usage(chunks[-1])}


def _completion_chunk(
    chunk: OutputChunk | None, model: str, completion_id: str
) -> dict[str, object]:
    """Return a ``chat.completion.chunk`` object; ``None`` gives the opening chunk."""
    choice = {
        "index": 0,
        "delta": {"content": chunk.text} if chunk else {"role": "assistant"},
        "logprobs": _logprobs(chunk.logprobs) if chunk else None,
        "finish_reason": chunk.finish_reason if chunk else None,
    }
    return {**_head("chat.completion.chunk", model, completion_id), "choices": [choice]}


def _head(kind: str, model: str, completion_id: str) -> dict[str, object]:
    return {"id": completion_id, "object": kind, "created": int(time.time()), "model": model}


def _usage(last: OutputChunk) -> dict[str, int]:
    return {
        "prompt_tokens": last.prompt_tokens,
        "completion_tokens": last.completion_tokens,
        "total_tokens": last.prompt_tokens + last.completion_tokens,
    }


def _logprobs(logprobs: Sequence[TokenLogprob]) -> dict[str, object] | None:
    content = [
        {
            "token": each.token,
            "logprob": each.logprob,
            "bytes": list(each.data),
            "top_logprobs": [
                {"token": token, "logprob": value, "bytes": list(data)}
                for token, value, data in each.top
            ],
        }
        for each in logprobs
    ]
    return {"content": content} if content else None


async def _read_body(request: Request, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLargeError(f"the body may have {max_bytes:,} bytes")
    return bytes(body)


async def _error_response(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestError):
        raise error
    headers = None
    if isinstance(error, QueueFullError):
        headers = {"Retry-After": str(error.retry_after_seconds)}
    return JSONResponse(error.body(), error.status, headers)


async def _no_route(request: Request, error: Exception) -> Response:
    not_found = RequestError(f"Unknown endpoint {request.method} {request.url.path}.")
    return JSONResponse(not_found.body(), getattr(error, "status_code", 404))
