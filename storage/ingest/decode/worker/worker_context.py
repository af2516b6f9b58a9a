"""State of a worker, and the parts that images of all sources have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.output_budget import OutputBudget
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.image import cut_tiles, encode_image
from sightline.storage.ingest.decode.worker.media.subtitles import SubtitleCue, join_sentences
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.interfaces import OcrEngine, OcrProblem, OcrReading, Pixels
from sightline.storage.types import Box

ALIVE_SECONDS = 2.0
FRAME_CHARS, FRAME_PASSAGES = 32_768, 2_000
"""Of one message: it is parsed in one piece."""
_PIECE_CHARS = 1_000
# OCR ends before its worker would be killed.
_OCR_SHARE = 0.6
_OCR_PROBLEMS: dict[OcrProblem, str] = {
    "small print": "print too small to read; add a larger picture",
    "unknown script": "print of a script that no OCR model of this collection reads; see "
    "`sightline ingest --ocr-languages`",
    "cut short": "has more text than OCR reads in time; the rest is left out",
}
_THUMBNAIL_BYTES = 64 << 10  # more than any has
_MIN_PICTURE_BYTES = 24 << 10


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
    """State of one worker.

    ``clock``, ``stage_seconds`` and ``output`` are of the current job.
    """

    preprocess: Callable[[Image.Image], Pixels]
    limits: IngestOptions
    ocr_engine: OcrEngine | None = None
    send_alive: Callable[[], None] = lambda: None
    clock: WorkClock = field(default_factory=WorkClock)
    stage_seconds: dict[str, float] = field(default_factory=dict)
    output: OutputBudget = field(init=False)

    _alive_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.begin_source(0)

    def begin_source(self, size: int, name: str = "") -> None:
        """Start to count what a file of ``size`` bytes becomes."""
        self.output = OutputBudget(self.limits, size, name)

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
        reading = OcrReading([])
        with self.timed("ocr"):
            if request.ocr == "on" or self.ocr_engine.has_text(image):
                max_seconds = _OCR_SHARE * self.limits.file_timeout_seconds
                reading = self.ocr_engine.read(image, max_seconds)
        rows = [(line.text, line.box, line.confidence) for line in reading.lines]
        starts = [line.starts_row for line in reading.lines if line.starts_row is not None]
        known = starts if len(starts) == len(rows) else None
        yield from self.line_parts("ocr", asset, rows, page, start_seconds, known)
        if reading.problem is not None:
            where = "" if page is None else f"page {page}: "
            reason = f"{where}{_OCR_PROBLEMS[reading.problem]}"
            yield messages.PartWarning(code="unreadable", reason=reason)
            if not reading.lines:
                yield messages.AssetReading(asset, "unreadable")

    def has_room_for_picture(self) -> bool:
        """Return whether one more page or frame of the source can be stored."""
        return self.output.picture_bytes_left >= _THUMBNAIL_BYTES + _MIN_PICTURE_BYTES

    def picture_parts(
        self, image: Image.Image, max_images: int, **facts: Any
    ) -> Iterator[messages.ImagePart]:
        """Yield a page or frame; ``max_images`` of the source share the room for pictures.

        ``facts`` are those of `encode_image`.
        """
        share = self.output.max_picture_bytes // max(1, max_images)
        room = min(share, self.output.picture_bytes_left) - _THUMBNAIL_BYTES
        max_bytes = max(room, _MIN_PICTURE_BYTES)
        part = encode_image(image, self.preprocess, max_bytes, **facts)
        if not self.output.take_picture(part.content, part.thumbnail):
            raise MediaError("too_large", "has more pictures than can be stored")
        yield part

    def line_parts(
        self,
        kind: messages.LineKind,
        asset: int,
        lines: Iterable[tuple[str, Box, float]],
        page: int | None = None,
        start_seconds: float | None = None,
        row_starts: Sequence[bool] | None = None,
    ) -> Iterator[messages.JobPart]:
        """Yield lines of an image; those above the limit of the source are left out."""
        had_room = self.output.chars_left >= 0
        kept = []
        starts: list[bool] | None = None if row_starts is None else []
        for number, (text, box, confidence) in enumerate(lines):
            pieces = [text[at : at + _PIECE_CHARS] for at in range(0, len(text), _PIECE_CHARS)]
            taken = [(each, box, confidence) for each in pieces if self.output.take_line(each)]
            if starts is not None and row_starts is not None and taken:
                starts += [row_starts[number], *[False] * (len(taken) - 1)]
            kept += taken
            if self.output.chars_left < 0:
                break
        yield messages.TextLines(kind, asset, kept, page, start_seconds, starts)
        if had_room and self.output.chars_left < 0:
            reason = "has far more text than bytes; the rest of the text is left out"
            yield messages.PartWarning(code="text_cut_short", reason=reason)

    def passage_parts(
        self,
        kind: Literal["row", "subtitle", "chunk"],
        passages: Iterable[messages.TextPassage],
    ) -> Iterator[messages.TextPassages]:
        """Yield passages in frames. Raises MediaError ``too_large``."""
        frame: list[messages.TextPassage] = []
        size = 0
        for passage in passages:
            if not self.output.take_passage(passage.text):
                raise MediaError("too_large", _TOO_MUCH_TEXT[kind])
            frame.append(passage)
            size += len(passage.text)
            if size >= FRAME_CHARS or len(frame) >= FRAME_PASSAGES:
                yield messages.TextPassages(kind, frame)
                frame, size = [], 0
        if frame:
            yield messages.TextPassages(kind, frame)


_TOO_MUCH_TEXT = {
    "row": "has rows that become far more text than the file has; shorten the names of its columns",
    "subtitle": "has subtitles that become far more text than the file has",
    "chunk": "becomes far more text than it has; the overlap of chunks is too large",
}


def subtitle_passages(cues: Iterable[SubtitleCue]) -> Iterator[messages.TextPassage]:
    """Yield subtitles joined to sentences."""
    for cue in join_sentences(cues):
        yield messages.TextPassage(cue.text, seconds=(cue.start, cue.end))
