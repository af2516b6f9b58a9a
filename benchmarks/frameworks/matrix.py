"""Run the documented program of each framework and check what reaches the model."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.frameworks import checks
from benchmarks.frameworks.album import CHEAP, Served
from benchmarks.frameworks.catalog import Framework
from benchmarks.frameworks.checks import Outcome
from benchmarks.frameworks.installation import program_of
from benchmarks.frameworks.model_endpoint import Conversation, Json, ModelEndpoint, ToolCall
from benchmarks.frameworks.tokens import count_tokens

_TIMEOUT_SECONDS = 150
_KEPT_OUTPUT = 2000


@dataclass
class Row:
    """The outcomes of one framework over one transport."""

    framework: str
    transport: str
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    list_tokens: int | None = None
    result_tokens: int | None = None
    output: str = ""
    requests: list[Json] = field(default_factory=list)


@dataclass(frozen=True)
class Observation:
    """What was seen of one scripted call."""

    request: Json | None
    call: str
    received: Sequence[Json]


class Runner:
    """Runs programs against one server and one model endpoint."""

    def __init__(self, served: Served, endpoint: ModelEndpoint, model_url: str) -> None:
        self.served = served
        self.endpoint = endpoint
        self.model_url = model_url

    async def row(
        self, key: str, framework: Framework, interpreter: Sequence[str], transport: str
    ) -> Row:
        """Run all checks of a framework over a transport."""
        row = Row(key, transport)
        script = checks.script(self.served.tools, self.served.asset, CHEAP)
        seen: dict[str, Observation] = {}
        offered: list[Json] = []
        pending = dict(script)
        while pending:
            row.output = await self._run(framework, interpreter, transport, list(pending.values()))
            conversation = self.endpoint.conversation
            row.requests += conversation.requests
            if conversation.requests and not offered:
                first = conversation.requests[0]
                offered = checks.offered_tools(first)
                row.list_tokens = count_tokens(json.dumps([one["raw"] for one in offered]))
            answered = self._observations(pending)
            seen |= answered
            # A program that ended early gets the remaining calls in a new run.
            pending = dict(list(pending.items())[max(len(answered), 1) :])
        row.outcomes = self._judge(offered, seen)
        if "call" in seen:
            row.result_tokens = checks.result_tokens(seen["call"].request, seen["call"].call)
        return row

    def _observations(self, pending: Mapping[str, ToolCall]) -> dict[str, Observation]:
        conversation = self.endpoint.conversation
        found = {}
        for step, (check, call) in enumerate(pending.items()):
            request = conversation.result_of(step)
            if request is None:
                break
            received = self.served.recording.calls(call.tool)
            found[check] = Observation(request, f"call_{step + 1}", received)
        return found

    def _judge(self, offered: list[Json], seen: Mapping[str, Observation]) -> dict[str, Outcome]:
        nothing = Observation(None, "", ())
        get = lambda check: seen.get(check, nothing)  # noqa: E731
        null, blank = get("null"), get("blank")
        accepted = checks.check_call(null.request, null.call)
        if accepted.passed:
            accepted = checks.check_blank(blank.request, blank.call, blank.received)
        filters = get("filters")
        return {
            "list": checks.check_list(offered, self.served.tools),
            "convert": checks.check_convert(offered, self.served.tools),
            "call": checks.check_call(get("call").request, get("call").call),
            "image": checks.check_image(get("image").request, get("image").call),
            "error": checks.check_error(get("error").request, get("error").call),
            "filters": checks.check_filters(filters.request, filters.call, filters.received, CHEAP),
            "null": accepted,
        }

    async def _run(
        self,
        framework: Framework,
        interpreter: Sequence[str],
        transport: str,
        calls: Sequence[ToolCall],
    ) -> str:
        """Run the program with a scripted model and return the end of its output."""
        self.endpoint.conversation = Conversation(calls)
        self.served.recording.clear()
        with tempfile.TemporaryDirectory(prefix="sightline-framework-") as home:
            process = await asyncio.create_subprocess_exec(
                *interpreter,
                str(program_of(framework)),
                env=self._environment(framework, transport, home),
                cwd=home,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(_TIMEOUT_SECONDS):
                    output, _ = await process.communicate()
            except TimeoutError:
                output = b"timed out"
            finally:
                _end(process)
        return output.decode(errors="replace")[-_KEPT_OUTPUT:]

    def _environment(self, framework: Framework, transport: str, home: str) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        settings = {
            "HOME": home,
            "PATH": f"{self.served.commands}{os.pathsep}{os.environ['PATH']}",
            "OPENAI_API_KEY": "none",
            "OPENAI_BASE_URL": f"{self.model_url}/v1",
            "OPENAI_API_BASE": f"{self.model_url}/v1",
            "GOOGLE_API_KEY": "none",
            "GOOGLE_GEMINI_BASE_URL": self.model_url,
            **_WITHOUT_TELEMETRY,
        }
        if transport == "http":
            settings["MCP_URL"] = self.served.url
        return {**inherited, **settings, **framework.environment}


_WITHOUT_TELEMETRY = {
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_TRACKING": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "OTEL_SDK_DISABLED": "true",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "MASTRA_TELEMETRY_DISABLED": "1",
    "DO_NOT_TRACK": "1",
}


def _end(process: asyncio.subprocess.Process) -> None:
    """End the program and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
