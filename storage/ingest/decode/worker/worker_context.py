"""State of a worker, and the parts that images of all sources have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from PIL import Image

from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.image import cut_tiles
from sightline.storage.ingest.decode.worker.subtitles import SubtitleCue, join_sentences
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.interfaces import OcrEngine, OcrLine, Pixels

ALIVE_SECONDS = 2.0


class WorkClock:
    """Measures the work of a job, without its waits for the parent."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._started, self._waited = time.perf_counter(), 0.0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started - self._waited

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Do not count the time of the block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._waited += time.perf_counter() - started


@dataclass(slots=True)
class WorkerContext:
    """State of one worker. ``clock`` and ``stage_seconds`` are of the current job."""

    preprocess: Callable[[Image.Image], Pixels]
    limits: IngestOptions
    ocr_engine: OcrEngine | None = None
    send_alive: Callable[[], None] = lambda: None
    clock: WorkClock = field(default_factory=WorkClock)
    stage_seconds: dict[str, float] = field(default_factory=dict)

    _alive_at: float = field(default_factory=time.monotonic)

    def report_alive(self) -> None:
        """Tell the parent every few seconds that a long step makes progress."""
        if (now := time.monotonic()) - self._alive_at > ALIVE_SECONDS:
            self._alive_at = now
            self.send_alive()

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            self.stage_seconds[stage] = self.stage_seconds.get(stage, 0.0) + seconds

    def region_parts(
        self,
        image: Image.Image,
        request: messages.DecodeRequest,
        asset: int,
        *,
        page: int | None = None,
        start_seconds: float | None = None,
    ) -> Iterator[messages.JobPart]:
        """Yield tiles and OCR lines of an upright RGB image, as far as they are requested.

        ``asset`` is the ordinal of the image.
        """
        if request.tiles:
            yield from cut_tiles(image, asset, self.preprocess)
        if self.ocr_engine is None or request.ocr == "off" or asset in request.skip_ocr:
            return
        yield messages.OcrStarted(asset=asset)
        lines: list[OcrLine] = []
        with self.timed("ocr"):
            if request.ocr == "on" or self.ocr_engine.has_text(image):
                lines = self.ocr_engine.read(image)
        rows = [(line.text, line.box, line.confidence) for line in lines]
        yield messages.TextLines("ocr", asset, rows, page, start_seconds)


def subtitle_passages(cues: Iterable[SubtitleCue]) -> messages.TextPassages:
    """Return the message for subtitles, joined to sentences."""
    passages = [
        messages.TextPassage(cue.text, seconds=(cue.start, cue.end)) for cue in join_sentences(cues)
    ]
    return messages.TextPassages("subtitle", passages)
