"""The HTTP face: ``/v1/chat/completions``, ``/v1/models`` and ``/health``, as OpenAI has them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sightline.server.models.model_server.builtin.chat_request import (
    ChatRequest,
    conversation_of,
    parse_request,
)
from sightline.server.models.model_server.builtin.chat_response import (
    chunk_of,
    completion_of,
    usage_of,
)
from sightline.server.models.model_server.builtin.constrained_decoding import grammar_of
from sightline.server.models.model_server.builtin.generation_engine import Asked, Engine, Piece
from sightline.server.models.model_server.builtin.openai_errors import (
    Overloaded,
    Refusal,
    TooLarge,
    UnknownModel,
)
from sightline.server.models.model_server.builtin.request_limits import Limits

_log = logging.getLogger(__name__)
#: The built-in model's folder.
BUILTIN: Final = Path(__file__).parents[2] / "weights" / "builtin-llava"


@dataclass(frozen=True, slots=True)
class Service:
    """What the routes need: the engine and the name that it is served under."""

    engine: Engine
    name: str
    started: int


def create_app(
    folder: Path = BUILTIN,
    *,
    name: str | None = None,
    limits: Limits | None = None,
    device: str = "cpu",
) -> Starlette:
    """The application for one LLaVA folder; the model is loaded when it starts."""
    bounds = limits or Limits()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        engine = await asyncio.to_thread(Engine, folder, bounds, device)
        app.state.service = Service(engine, name or folder.name, int(time.time()))
        _log.info("serving %s", app.state.service.name)
        try:
            yield
        finally:
            engine.close()

    return Starlette(
        routes=[
            Route("/health", _health),
            Route("/v1/models", _models),
            Route("/v1/chat/completions", _chat, methods=["POST"]),
        ],
        lifespan=lifespan,
        exception_handlers={Refusal: _refused, 404: _no_route, 405: _no_route},
    )


async def _health(_: Request) -> Response:
    return Response()


async def _models(request: Request) -> Response:
    service: Service = request.app.state.service
    model = {
        "id": service.name,
        "object": "model",
        "created": service.started,
        "owned_by": "sightline",
        "max_model_len": service.engine.context,
    }
    return JSONResponse({"object": "list", "data": [model]})


async def _chat(request: Request) -> Response:
    service: Service = request.app.state.service
    limits = service.engine.limits
    try:
        body = await _body(request, limits.body_bytes)
    except ClientDisconnect:
        return Response(status_code=499)
    chat = parse_request(body, limits)
    if chat.model != service.name:
        raise UnknownModel(chat.model, [service.name])
    # Decoding pictures takes long enough to hold up other requests.
    conversation = await asyncio.to_thread(conversation_of, chat, service.engine.markup, limits)
    asked = Asked(
        conversation,
        chat.most_tokens,
        chat.temperature,
        chat.top_p,
        chat.seed,
        tuple(chat.stops),
        grammar_of(chat, limits),
        chat.top_logprobs if chat.logprobs else None,
    )
    pieces = service.engine.generate(asked)
    name = f"chatcmpl-{uuid.uuid4().hex}"
    if not chat.stream:
        return await _whole(request, service, pieces, name)
    # The first piece comes before the status line, so that a refusal still has its own.
    first = await anext(pieces)
    return StreamingResponse(
        _events(service, chat, first, pieces, name), media_type="text/event-stream"
    )


async def _whole(
    request: Request, service: Service, pieces: AsyncIterator[Piece], name: str
) -> Response:
    """The complete answer, given up when the client goes away."""

    async def collect() -> list[Piece]:
        return [piece async for piece in pieces]

    answer = asyncio.create_task(collect())
    left = asyncio.create_task(_departure(request))
    try:
        await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            return Response(status_code=499)
        return JSONResponse(completion_of(answer.result(), service.name, name))
    finally:
        for task in (answer, left):
            task.cancel()
        await asyncio.gather(answer, left, return_exceptions=True)


async def _departure(request: Request) -> None:
    """Returns when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _events(
    service: Service, chat: ChatRequest, first: Piece, rest: AsyncIterator[Piece], name: str
) -> AsyncIterator[str]:
    """Server-sent events; Starlette closes this when the client goes, which gives the answer up."""
    async with contextlib.aclosing(rest):  # type: ignore[type-var]
        yield _event(chunk_of(None, service.name, name))
        last = first
        yield _event(chunk_of(first, service.name, name))
        try:
            async for piece in rest:
                last = piece
                yield _event(chunk_of(piece, service.name, name))
        except Refusal as refusal:
            yield _event(refusal.body())
        if chat.stream_options is not None and chat.stream_options.include_usage:
            yield _event({**chunk_of(None, service.name, name), "choices": [], **usage_of(last)})
        yield "data: [DONE]\n\n"


def _event(data: dict[str, object]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


async def _body(request: Request, most: int) -> bytes:
    """The body, never more than ``most`` bytes of it."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLarge(f"the body may have {most:,} bytes")
    return bytes(body)


async def _refused(_: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        raise error
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, Overloaded) else None
    return JSONResponse(error.body(), error.status, headers)


async def _no_route(request: Request, error: Exception) -> Response:
    refusal = Refusal(f"there is no {request.method} {request.url.path} here")
    return JSONResponse(refusal.body(), getattr(error, "status_code", 404))
