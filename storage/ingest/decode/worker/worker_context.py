"""What a worker works with, and the parts that it sends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from PIL import Image

from sightline.storage.ingest.decode.worker.image import Picture
from sightline.storage.ingest.decode.worker.worker_protocol import Header, pack
from sightline.storage.interfaces import Pixels, OcrLine, OcrEngine

Frame = list[bytes | memoryview]
Parts = Iterator[Frame]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker refuses, and how finely it looks."""

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


class Wanted(NamedTuple):
    """What is wanted of each picture of a source; see `jobs.Request`."""

    look_only: bool
    ocr: str
    tiles: bool
    unread: tuple[int, ...] = ()
    subtitles: bool = False


@dataclass(slots=True)
class Tools:
    """``reader`` reads text in pictures; ``spent`` is what it and others took, in seconds."""

    preprocess: Callable[[Image.Image], Pixels]
    limits: Limits
    reader: OcrEngine | None = None
    spent: dict[str, float] = field(default_factory=dict)

    def read_lines(self, image: Image.Image, mode: str) -> Iterator[OcrLine]:
        """The text in an upright RGB picture; ``mode`` is ``off``, ``on`` or ``auto``."""
        if self.reader is None or mode == "off":
            return
        started = time.perf_counter()
        try:
            if mode == "on" or self.reader.has_text(image):
                yield from self.reader.read(image)
        finally:
            spent = time.perf_counter() - started
            self.spent["ocr"] = self.spent.get("ocr", 0.0) + spent


def picture_part(picture: Picture, content: bytes | None = None, **said: Any) -> Frame:
    """A picture; ``content`` is the bytes of one that is no file of its own."""
    header: Header = {
        "part": "picture",
        "kind": "image",
        "ordinal": 0,
        "width": picture.width,
        "height": picture.height,
        "shape": picture.pixels.shape,
        "thumbnail_size": picture.thumbnail_size,
        "perceptual_hash": picture.perceptual_hash,
        "taken": picture.taken,
        **said,
    }
    blobs: list[bytes | memoryview] = [picture.pixels.data.cast("B"), picture.thumbnail]
    return pack(header, [*blobs, content] if content is not None else blobs)


def lines_part(kind: str, lines: Sequence[OcrLine], *, on: int, **said: Any) -> Frame:
    """Lines of ``ocr`` or ``page_text``, and where they stand."""
    rows = [[line.text, list(line.box), line.confidence] for line in lines]
    return pack({"part": "lines", "kind": kind, "on": on, "lines": rows, **said})


def read_parts(image: Image.Image, tools: Tools, wanted: Wanted, on: int, **said: Any) -> Parts:
    """The text in an upright RGB picture, which is the one of ordinal ``on`` of its source.

    Announced first: should this process not come back from it, the parent knows what it was at.
    """
    if tools.reader is None or wanted.ocr == "off" or on in wanted.unread:
        return
    yield pack({"part": "reading", "on": on})
    yield lines_part("ocr", list(tools.read_lines(image, wanted.ocr)), on=on, **said)


def passages_part(kind: str, passages: Sequence[dict[str, Any]]) -> Frame:
    """Passages of ``row`` or ``subtitle``: ``text``, and ``chars`` or ``seconds``, a start and an
    end each.
    """
    rows = json.dumps(passages).encode("ascii")
    return pack({"part": "passages", "kind": kind}, [rows])


def problem_part(code: str, reason: str) -> Frame:
    """What is wrong with a piece of a source, and costs no more than that."""
    return pack({"part": "problem", "code": code, "reason": reason})
