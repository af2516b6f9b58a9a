"""Have the passages of decoded sources analyzed by the workers.

In a thread of the server, the analysis of a long text would slow down all other calls, and nobody
could end it.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sightline.storage.errors import MediaError
from sightline.storage.ingest import stage_types as stages
from sightline.storage.ingest.decode.decode_queue import AmountSemaphore, DecodeQueue
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker_pool import Job, WorkBudget
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.text.analyzer import (
    MAX_FREQUENCY,
    MAX_TERM_CHARS,
    MAX_TOKENS,
    is_stemmed,
)

SHORT_CHARS = 1_000
"""Passages of a source that have fewer characters in all are analyzed later, without a worker."""
# The answer for a group is parsed in one piece, and has about four times its characters.
_GROUP_CHARS = 32_768
_MAX_TSVECTOR_CHARS = 1_000_000
_TSVECTOR = re.compile(
    r"(?:'(?:[^'\\]|''|\\\\){1,128}'(?::[1-9]\d{0,4}(?:,[1-9]\d{0,4})*+)?+(?: (?=')|\Z))*+"
)


@dataclass(slots=True)
class TextAnalyzer:
    """Passes decoded sources on to ``decoded``, long ones with their analyses.

    ``waiting`` bounds the characters of analyzed passages that are not written yet.
    """

    queue: DecodeQueue
    decoded: asyncio.Queue[stages.DecodedSource | stages.FailedSource | None]
    waiting: AmountSemaphore
    options: IngestOptions

    async def submit(self, source: stages.DecodedSource, *, wait: bool = False) -> None:
        """Add the passages of sidecar and metadata, and analyze all.

        ``wait`` for room in the queue, unless the caller is a worker's task, which makes the room.
        """
        passages = tuple(_passages(source))
        chars = sum(len(each.text) for each in passages)
        source = replace(source, passages=passages, text_chars=chars)
        if chars <= SHORT_CHARS:
            await self.finish(source)
            return
        job = _Analysis(self, source).next_job()
        await (self.queue.put_decode(job) if wait else self.queue.requeue(job))

    async def finish(self, source: stages.DecodedSource) -> None:
        """Pass on a source when there is room for its text."""
        await self.waiting.acquire(source.text_chars)
        await self.decoded.put(source)


@dataclass(slots=True)
class _Analysis:
    """Analyzes one source in groups of passages, one after another."""

    _analyzer: TextAnalyzer
    _source: stages.DecodedSource
    _groups: deque[list[str]] = field(init=False)
    _budget: WorkBudget = field(init=False)
    _analyses: list[messages.PackedAnalysis] = field(default_factory=list)
    _answer: list[messages.PackedAnalysis] | None = None

    def __post_init__(self) -> None:
        options = self._analyzer.options
        seconds = options.analysis_seconds(self._source.hashed.byte_size or 0)
        self._budget = WorkBudget(seconds, options.file_timeout_seconds)
        self._groups = deque(_grouped(self._source.passages))

    def next_job(self) -> Job:
        request = messages.AnalyzeRequest(self._groups[0])
        return Job(request, self._on_part, self._on_done, self._on_failed, self._budget)

    async def _on_part(self, part: messages.JobPart) -> None:
        if not isinstance(part, messages.TextAnalyses) or self._answer is not None:
            raise messages.ProtocolError(f"a {type(part).__name__} for texts")
        if len(part.analyses) != len(self._groups[0]):
            raise messages.ProtocolError(f"{len(part.analyses)} analyses of one request")
        for each in part.analyses:
            check_analysis(each)
        self._answer = part.analyses

    async def _on_done(self) -> None:
        if self._answer is None:
            raise messages.ProtocolError("no analyses of a request")
        self._analyses += self._answer
        self._answer = None
        self._groups.popleft()
        if self._groups:
            await self._analyzer.queue.requeue(self.next_job())
        else:
            source = replace(self._source, analyses=tuple(self._analyses))
            await self._analyzer.finish(source)

    async def _on_failed(self, error: MediaError) -> None:
        source = replace(self._source, passages=(), text_chars=0)
        await self._analyzer.decoded.put(stages.fail_source(source, error))


def check_analysis(analysis: messages.PackedAnalysis) -> None:
    """Raise ProtocolError for an analysis that Postgres would refuse."""
    terms = analysis.terms.split("\n") if analysis.terms else []
    counts = analysis.frequencies
    if (
        len(terms) != len(counts)
        or len(set(terms)) != len(terms)
        or max(map(len, terms), default=0) > MAX_TERM_CHARS
        or not all(terms)
        or min(counts, default=1) < 1
        or max(counts, default=1) > MAX_FREQUENCY
        or not 0 <= analysis.token_count <= MAX_TOKENS
        or len(analysis.tsvector) > _MAX_TSVECTOR_CHARS
        or not _TSVECTOR.fullmatch(analysis.tsvector)
        or not all(map(is_stemmed, analysis.words.split("\n") if analysis.words else ()))
    ):
        raise messages.ProtocolError("an invalid analysis of a text")


def _passages(decoded: stages.DecodedSource) -> Iterator[stages.PassageDraft]:
    sidecar = decoded.hashed.file.sidecar
    subtitles = sidecar.subtitles if sidecar and decoded.kind in ("video", "audio") else ()
    for draft in decoded.passages:
        # Subtitles in a sidecar replace those in the video file.
        if not (subtitles and draft.kind == "subtitle"):
            yield draft
    # What is said of a document is not said of its first picture, and it may have none.
    described = None if decoded.kind in ("text", "document") else 0
    if decoded.description.caption_text:
        yield stages.PassageDraft("caption", 0, decoded.description.caption_text, asset=described)
    if decoded.description.words:
        yield stages.PassageDraft("metadata", 0, decoded.description.words, asset=described)
    for number, cue in enumerate(subtitles):
        yield stages.PassageDraft("subtitle", number, cue.text, seconds=(cue.start, cue.end))


def _grouped(passages: tuple[stages.PassageDraft, ...]) -> Iterator[list[str]]:
    group: list[str] = []
    size = 0
    for passage in passages:
        group.append(passage.indexed_text)
        size += len(group[-1])
        if size >= _GROUP_CHARS:
            yield group
            group, size = [], 0
    if group:
        yield group
