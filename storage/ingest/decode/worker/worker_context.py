"""Configuration of a worker: limits, preprocessing and OCR engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from PIL import Image

from sightline.storage.ingest.decode.worker.subtitles import SubtitleCue, join_sentences
from sightline.storage.ingest.decode.worker.worker_protocol import (
    DecodeRequest,
    JobPart,
    OcrStarted,
    TextLines,
    TextPassage,
    TextPassages,
)
from sightline.storage.interfaces import OcrEngine, OcrLine, Pixels


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Limits of one worker; the fields are explained in `IngestOptions`."""

    max_file_bytes: int
    max_text_bytes: int
    max_pixels: int
    memory_mib: int
    max_rows: int = 100_000
    max_pages: int = 2000
    page_dpi: int = 150
    page_pixels: int = 4_000_000
    max_video_bytes: int = 4 << 30
    max_video_seconds: int = 4 * 3600
    max_video_frames: int = 300
    frame_seconds: int = 10
    max_video_work_seconds: int = 1800


@dataclass(slots=True)
class WorkerContext:
    """State of one worker. ``stage_seconds`` are of the current job."""

    preprocess: Callable[[Image.Image], Pixels]
    limits: WorkerLimits
    ocr_engine: OcrEngine | None = None
    stage_seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            self.stage_seconds[stage] = self.stage_seconds.get(stage, 0.0) + seconds

    def ocr_parts(
        self,
        image: Image.Image,
        request: DecodeRequest,
        asset: int,
        *,
        page: int | None = None,
        start_seconds: float | None = None,
    ) -> Iterator[JobPart]:
        """Yield the OCR lines of an upright RGB image, announced by `OcrStarted`."""
        if self.ocr_engine is None or request.ocr == "off" or asset in request.skip_ocr:
            return
        yield OcrStarted(asset=asset)
        lines: list[OcrLine] = []
        with self.timed("ocr"):
            if request.ocr == "on" or self.ocr_engine.has_text(image):
                lines = self.ocr_engine.read(image)
        yield text_lines(lines, "ocr", asset, page=page, start_seconds=start_seconds)


def text_lines(
    lines: list[OcrLine],
    kind: Literal["ocr", "page_text"],
    asset: int,
    *,
    page: int | None = None,
    start_seconds: float | None = None,
) -> TextLines:
    """Return the message for lines of one image."""
    return TextLines(
        kind=kind,
        asset=asset,
        lines=[(line.text, line.box, line.confidence) for line in lines],
        page=page,
        start_seconds=start_seconds,
    )


def subtitle_passages(cues: Iterable[SubtitleCue]) -> TextPassages:
    """Return the message for subtitles, joined to sentences."""
    passages = [
        TextPassage(text=cue.text, seconds=(cue.start, cue.end)) for cue in join_sentences(cues)
    ]
    return TextPassages(kind="subtitle", passages=passages)
