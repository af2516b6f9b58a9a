"""Tests of traces: real server processes, a client with a trace, a real collector."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult
from starlette.types import Receive, Send

from sightline.server.cli.admin import doctor
from sightline.server.observability import traces
from tests.server.test_stdio import COMMAND, environment
from tests.support.fake_vlm_server import MODEL, FakeVlmServer, completion, reply, serving
from tests.support.sample_images import jpeg
from tests.support.scripted_vlm import prompt_text
from tests.support.trace_collector import CollectedSpan, TraceCollector, run_collector

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
SERVER, CLIENT = 2, 3
#: In queries, file names, captions, collections, questions, answers and made-up names.
SECRET = "hunter2"
RETRIEVERS = {"text_to_image", "lexical"}


def trace_of(number: int) -> str:
    """Return the id of the trace of a call of the test."""
    return f"{number:032x}"


async def call(client: Client, number: int, tool: str, **arguments: Any) -> CallToolResult:
    """Call a tool inside of a trace."""
    meta = {
        "traceparent": f"00-{trace_of(number)}-{CALLER}-01",
        "tracestate": f"vendor={SECRET}",
        "baggage": f"user={SECRET}",
    }
    return await client.call_tool(tool, arguments, meta=meta)  # type: ignore[arg-type]


async def model(endpoint: FakeVlmServer, body: dict[str, Any], _: Receive, send: Send) -> None:
    """Answer a question with one claim, and everything else with yes."""
    claims = [{"text": f"it is {SECRET}", "evidence": [1], "box": None, "quote": None}]
    answer = {"answer": SECRET, "claims": claims, "missing": None, "interpretations": []}
    is_question = "Answer yes or no." not in prompt_text(body["messages"])
    text = json.dumps(answer) if is_question and "response_format" in body else "yes"
    await reply(send, 200, completion(text, body["model"]))


@asynccontextmanager
async def run_http(env: dict[str, str]) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """Run ``serve --http``; yield its address."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--http", "--port", "0", env=env, stdout=subprocess.DEVNULL, stderr=-1
    )
    assert process.stderr is not None
    log, reading = b"", None
    try:
        async for line in process.stderr:
            log += line
            if b"listening on " in line:
                break
        assert b"listening on " in log, log.decode()
        reading = asyncio.create_task(process.stderr.read())
        yield log.decode().rpartition("listening on ")[2].strip(), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        log += b"" if reading is None else await reading
        sys.stderr.write(log.decode())  # shown if the test fails


@pytest.fixture
async def collector() -> AsyncIterator[TraceCollector]:
    async with run_collector() as running:
        yield running


@pytest.fixture
def variables(collector: TraceCollector, database_dsn: str) -> Any:
    """Return the environment of a server that sends traces."""

    def build(tmp_path: Path, **options: str) -> dict[str, str]:
        settings = {
            "database__url": database_dsn,
            "encoder__threads": "1",
            "startup_timeout_seconds": "200",
            "ingest__workers": "1",
            **options,
        }
        return environment(tmp_path, **settings) | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}

    return build


async def test_the_spans_of_a_search_and_an_answer(
    tmp_path: Path, variables: Any, collector: TraceCollector, random_encoder_folder: Path
) -> None:
    endpoint = FakeVlmServer()
    endpoint.default_behavior = model
    async with serving(endpoint) as url:
        options = {
            "vlm__base_url": url,
            "vlm__model": MODEL,
            "vlm__profile": "qwen3-vl",
            "reranker__model": "vlm",
            "reranker__timeout_seconds": "60",
            "encoder__model": f"local-dir:{random_encoder_folder}",
        }
        env = variables(tmp_path, **options)
        async with run_http(env) as (address, process):
            async with Client(address, read_timeout_seconds=200) as client:
                files = [
                    {"name": f"{SECRET}-{n}.jpg", "data": base64.b64encode(jpeg(n)).decode()}
                    for n in range(2)
                ]
                added = await call(client, 1, "add_images", uploads=files, collection=SECRET)
                assert not added.is_error, added.content
                found = await call(client, 2, "search_images", query=f"{SECRET} red")
                assert not found.is_error, found.content
                question = f"what is {SECRET}?"
                answered = await call(client, 3, "answer_question", question=question)
                assert not answered.is_error, answered.content
                await call(client, 4, "search_images", query="x", collection=f"no{SECRET}")
                await call(client, 5, SECRET, argument=SECRET)
                with pytest.raises(MCPError):
                    await client.read_resource(f"sightline://collection/no{SECRET}")
                with pytest.raises(MCPError):
                    await client.get_prompt(SECRET)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    _check_search(collector)
    _check_answer(collector, endpoint)
    _check_failures(collector)
    assert SECRET.encode() not in collector.received
    assert {span.resource["service.name"] for span in collector.spans} == {"sightline"}


def _server_span(collector: TraceCollector, number: int) -> CollectedSpan:
    (span,) = [
        each for each in collector.spans if each.trace == trace_of(number) and each.parent == CALLER
    ]
    assert span.kind == SERVER
    return span


