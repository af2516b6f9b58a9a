"""A model without a model: answers with scripted tool calls and records what it receives.

It speaks Chat Completions and Responses of OpenAI and ``generateContent`` of Gemini, each with and
without streaming. A request that offers tools gets the next scripted call; after the last one, and
without tools, the answer is text. So a framework runs its real agent loop, and each request shows
what the framework made of the previous result.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MODEL = "gpt-4.1"
_ANSWER = "That is all."
#: The tool of smolagents that ends a run.
_FINAL_TOOL = "final_answer"
_USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}

Json = dict[str, Any]


@dataclass(frozen=True)
class ToolCall:
    """A tool call of the script."""

    tool: str
    arguments: Json


@dataclass
class Conversation:
    """The script of one run, and the requests that arrived."""

    script: Sequence[ToolCall]
    #: Requests in order of arrival. ``requests[i + 1]`` contains the result of ``script[i]``.
    requests: list[Json] = field(default_factory=list)
    served: int = 0

    def next_call(self, request: Json, offers_tools: bool) -> tuple[str, ToolCall] | None:
        """Record a request and return the id and tool call to answer with, or None."""
        if not offers_tools:
            return None
        self.requests.append(request)
        if self.served == len(self.script):
            return None
        self.served += 1
        return f"call_{self.served}", self.script[self.served - 1]

    def result_of(self, step: int) -> Json | None:
        """Return the request that contains the result of a step, or None."""
        return self.requests[step + 1] if step + 1 < len(self.requests) else None


class ModelEndpoint:
    """The HTTP server. Set ``conversation`` before each run."""

    def __init__(self) -> None:
        self.conversation = Conversation(())
        self.app = Starlette(
            routes=[
                Route("/v1/models", _models),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/responses", self._responses, methods=["POST"]),
                Route("/{version}/models/{model}", self._gemini, methods=["POST"]),
            ]
        )

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        tools = body.get("tools") or []
        call = self.conversation.next_call(body, bool(tools))
        if call is None and any(_tool_name(tool) == _FINAL_TOOL for tool in tools):
            call = "call_final", ToolCall(_FINAL_TOOL, {"answer": _ANSWER})
        message: Json = {"role": "assistant", "content": None if call else _ANSWER}
        if call:
            name, arguments = _name_in(tools, call[1]), json.dumps(call[1].arguments)
            function = {"name": name, "arguments": arguments}
            message["tool_calls"] = [{"id": call[0], "type": "function", "function": function}]
        base = {"id": "chatcmpl-1", "created": int(time.time()), "model": body["model"]}
        choice: Json = {"index": 0, "finish_reason": "tool_calls" if call else "stop"}
        if not body.get("stream"):
            choices = [{**choice, "message": message}]
            whole = {**base, "object": "chat.completion", "choices": choices, "usage": _USAGE}
            return JSONResponse(whole)
        for index, one in enumerate(message.get("tool_calls", ())):
            one["index"] = index
        base["object"] = "chat.completion.chunk"
        first = {**base, "choices": [{"index": 0, "delta": message, "finish_reason": None}]}
        last = {**base, "choices": [{**choice, "delta": {}}]}
        usage = {**base, "choices": [], "usage": _USAGE}
        return _events([json.dumps(first), json.dumps(last), json.dumps(usage), "[DONE]"])

    async def _responses(self, request: Request) -> Response:
        body = await request.json()
        call = self.conversation.next_call(body, bool(body.get("tools")))
        item: Json
        if call:
            name, arguments = _name_in(body["tools"], call[1]), json.dumps(call[1].arguments)
            item = {"type": "function_call", "id": f"fc_{call[0]}", "call_id": call[0]}
            item |= {"name": name, "arguments": arguments, "status": "completed"}
        else:
            text = {"type": "output_text", "text": _ANSWER, "annotations": [], "logprobs": []}
            item = {"type": "message", "id": "msg_1", "role": "assistant"}
            item |= {"content": [text], "status": "completed"}
        response = {
            "id": "resp_1",
            "object": "response",
            "created_at": int(time.time()),
            "status": "completed",
            "model": body["model"],
            "output": [item],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "usage": {
                "input_tokens": 1,
                "output_tokens": 1,
                "total_tokens": 2,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 0},
            },
        }
        if not body.get("stream"):
            return JSONResponse(response)
        return _events(_response_events(response, item))

    async def _gemini(self, request: Request) -> Response:
        body = await request.json()
        tools = [
            declaration
            for tool in body.get("tools", ())
            for declaration in tool.get("functionDeclarations", ())
        ]
        call = self.conversation.next_call(body, bool(tools))
        part: Json = {"text": _ANSWER}
        if call:
            name = _name_in(tools, call[1])
            part = {"functionCall": {"id": call[0], "name": name, "args": call[1].arguments}}
        content = {"role": "model", "parts": [part]}
        tokens = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
        response = {
            "candidates": [{"index": 0, "content": content, "finishReason": "STOP"}],
            "usageMetadata": tokens,
        }
        if request.path_params["model"].endswith(":streamGenerateContent"):
            return _events([json.dumps(response)])
        return JSONResponse(response)


@contextmanager
def serving(endpoint: ModelEndpoint) -> Iterator[str]:
    """Serve in a thread and yield the address without a path."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(endpoint.app, lifespan="off", log_level="critical", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


async def _models(_: Request) -> Response:
    return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model"}]})


def _name_in(tools: Sequence[Json], call: ToolCall) -> str:
    """Return the name under which a framework offers a tool; some add a prefix."""
    names = list(map(_tool_name, tools))
    return next((name for name in names if name.endswith(call.tool)), call.tool)


def _tool_name(tool: Json) -> str:
    return str(tool.get("function", tool).get("name", ""))


def _response_events(response: Json, item: Json) -> list[str]:
    """Return the events of a streamed response of the Responses API."""
    at = {"output_index": 0, "item_id": item["id"]}
    started = {**response, "status": "in_progress", "output": []}
    events: list[Json] = [{"type": "response.created", "response": started}]
    empty = {**item, "status": "in_progress"}
    empty |= {"arguments": ""} if item["type"] == "function_call" else {"content": []}
    events.append({"type": "response.output_item.added", "output_index": 0, "item": empty})
    if item["type"] == "function_call":
        kind = "response.function_call_arguments"
        events.append({"type": f"{kind}.delta", **at, "delta": item["arguments"]})
        events.append({"type": f"{kind}.done", **at, "arguments": item["arguments"]})
    else:
        at |= {"content_index": 0}
        part = item["content"][0]
        events.append({"type": "response.content_part.added", **at, "part": {**part, "text": ""}})
        text: Json = {"logprobs": [], "delta": part["text"]}
        events.append({"type": "response.output_text.delta", **at, **text})
        events.append({"type": "response.output_text.done", **at, "text": part["text"]})
        events.append({"type": "response.content_part.done", **at, "part": part})
    events.append({"type": "response.output_item.done", "output_index": 0, "item": item})
    events.append({"type": "response.completed", "response": response})
    return [json.dumps({**event, "sequence_number": n}) for n, event in enumerate(events)]


def _events(data: Sequence[str]) -> Response:
    text = "".join(f"data: {one}\n\n" for one in data)
    return Response(text, media_type="text/event-stream")
