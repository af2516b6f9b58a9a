"""Measure CPU seconds of the decoder per minute of video or sound.

    python -m benchmarks media_cost -- FILE...

Sound includes the pieces for a transcriber, but not the transcriber. The best of three runs.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path

import numpy as np

from benchmarks.tables import print_table
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.dispatch import run_request
from sightline.storage.ingest.decode.worker.media.media_container import (
    duration_seconds,
    open_media,
)
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.ingest.ingest_options import IngestOptions

_RUNS = 3


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="media_cost", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    rows = []
    for file in parser.parse_args(arguments).files:
        data = file.read_bytes()
        with open_media(io.BytesIO(data), file.name) as container:
            minutes = duration_seconds(container) / 60
        runs = [
            [measure(file.name, data, speech=each) for _ in range(_RUNS)] for each in (False, True)
        ]
        (silent, frames), (heard, _) = (min(each) for each in runs)
        costs = [f"{seconds / max(minutes, 1e-9):.2f}" for seconds in (silent, heard)]
        rows.append([file.name, f"{minutes * 60:.0f}", str(frames), *costs])
    columns = ["file", "seconds", "frames", "CPU s per minute", "with sound"]
    print_table("Cost of video and sound", columns, rows)


def measure(name: str, data: bytes, *, speech: bool) -> tuple[float, int]:
    """Decode a file; return CPU seconds and the number of frames."""
    context = WorkerContext(lambda image: np.asarray(image.resize((224, 224))), IngestOptions())
    request = messages.DecodeRequest(name=name, data=data, sha256="", speech=speech)
    start = time.process_time()
    parts = list(run_request(request, context))
    seconds = time.process_time() - start
    return seconds, sum(isinstance(each, messages.ImagePart) for each in parts)
