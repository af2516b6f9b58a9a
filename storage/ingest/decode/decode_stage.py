"""Send sources to the workers for decoding, and collect the parts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import tzinfo

import numpy as np

from sightline.storage.blobs import BlobStore
from sightline.storage.errors import MediaError
from sightline.storage.ingest import stage_types as stages
from sightline.storage.ingest.decode.decode_planner import DecodePlanner
from sightline.storage.ingest.decode.decode_queue import DecodeQueue
from sightline.storage.ingest.decode.ocr_layout import (
    TextBlock,
    group_lines,
    join_hyphenated,
    normalize_box,
)
from sightline.storage.ingest.decode.output_budget import OutputBudget
from sightline.storage.ingest.decode.text_analysis import TextAnalyzer
from sightline.storage.ingest.decode.transcription import (
    SourceSpeech,
    SpeechStage,
    speech_passage,
)
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.image import TILE_SCHEME
from sightline.storage.ingest.decode.worker_pool import Job, WorkBudget
from sightline.storage.ingest.discover.sidecars import WarningSink
from sightline.storage.ingest.formats import is_stepwise
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.metadata.embedded_metadata import NO_METADATA, EmbeddedMetadata
from sightline.storage.ingest.metadata.source_description import SourceDescription, describe_source
from sightline.storage.interfaces import OcrLine, Pixels
from sightline.storage.types import Reading

# Errors after which a worker that was running OCR is gone.
_WORKER_LOST = ("timeout", "crashed", "out_of_memory")
_MAX_PAGE = 1_000_000
_MAX_OCR_FAILURES = 3  # per source; after each one the whole source is decoded again


@dataclass(slots=True)
class DecodeStage:
    """Sends sources to the workers.

    Pixels go to ``requests`` as soon as they arrive; decoded sources go to ``analyzer``, and failed
    ones to ``decoded``.
    """

    queue: DecodeQueue
    requests: asyncio.Queue[stages.EncodeRequest | None]
    decoded: asyncio.Queue[stages.DecodedSource | stages.FailedSource | None]
    analyzer: TextAnalyzer
    speech: SpeechStage
    planner: DecodePlanner
    zone: tzinfo
    warn: WarningSink
    blobs: BlobStore
    options: IngestOptions

    async def submit(self, source: stages.AcceptedSource) -> None:
        """Queue a source; one that needs no decoding is finished at once."""
        file = source.hashed.file
        if isinstance(source, stages.ChangedSource):
            existing = source.existing
            # Any other file is opened for its metadata, which the sidecar completes.
            if existing.kind == "text" and not self.planner.needs_decode(existing, file):
                description = await self.describe(source, existing.kind, NO_METADATA)
                decoded = stages.DecodedSource(source, existing.kind, description=description)
                await self.analyzer.submit(decoded, wait=True)
                return
        work_seconds = self.options.work_seconds(file.name, source.hashed.byte_size or 0)
        await self.queue.put_decode(_DecodeAttempt(self, source, work_seconds).job())

    async def describe(
        self, source: stages.AcceptedSource, kind: str, embedded: EmbeddedMetadata
    ) -> SourceDescription:
        """Return what sidecar, metadata and name say about a source."""
        file = source.hashed.file
        return await describe_source(
            file.name, kind, file.sidecar, embedded, self.options, self.zone, self.warn
        )


@dataclass(slots=True)
class _DecodeAttempt:
    """Collects the parts of one source from one worker.

    If the worker is lost during OCR, a second attempt decodes the source without OCR of that image.
    """

    _stage: DecodeStage
    _source: stages.AcceptedSource
    _work_seconds: float
    _skip_ocr: tuple[int, ...] = ()
    _stored_blobs: list[str] = field(default_factory=list)
    _ocr_asset: int | None = None
    _assets: list[stages.Encoding[stages.AssetDraft]] = field(default_factory=list)
    _tiles: list[stages.Encoding[stages.RegionDraft]] = field(default_factory=list)
    _ocr_lines: list[stages.RegionDraft] = field(default_factory=list)
    _passages: list[stages.PassageDraft] = field(default_factory=list)
    _readings: dict[int, Reading] = field(default_factory=dict)
    _info: messages.SourceInfo | None = None
    _budget: WorkBudget = field(init=False)
    _output: OutputBudget = field(init=False)
    _speech: SourceSpeech = field(init=False)

    def __post_init__(self) -> None:
        size = self._source.hashed.byte_size or 0
        name, longest = self._source.hashed.file.name, self._stage.options.max_video_seconds
        self._speech = SourceSpeech(self._stage.speech, name, longest)
        self._output = OutputBudget(self._stage.options, size, name)
        step = self._stage.options.file_timeout_seconds
        total = self._work_seconds
        if is_stepwise(self._source.hashed.file.name):
            # The worker ends in time by itself: it looks at its clock between two steps.
            total += step
        self._budget = WorkBudget(total, step)

    @property
    def _existing(self) -> stages.ExistingSource | None:
        return self._source.existing if isinstance(self._source, stages.ChangedSource) else None

    @property
    def _needs_speech(self) -> bool:
        return self._stage.planner.needs_speech(self._existing)

    def job(self) -> Job:
        hashed, planner = self._source.hashed, self._stage.planner
        ocr = planner.needs_ocr(self._existing) and len(self._skip_ocr) <= _MAX_OCR_FAILURES
        request = messages.DecodeRequest(
            name=hashed.file.name,
            path=hashed.file.path,
            data=hashed.file.data,
            sha256=hashed.content_key.hex(),
            stamp=hashed.stamp,
            metadata_only=self._existing is not None,
            ocr=planner.ocr_mode if ocr else "off",
            tiles=planner.needs_tiles(self._existing),
            subtitles=planner.needs_subtitles(self._existing, hashed.file),
            speech=self._needs_speech and self._stage.speech.is_available,
            skip_ocr=self._skip_ocr,
            work_seconds=self._work_seconds,
        )
        return Job(request, self._on_part, self._on_done, self._on_failed, self._budget)

    async def _on_part(self, part: messages.JobPart) -> None:
        self._ocr_asset = None
        try:
            match part:
                case messages.ImagePart():
                    await self._add_image(part)
                case messages.TilePart():
                    self._require(room=self._output.take_tile())
                    box = normalize_box(part.box)
                    tile = stages.RegionDraft("tile", part.asset, part.ordinal, box)
                    self._tiles.append(stages.Encoding(tile, await self._encode(part)))
                case messages.AssetReading():
                    self._require(room=0 <= part.asset < self._output.max_images)
                    self._readings[part.asset] = part.reading
                case messages.OcrStarted():
                    self._ocr_asset = part.asset
                case messages.SoundPart():
                    await self._speech.add(part)
                case messages.TextLines():
                    self._add_lines(part)
                case messages.TextPassages():
                    self._add_passages(part)
                case messages.PartWarning():
                    name = self._source.hashed.file.name
                    self._stage.warn(part.code[:40], name, part.reason[:500])
                case messages.SourceInfo():
                    self._info = part
                case _:
                    raise messages.ProtocolError(f"a {type(part).__name__} for a source")
        except ValueError as error:
            raise messages.ProtocolError(f"an invalid part: {error}") from error

    async def _on_done(self) -> None:
        if self._info is None:
            raise messages.ProtocolError("the end of a source without its facts")
        description = await self._stage.describe(self._source, self._info.kind, self._info.embedded)
        is_transcribed = await self._add_speech(self._info)
        decoded = self._decoded(self._info, description, is_transcribed=is_transcribed)
        if self._info.sha256 == self._source.hashed.content_key.hex():
            await self._stage.analyzer.submit(decoded)
            return
        failure = MediaError("changed", "changed while it was decoded; run the ingest again")
        await self._stage.decoded.put(stages.fail_source(decoded, failure))

    async def _add_speech(self, info: messages.SourceInfo) -> bool:
        """Add what is said; return whether the sound was transcribed."""
        if info.kind not in ("video", "audio"):
            return False
        seconds = min(max(0.0, info.sound_seconds), self._stage.options.max_video_seconds)
        cues = await self._speech.finish()
        for cue in cues:
            length = seconds if info.kind == "audio" else None
            self._passages.append(speech_passage(cue, len(self._passages), length))
        is_done = self._needs_speech and self._stage.speech.is_available
        if not is_done and seconds and self._existing is None:
            self._stage.speech.skip(self._source.hashed.file.name, seconds)
        return is_done and self._speech.error is None

    async def _on_failed(self, error: MediaError) -> None:
        stored = self._stored_blobs
        if self._ocr_asset is not None and error.code in _WORKER_LOST:
            reason = f"OCR of image {self._ocr_asset + 1} failed ({error}); the next run retries it"
            self._stage.warn("ocr_failed", self._source.hashed.file.name, reason)
            skip_ocr = (*self._skip_ocr, self._ocr_asset)
            # All attempts share the time, but each can be a whole step.
            step = self._stage.options.file_timeout_seconds
            left = max(step, self._work_seconds - self._budget.used_seconds)
            retry = _DecodeAttempt(self._stage, self._source, left, skip_ocr, stored)
            await self._stage.queue.requeue(retry.job())
            return
        partial = stages.DecodedSource(self._source, "unknown", stored_blobs=tuple(stored))
        await self._stage.decoded.put(stages.fail_source(partial, error))

    def _decoded(
        self, info: messages.SourceInfo, description: SourceDescription, *, is_transcribed: bool
    ) -> stages.DecodedSource:
        planner = self._stage.planner
        has_images = info.kind != "text"
        ocr_engine = None
        if has_images and planner.needs_ocr(self._existing):
            # "late" makes the next run retry the images whose OCR failed.
            ocr_engine = f"late: {planner.ocr_engine}" if self._skip_ocr else planner.ocr_key
        tiled = has_images and planner.needs_tiles(self._existing)
        return stages.DecodedSource(
            source=self._source,
            kind=info.kind,
            mime_type=info.mime_type[:100] if info.mime_type else None,
            description=description,
            assets=tuple(self._assets),
            tiles=tuple(self._tiles),
            ocr_lines=tuple(self._ocr_lines),
            passages=tuple(self._passages),
            readings=self._readings,
            ocr_engine=ocr_engine,
            transcriber=planner.transcriber if is_transcribed else None,
            tile_scheme=TILE_SCHEME if tiled else None,
            stored_blobs=tuple(self._stored_blobs),
        )

    async def _add_image(self, part: messages.ImagePart) -> None:
        # A picture inside of a document has its own content, as pages and frames have.
        if part.content is None and part.kind != "image":
            raise messages.ProtocolError(f"wrong content for a part of kind {part.kind!r}")
        self._require(room=self._output.take_picture(part.content, part.thumbnail))
        content_sha256 = None
        if part.content is not None:
            location = await asyncio.to_thread(self._stage.blobs.put, part.content)
            self._stored_blobs.append(location)
            content_sha256 = bytes.fromhex(location.removeprefix("object:"))
        seconds = None if part.frame_seconds is None else max(0.0, part.frame_seconds)
        facts = part._replace(pixels=b"", content=None, frame_seconds=seconds)
        draft = stages.AssetDraft(facts, content_sha256)
        self._assets.append(stages.Encoding(draft, await self._encode(part)))

    async def _encode(
        self, part: messages.ImagePart | messages.TilePart
    ) -> asyncio.Future[stages.Vector | MediaError | None]:
        vector: asyncio.Future[stages.Vector | MediaError | None] = (
            asyncio.get_running_loop().create_future()
        )
        if isinstance(part, messages.ImagePart) and part.kind == "audio":
            vector.set_result(None)  # a waveform looks like any other
            return vector
        await self._stage.requests.put(stages.EncodeRequest(pixels_of(part), vector))
        return vector

    def _add_lines(self, part: messages.TextLines) -> None:
        """Add passages and, for OCR, one region per line, so that words have a position."""
        longest = self._stage.options.max_passage_chars
        self._require(
            room=all(
                self._output.take_line(text) and len(text) <= longest for text, *_ in part.lines
            )
        )
        starts = part.row_starts
        self._require(room=starts is None or len(starts) == len(part.lines))
        lines = [
            OcrLine(
                text,
                normalize_box(box),
                min(max(confidence, 0.0), 1.0),
                starts_row=None if starts is None else starts[number],
            )
            for number, (text, box, confidence) in enumerate(part.lines)
            if text.strip()
        ]
        if part.kind == "ocr":
            self._ocr_lines += [
                stages.RegionDraft(
                    "ocr_line",
                    part.asset,
                    number,
                    line.box,
                    join_hyphenated(line.text)[0],
                    line.confidence,
                )
                for number, line in enumerate(lines)
            ]
        blocks = (
            [TextBlock(line.text, line.box, line.confidence) for line in lines]
            if part.kind in ("note", "field")
            else group_lines(lines, paragraphs=part.kind == "page_text")
        )
        for block in blocks:
            text, parts = join_hyphenated(block.text)
            passage = stages.PassageDraft(
                part.kind,
                len(self._passages),
                text,
                parts=parts,
                asset=part.asset,
                page=part.page,
                seconds=None if part.start_seconds is None else (part.start_seconds, None),
                box=block.box,
                confidence=block.confidence if part.kind == "ocr" else None,
            )
            self._passages.append(passage)

    def _add_passages(self, part: messages.TextPassages) -> None:
        options = self._stage.options
        for each in part.passages:
            self._require(
                room=self._output.take_passage(each.text)
                and len(each.text) <= options.max_passage_chars
                and (each.page is None or 1 <= each.page <= _MAX_PAGE)
            )
            seconds = each.seconds
            if seconds is not None:
                seconds = (max(0.0, seconds[0]), max(0.0, seconds[1]))
            number = len(self._passages)
            passage = stages.PassageDraft(
                part.kind,
                number,
                each.text,
                asset=each.asset,
                page=each.page,
                seconds=seconds,
                chars=each.chars,
            )
            self._passages.append(passage)

    def _require(self, *, room: bool) -> None:
        """Raise ProtocolError for a worker that sends more than it may."""
        if not room:
            raise messages.ProtocolError("more text or pictures than the file can have")


def pixels_of(part: messages.ImagePart | messages.TilePart) -> Pixels:
    """Return the encoder input of a part. Raises ProtocolError for a wrong shape."""
    try:
        return np.frombuffer(part.pixels, np.uint8).reshape(part.shape)
    except ValueError as error:
        raise messages.ProtocolError(f"pixels of a wrong shape: {error}") from error
