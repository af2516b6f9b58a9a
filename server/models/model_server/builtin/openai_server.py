"""OpenAI-compatible server of one LLaVA: chat completions, models and health."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sightline.server.models.model_server.builtin.chat_request import (
    ChatRequest,
    RequestError,
    RequestLimits,
    parse_conversation,
    parse_request,
)
from sightline.server.models.model_server.builtin.constrained_decoding import build_grammar
from sightline.server.models.model_server.builtin.generation_engine import (
    GenerationEngine,
    OutputChunk,
)
from sightline.server.models.model_server.builtin.llava_model import check_folder
from sightline.storage.errors import ModelUnavailableError, choices, shown

logger = logging.getLogger(__name__)

#: Folder of the built-in model.
BUILTIN_VLM: Final = Path(__file__).parents[2] / "weights" / "builtin-llava"
_CLIENT_CLOSED_REQUEST: Final = 499
_RETRY_AFTER_SECONDS: Final = "1"
_SHUTDOWN_TIMEOUT_SECONDS: Final = 5
#: Longer than clients keep idle connections, so that no request meets a closing connection.
_KEEP_ALIVE_SECONDS: Final = 75


def run_server(folder: Path, *, host: str, port: int, name: str | None, device: str) -> int:
    """Serve until interrupted. There is no authentication: keep it on loopback."""
    _Server(_create_app(folder, name, RequestLimits(), device), host, port).run()
    return 0


@contextlib.contextmanager
def run_server_in_thread(
    folder: Path = BUILTIN_VLM, *, name: str | None = None, limits: RequestLimits | None = None
) -> Iterator[str]:
    """Serve on a thread and yield the base URL, ``http://127.0.0.1:PORT/v1``."""
    server = _Server(_create_app(folder, name, limits or RequestLimits(), "cpu"), "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, name="vlm-server", daemon=True)
    thread.start()
    server.started_or_failed.wait()
    if not server.started:
        thread.join()
        raise ModelUnavailableError("the model server did not start")
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join()


class _Server(uvicorn.Server):
    """A server with an event that is set when it listens or has failed."""

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_level="warning",
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT_SECONDS,
            server_header=False,
        )
        super().__init__(config)
        self.started_or_failed = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.started_or_failed.set()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            self.started_or_failed.set()


def _create_app(folder: Path, name: str | None, limits: RequestLimits, device: str) -> Starlette:
    check_folder(folder)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.engine = await asyncio.to_thread(GenerationEngine, folder, limits, device)
        app.state.started_at = int(time.time())
        logger.info("serving %s", app.state.name)
        try:
            yield
        finally:
            app.state.engine.close()

    app = Starlette(
        routes=[
            Route("/health", lambda _: Response()),
            Route("/v1/models", _models),
            Route("/v1/chat/completions", _chat_completions, methods=["POST"]),
        ],
        lifespan=lifespan,
        exception_handlers={RequestError: _error_response, 404: _no_route, 405: _no_route},
    )
    app.state.name = name or folder.name
    return app


async def _models(request: Request) -> Response:
    state = request.app.state
    model = {
        "id": state.name,
        "object": "model",
        "created": state.started_at,
        "owned_by": "sightline",
        "max_model_len": state.engine.max_context_tokens,
    }
    return JSONResponse({"object": "list", "data": [model]})


async def _chat_completions(request: Request) -> Response:
    engine: GenerationEngine = request.app.state.engine
    name: str = request.app.state.name
    try:
        body = await _read_body(request, engine.limits.max_body_bytes)
    except ClientDisconnect:
        return Response(status_code=_CLIENT_CLOSED_REQUEST)
    chat = parse_request(body)
    if chat.model != name:
        message = f"The model {shown(chat.model)} does not exist. Available: {choices([name])}."
        raise RequestError(message, "model", "model_not_found", 404)
    # Decoding images would block other requests.
    conversation = await asyncio.to_thread(
        parse_conversation, chat, engine.special_tokens, engine.limits
    )
    chunks = engine.generate(chat, conversation, build_grammar(chat))
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": name}
    if not chat.stream:
        return await _complete_response(request, chunks, head)
    # Wait for the first chunk before the status line, so that errors have their own status.
    first = await anext(chunks)
    return StreamingResponse(
        _stream_events(chat, first, chunks, head), media_type="text/event-stream"
    )


async def _complete_response(
    request: Request, chunks: AsyncIterator[OutputChunk], head: dict[str, object]
) -> Response:
    """Return the complete answer; cancel it if the client disconnects."""

    async def collect() -> list[OutputChunk]:
        return [chunk async for chunk in chunks]

    async def wait_for_disconnect() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    answer = asyncio.create_task(collect())
    disconnected = asyncio.create_task(wait_for_disconnect())
    try:
        await asyncio.wait({answer, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        outputs = answer.result()
    finally:
        for task in (answer, disconnected):
            task.cancel()
        await asyncio.gather(answer, disconnected, return_exceptions=True)
    logprobs = [each for output in outputs for each in output.logprobs]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "".join(output.text for output in outputs)},
        "logprobs": {"content": logprobs} if logprobs else None,
        "finish_reason": outputs[-1].finish_reason,
    }
    return JSONResponse(
        {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(outputs[-1])}
    )


async def _stream_events(
    chat: ChatRequest,
    first: OutputChunk,
    rest: AsyncIterator[OutputChunk],
    head: dict[str, object],
) -> AsyncIterator[str]:
    """Yield server-sent events. Starlette closes it when the client disconnects."""

    def event(data: Mapping[str, object]) -> str:
        return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"

    def chunk_event(delta: dict[str, str], output: OutputChunk | None = None) -> str:
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": {"content": output.logprobs} if output and output.logprobs else None,
            "finish_reason": output.finish_reason if output else None,
        }
        return event({**head, "choices": [choice]})

    head = {**head, "object": "chat.completion.chunk"}
    async with contextlib.aclosing(rest):  # type: ignore[type-var]
        yield chunk_event({"role": "assistant"})
        last = first
        yield chunk_event({"content": first.text}, first)
        try:
            async for last in rest:
                yield chunk_event({"content": last.text}, last)
        except RequestError as error:
            yield event(error.body)
        if chat.stream_options is not None and chat.stream_options.include_usage:
            yield event({**head, "choices": [], "usage": _usage(last)})
        yield "data: [DONE]\n\n"


def _usage(last: OutputChunk) -> dict[str, int]:
    return {
        "prompt_tokens": last.prompt_tokens,
        "completion_tokens": last.completion_tokens,
        "total_tokens": last.prompt_tokens + last.completion_tokens,
    }


async def _read_body(request: Request, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            message = f"the body may have {max_bytes:,} bytes"
            raise RequestError(message, code="body_too_large", status=413)
    return bytes(body)


async def _error_response(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestError):
        raise error
    headers = {"Retry-After": _RETRY_AFTER_SECONDS} if error.status == 429 else None
    return JSONResponse(error.body, error.status, headers)


async def _no_route(request: Request, error: Exception) -> Response:
    not_found = RequestError(f"Unknown endpoint {request.method} {request.url.path}.")
    return JSONResponse(not_found.body, getattr(error, "status_code", 404))