def _check_search(collector: TraceCollector) -> None:
    server = _server_span(collector, 2)
    assert server.name == "tools/call search_images"
    assert server.attributes["mcp.method.name"] == "tools/call"
    assert server.attributes["gen_ai.tool.name"] == "search_images"
    children = {span.name for span in collector.spans if span.parent == server.id}
    assert children == {"scope", "encode", "fuse", "rerank", "hydrate"} | RETRIEVERS
    (rerank,) = collector.named("rerank", trace_of(2))
    chats = collector.named(f"chat {MODEL}", trace_of(2))
    assert chats
    assert {span.parent for span in chats} == {rerank.id}


def _check_answer(collector: TraceCollector, endpoint: FakeVlmServer) -> None:
    server = _server_span(collector, 3)
    children = {span.name for span in collector.spans if span.parent == server.id}
    assert children == {"evidence", "answer", "check"}
    by_name = {span.name: span for span in collector.spans if span.trace == trace_of(3)}
    assert collector.parent_of(by_name["scope"]) == "evidence"
    checks = [span for name, span in by_name.items() if name.startswith("check ")]
    assert {span.name for span in checks} >= {"check words_in_evidence", "check second_answer"}
    parents = {collector.parent_of(span) for span in checks}
    assert parents == {"check", "check independent_checks"}
    chats = collector.named(f"chat {MODEL}", trace_of(3))
    assert {collector.parent_of(span) for span in chats} >= {"answer", "check second_answer"}
    for span in chats:
        assert span.kind == CLIENT
        assert span.attributes["gen_ai.request.model"] == MODEL
        if collector.parent_of(span) == "answer":
            assert span.attributes["sightline.cached"] is False
            assert span.attributes["gen_ai.usage.input_tokens"] == 11
    # The endpoint continues the traces, and gets no text of the client.
    sent = {tuple(headers["traceparent"].split("-")[1:3]) for headers in endpoint.headers}
    answering = {(span.trace, span.id) for span in collector.named(f"chat {MODEL}")}
    assert sent <= answering
    assert not any({"tracestate", "baggage"} & set(headers) for headers in endpoint.headers)


def _check_failures(collector: TraceCollector) -> None:
    failed = _server_span(collector, 4)
    assert failed.status == 2
    assert failed.attributes["error.type"] == "tool_error"
    (scope,) = collector.named("scope", trace_of(4))
    assert (scope.status, scope.attributes["error.type"]) == (2, "UnknownNameError")
    assert _server_span(collector, 5).name == "tools/call unknown"
    names = {span.name for span in collector.spans}
    assert {"resources/read", "prompts/get unknown"} <= names


async def test_the_last_spans_are_sent_before_a_stdio_server_ends(
    tmp_path: Path, variables: Any, collector: TraceCollector
) -> None:
    env = variables(tmp_path)
    env |= {"OTEL_BSP_SCHEDULE_DELAY": "3600000", "OTEL_SERVICE_NAME": "eyes"}
    parameters = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env=env)
    async with Client(parameters) as client:
        await call(client, 1, "list_collections")
    server = _server_span(collector, 1)
    assert server.name == "tools/call list_collections"
    assert server.resource["service.name"] == "eyes"


async def test_a_collector_that_does_not_answer_stops_no_call_and_no_exit(
    tmp_path: Path, variables: Any
) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    env = variables(tmp_path)
    env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    async with silent, run_http(env) as (address, process):
        async with Client(address) as client:
            assert not (await call(client, 1, "list_collections")).is_error
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0


ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:pw@collector:4318"}


@pytest.mark.parametrize(
    ("environment", "state"),
    [
        ({}, "off"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, "off"),
        (ENDPOINT, "on"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, "on"),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, "off"),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "otlp"}, "on"),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "zipkin"}, "impossible"),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, "off"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "impossible"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "on"),
    ],
)
def test_the_standard_variables_decide(environment: dict[str, str], state: str) -> None:
    found = traces.export_of(environment)
    assert found.state == state
    assert "pw" not in found.message


def test_what_prevents_traces_is_logged_and_shown_by_doctor(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}).items():
        monkeypatch.setenv(name, value)
    with caplog.at_level(logging.WARNING):
        traces.configure({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert "no traces: only the exporter otlp with the protocol http/protobuf" in caplog.text
    diagnosis = doctor._traces()
    assert (diagnosis.status, diagnosis.subject) == ("error", "traces")
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    assert str(doctor._traces()).startswith("ok    traces: set OTEL_EXPORTER_OTLP_ENDPOINT")


def test_without_the_extra_the_message_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['opentelemetry.exporter.otlp.proto.http.trace_exporter'] = None\n"
        "from sightline.server.observability import traces\n"
        "print(traces.export_of({'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://127.0.0.1:4318'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert b"-m pip install 'sightline-mcp[otel]'" in done.stdout
