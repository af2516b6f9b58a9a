"""The time that the workers get for a source, and which jobs share a turn."""

from __future__ import annotations

import asyncio
from datetime import UTC
from pathlib import Path

import pytest

from sightline.storage.blobs import BlobStore
from sightline.storage.errors import MediaError
from sightline.storage.ingest import stage_types as stages
from sightline.storage.ingest.decode.decode_planner import DecodePlanner
from sightline.storage.ingest.decode.decode_queue import AmountSemaphore, DecodeQueue
from sightline.storage.ingest.decode.decode_stage import DecodeStage
from sightline.storage.ingest.decode.text_analysis import TextAnalyzer
from sightline.storage.ingest.decode.transcription import SpeechStage
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker_pool import Job
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.progress import IngestStats


def stage_of(folder: Path, options: IngestOptions) -> DecodeStage:
    decoded: asyncio.Queue[stages.DecodedSource | stages.FailedSource | None] = asyncio.Queue()
    queue = DecodeQueue(8)
    return DecodeStage(
        queue,
        asyncio.Queue(),
        decoded,
        TextAnalyzer(queue, decoded, AmountSemaphore(1 << 20), options),
        SpeechStage(None, IngestStats("x", lambda _: None)),
        DecodePlanner("on", "reader", tiles=False),
        zone=UTC,
        warn=lambda *_: None,
        blobs=BlobStore(folder),
        options=options,
    )


async def submit(stage: DecodeStage, name: str) -> None:
    file = stages.DiscoveredFile(name, place=f"upload:{name}", data=b"x")
    hashed = stages.HashedFile(file, bytes(32), "object:", byte_size=1)
    await stage.submit(stages.NewSource(hashed))


def seconds(job: Job) -> tuple[float, float]:
    """Return when the worker ends by itself, and when it is ended."""
    assert isinstance(job.request, messages.DecodeRequest)
    assert job.budget is not None
    return job.request.work_seconds, job.budget.max_seconds


@pytest.mark.parametrize("step", [60, 4000])
@pytest.mark.parametrize(
    ("name", "is_stepwise"), [("a.png", False), ("a.pdf", True), ("a.mp4", True), ("a", True)]
)
async def test_a_worker_has_one_step_to_end_in_time_by_itself(
    tmp_path: Path, name: str, is_stepwise: bool, step: int
) -> None:
    stage = stage_of(tmp_path, IngestOptions(file_timeout_seconds=step))
    await submit(stage, name)
    (job,) = await stage.queue.take()
    work, total = seconds(job)
    assert total - work == (step if is_stepwise else 0)
    await job.on_part(messages.OcrStarted(asset=0))
    assert job.budget is not None
    job.budget.used_seconds = work  # so that one step is left for the next attempt
    await job.on_failed(MediaError("timeout", "took too long"))
    (retry,) = await stage.queue.take()
    assert seconds(retry) == (step, 2 * step if is_stepwise else step)


async def test_a_file_that_can_take_long_is_alone_in_its_turn(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, IngestOptions())
    for name in ("a.png", "b.png", "c", "d", "e.pdf", "f.png", "g.txt"):
        await submit(stage, name)
    turns = []
    for _ in range(5):
        requests = [job.request for job in await stage.queue.take()]
        turns.append([each.name for each in requests if isinstance(each, messages.DecodeRequest)])
    assert turns == [["a.png", "b.png"], ["c"], ["d"], ["e.pdf"], ["f.png", "g.txt"]]
