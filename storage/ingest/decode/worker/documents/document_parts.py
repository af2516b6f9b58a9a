"""Turn the blocks of a document into passages and pictures for the parent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.documents.blocks import Block, Document
from sightline.storage.ingest.decode.worker.image import load_upright
from sightline.storage.ingest.decode.worker.passages import split_text
from sightline.storage.ingest.decode.worker.worker_context import (
    FRAME_CHARS,
    FRAME_PASSAGES,
    WorkerContext,
)

_MAX_PICTURES = 500
_MIN_PICTURE_EDGE = 40  # smaller ones are bullets and rules
_MIN_SECTION_CHARS = 400  # a heading starts a new chunk after so much text
_MAX_BUFFER_CHARS = 64 << 10
_MAX_PATH_CHARS = 200

_TextKind = Literal["chunk", "row", "note"]


def document_parts(
    document: Document, context: WorkerContext, request: messages.DecodeRequest
) -> Iterator[messages.JobPart]:
    """Yield the passages and pictures of a document in reading order.

    A chunk that continues a section begins with its headings. Pictures that cannot be read, and
    text beyond the limits, are warnings. Raises MediaError ``empty`` if there is neither.
    """
    writer = _DocumentWriter(context, request)
    waiting: Block | None = None
    for block in document.blocks:
        context.report_alive()
        if waiting is not None:
            has_caption = block.is_caption
            lines = dict.fromkeys((waiting.text, block.text) if has_caption else (waiting.text,))
            yield from writer.add(waiting._replace(text="\n".join(filter(None, lines))))
            waiting = None
            if has_caption:
                continue
        if block.kind == "picture":
            waiting = block  # its caption may follow
        else:
            yield from writer.add(block)
        if writer.is_full:
            break
    if waiting is not None:
        yield from writer.add(waiting)
    yield from writer.end()


@dataclass(slots=True)
class _DocumentWriter:
    """Collects text to chunks, and passages to frames."""

    context: WorkerContext
    request: messages.DecodeRequest
    is_full: bool = False
    _headings: dict[int, str] = field(default_factory=dict)
    _lines: list[str] = field(default_factory=list)
    _chars: int = 0
    _page: int | None = None
    _marks: list[tuple[int, str]] = field(default_factory=list)
    _frame: list[messages.TextPassage] = field(default_factory=list)
    _frame_kind: _TextKind = "chunk"
    _frame_chars: int = 0
    _rows: int = 0
    _count: int = 0
    _pictures: dict[str, int | None] = field(default_factory=dict)
    _ordinal: int = 0
    _unread: int = 0

    def add(self, block: Block) -> Iterator[messages.JobPart]:
        if block.page != self._page:
            yield from self._end_text()
            self._headings.clear()
            self._page = block.page
        text = block.text.strip()
        match block.kind:
            case "heading" if text:
                if self._chars >= _MIN_SECTION_CHARS:
                    yield from self._end_text()
                for level in [each for each in self._headings if each >= block.level]:
                    del self._headings[level]
                self._headings[block.level] = text
                self._add_line(text)
            case "text" | "caption" if text:
                self._add_line(text)
                if self._chars >= _MAX_BUFFER_CHARS:
                    yield from self._end_text()
            case "row" | "note" if text:
                yield from self._end_text()
                yield from self._add_passage(block.kind, text)
            case "picture":
                yield from self._end_text()
                yield from self._end_frame()
                yield from self._add_picture(block)

    def end(self) -> Iterator[messages.JobPart]:
        """Yield what is left, and the warnings. Raises MediaError ``empty``."""
        yield from self._end_text()
        yield from self._end_frame()
        if self._unread:
            reason = f"has {self._unread:,} pictures that cannot be read; their text is kept"
            yield messages.PartWarning(code="pictures_unreadable", reason=reason)
        if self.is_full:
            reason = "has far more content than bytes or rows; the rest is left out"
            yield messages.PartWarning(code="document_cut_short", reason=reason)
        if not self._count:
            raise MediaError("empty", "contains no text and no pictures")

    @property
    def _section(self) -> str:
        return " > ".join(self._headings[level] for level in sorted(self._headings))

    def _add_line(self, text: str) -> None:
        # Where each section starts in the text of the chunk.
        if not self._marks or self._marks[-1][1] != self._section:
            self._marks.append((self._chars, self._section))
        self._lines.append(text)
        self._chars += len(text) + 1

    def _end_text(self) -> Iterator[messages.JobPart]:
        text, marks = "\n".join(self._lines), self._marks
        self._lines, self._marks, self._chars = [], [], 0
        limits = self.context.limits
        if not text or self.is_full:
            return
        room = limits.max_passage_chars - _MAX_PATH_CHARS - 1
        for chunk in split_text(text, limits.chunk_tokens, 0, room):
            start = chunk.chars[0] if chunk.chars else 0
            path = next(path for place, path in reversed(marks) if place <= start)
            begins_with_heading = chunk.text.startswith(path.rpartition(" > ")[2])
            lead = "" if begins_with_heading else path[:_MAX_PATH_CHARS] + "\n"
            yield from self._add_passage("chunk", lead + chunk.text)

    def _add_passage(
        self, kind: _TextKind, text: str, asset: int | None = None
    ) -> Iterator[messages.JobPart]:
        if kind != self._frame_kind or self._frame_chars >= FRAME_CHARS:
            yield from self._end_frame()
        self._rows += kind == "row"
        text = text[: self.context.limits.max_passage_chars]
        if self._rows > self.context.limits.max_rows or not self.context.output.take_passage(text):
            self.is_full = True
        if self.is_full:
            return
        self._count += 1
        self._frame_kind = kind
        self._frame.append(messages.TextPassage(text, page=self._page, asset=asset))
        self._frame_chars += len(text)
        if len(self._frame) >= FRAME_PASSAGES:
            yield from self._end_frame()

    def _end_frame(self) -> Iterator[messages.JobPart]:
        if self._frame and not self.request.metadata_only:
            yield messages.TextPassages(self._frame_kind, self._frame)
        self._frame, self._frame_chars = [], 0

    def _add_picture(self, block: Block) -> Iterator[messages.JobPart]:
        """Yield a picture with its text, the first time that it is in the document."""
        key = block.name
        if key in self._pictures or self.is_full or block.picture is None:
            if key not in self._pictures and block.text:
                yield from self._add_passage("chunk", f"[Picture] {block.text}")
            return
        self._pictures[key] = None
        if self._ordinal >= _MAX_PICTURES or not self.context.has_room_for_picture():
            self.is_full = True
            return
        if self.context.clock.seconds > self.request.work_seconds:
            self.is_full = True
            return
        try:
            image = load_upright(block.picture(), self.context.limits.max_pixels)
        except (MediaError, OSError, ValueError, SyntaxError, EOFError):
            self._unread += 1
            if block.text:
                yield from self._add_passage("chunk", f"[Picture] {block.text}")
            return
        if min(image.size) < _MIN_PICTURE_EDGE:
            return
        ordinal, self._ordinal = self._ordinal, self._ordinal + 1
        self._pictures[key] = ordinal
        self._count += 1
        words = [f"[Picture {ordinal + 1}]", *([f"({self._section})"] if self._section else [])]
        text = " ".join([*words, block.text] if block.text else words)
        yield from self._add_passage("chunk", text, ordinal)
        yield from self._end_frame()
        if not self.request.metadata_only:
            facts = {"kind": "image", "ordinal": ordinal, "page": self._page}
            yield from self.context.picture_parts(image, 1, **facts)
        yield from self.context.region_parts(image, self.request, ordinal, page=self._page)
