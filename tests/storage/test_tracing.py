"""Tests of spans with the real SDK of OpenTelemetry."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)

from sightline.storage.retrieval.stage_runner import StageTimer, gather_or_cancel
from sightline.storage.tracing import inject_trace_context, span


class Recorder:
    """The tracer of a program that uses Sightline as a library."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._spans))

    @property
    def tracer(self) -> Tracer:
        return self.provider.get_tracer("program")

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {each.name: each for each in self._spans.get_finished_spans()}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    # The provider of a process can be set only once.
    monkeypatch.setattr("opentelemetry.trace.get_tracer", made.provider.get_tracer)
    return made


def parent_id(child: ReadableSpan) -> int | None:
    return None if child.parent is None else child.parent.span_id


async def test_a_stage_is_a_child_of_the_current_span_in_parallel_tasks_too(
    recorder: Recorder,
) -> None:
    timer = StageTimer()

    async def retrieve(name: str) -> None:
        with timer.stage(name):
            await asyncio.sleep(0)

    with recorder.tracer.start_as_current_span("program"), timer.stage("search"):
        await gather_or_cancel([retrieve("one"), retrieve("two")])
    spans = recorder.spans
    assert parent_id(spans["search"]) == spans["program"].context.span_id
    for name in ("one", "two"):
        assert parent_id(spans[name]) == spans["search"].context.span_id
    assert set(timer.stages) == {"search", "one", "two"}


def test_without_a_current_span_nothing_is_recorded(recorder: Recorder) -> None:
    with span("stage", attributes={"a": 1}) as active:
        active.set_attribute("b", 2)
    headers: dict[str, str] = {}
    inject_trace_context(headers)
    assert recorder.spans == {}
    assert headers == {}


def test_an_error_is_recorded_by_type_without_its_text(recorder: Recorder) -> None:
    with (
        recorder.tracer.start_as_current_span("program"),
        pytest.raises(ValueError, match="hunter2"),
        span("stage", is_client=True),
    ):
        raise ValueError("hunter2")
    stage = recorder.spans["stage"]
    assert stage.kind is SpanKind.CLIENT
    assert dict(stage.attributes or {}) == {"error.type": "ValueError"}
    assert (stage.status.status_code, stage.status.description) == (StatusCode.ERROR, None)
    assert stage.events == ()


def test_the_context_of_a_span_is_passed_on(recorder: Recorder) -> None:
    headers: dict[str, str] = {}
    with recorder.tracer.start_as_current_span("program"), span("call"):
        inject_trace_context(headers)
    context = recorder.spans["call"].context
    assert headers.keys() == {"traceparent"}
    ids = f"00-{context.trace_id:032x}-{context.span_id:016x}-"
    assert headers["traceparent"].startswith(ids)


def test_the_trace_state_of_a_caller_is_not_passed_on(recorder: Recorder) -> None:
    state = TraceState([("vendor", "hunter2")])
    caller = NonRecordingSpan(SpanContext(1, 2, True, TraceFlags(TraceFlags.SAMPLED), state))
    headers: dict[str, str] = {}
    with recorder.tracer.start_as_current_span("program", set_span_in_context(caller)):
        inject_trace_context(headers)
    program = recorder.spans["program"]
    assert program.context.trace_state == state
    assert headers == {"traceparent": f"00-{1:032x}-{program.context.span_id:016x}-01"}


def test_a_search_by_a_command_does_not_import_opentelemetry() -> None:
    program = (
        "import sys; from sightline.storage.retrieval import StageTimer\n"
        "with StageTimer().stage('scope'): pass\n"
        "print('opentelemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout.strip() == b"False"
