"""Plan the decoding of sources, send it to the workers and collect the parts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import tzinfo
from typing import NamedTuple

import numpy as np

from sightline.storage.blobs import BlobStore
from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.capture_time import (
    CaptureTime,
    from_exif,
    from_filename,
    from_text,
    from_video,
)
from sightline.storage.ingest.decode.decode_queue import DecodeQueue
from sightline.storage.ingest.decode.ocr_layout import group_lines, normalize_box
from sightline.storage.ingest.decode.worker.tile_cutter import TILE_SCHEME
from sightline.storage.ingest.decode.worker.worker_protocol import (
    DecodeRequest,
    ImagePart,
    JobPart,
    OcrStarted,
    PartWarning,
    ProtocolError,
    SourceInfo,
    TextContent,
    TextLines,
    TextPassages,
    TilePart,
)
from sightline.storage.ingest.decode.worker_pool import Job
from sightline.storage.ingest.discover.sidecars import Sidecar, WarningSink
from sightline.storage.ingest.ingest_options import OcrMode
from sightline.storage.ingest.stage_types import (
    AcceptedSource,
    AssetDraft,
    ChangedSource,
    DecodedSource,
    EncodeRequest,
    Encoding,
    ExistingSource,
    FailedSource,
    PassageDraft,
    RegionDraft,
    Vector,
    fail_source,
)
from sightline.storage.interfaces import OcrLine, Pixels

# Errors after which a worker that was running OCR is gone.
_WORKER_LOST = ("timeout", "crashed", "out_of_memory")
_MAX_OCR_FAILURES = 3  # per source; after each one the whole source is decoded again


class OcrPolicy(NamedTuple):
    """Whether OCR runs, and with which engine."""

    mode: OcrMode
    engine: str

    @property
    def key(self) -> str:
        """Return what is recorded with a source."""
        return f"{self.mode}: {self.engine}"


class DecodePlanner(NamedTuple):
    """Decides what is decoded of new and existing sources."""

    ocr: OcrPolicy
    tiles: bool

    def needs_ocr(self, existing: ExistingSource | None) -> bool:
        """Return whether OCR is missing, or was by another engine or a weaker mode."""
        if self.ocr.mode == "off" or (existing and existing.kind == "text"):
            return False
        return existing is None or existing.ocr_engine not in (
            self.ocr.key,
            f"on: {self.ocr.engine}",
        )

    def needs_tiles(self, existing: ExistingSource | None) -> bool:
        """Return whether tiles are wanted and missing."""
        if not self.tiles or (existing and existing.kind == "text"):
            return False
        return existing is None or existing.tile_scheme != TILE_SCHEME

    def needs_subtitles(self, existing: ExistingSource | None, sidecar: Sidecar | None) -> bool:
        """Return whether to use embedded subtitles because the sidecar file was removed."""
        return (
            existing is not None
            and existing.kind == "video"
            and (sidecar.sha256 if sidecar else None) != existing.sidecar_sha256
            and not (sidecar and sidecar.subtitles)
        )

    def needs_decode(self, existing: ExistingSource, sidecar: Sidecar | None) -> bool:
        """Return whether the file of an existing source must be opened again."""
        return (
            self.needs_ocr(existing)
            or self.needs_tiles(existing)
            or self.needs_subtitles(existing, sidecar)
        )


@dataclass(slots=True)
class DecodeStage:
    """Sends sources to the workers.

    Pixels go to ``requests`` as soon as they arrive; decoded and failed sources go to ``decoded``.
    """

    queue: DecodeQueue
    requests: asyncio.Queue[EncodeRequest | None]
    decoded: asyncio.Queue[DecodedSource | FailedSource | None]
    planner: DecodePlanner
    zone: tzinfo
    warn: WarningSink
    blobs: BlobStore

    async def submit(self, source: AcceptedSource) -> None:
        """Queue a source; one that needs no decoding is finished at once."""
        file = source.hashed.file
        captured = self._sidecar_time(file.name, file.sidecar)
        if isinstance(source, ChangedSource):
            existing = source.existing
            # Without a time in the sidecar, the time of an image is in its EXIF data.
            known_time = existing.kind != "image" or captured is not None
            if known_time and not self.planner.needs_decode(existing, file.sidecar):
                await self.decoded.put(DecodedSource(source, existing.kind, captured=captured))
                return
        await self.queue.put_decode(_DecodeAttempt(self, source, captured).job())

    def _sidecar_time(self, name: str, sidecar: Sidecar | None) -> CaptureTime | None:
        if sidecar is None or sidecar.captured_at is None:
            return None
        try:
            return from_text(sidecar.captured_at, self.zone)
        except ValueError:
            reason = f"captured_at is {sidecar.captured_at!r}; it must be an ISO 8601 time"
            self.warn("sidecar_broken", name, reason)
            return None


class _DecodeAttempt:
    """Collects the parts of one source from one worker.

    If the worker is lost during OCR, a second attempt decodes the source without OCR of that image.
    """

    def __init__(
        self,
        stage: DecodeStage,
        source: AcceptedSource,
        sidecar_time: CaptureTime | None,
        skip_ocr: tuple[int, ...] = (),
        stored_blobs: tuple[str, ...] = (),
    ) -> None:
        self._stage = stage
        self._source = source
        self._sidecar_time = sidecar_time
        self._skip_ocr = skip_ocr
        self._stored_blobs = list(stored_blobs)
        self._existing = source.existing if isinstance(source, ChangedSource) else None
        self._ocr_asset: int | None = None
        self._image_time: CaptureTime | None = None
        self._assets: list[Encoding[AssetDraft]] = []
        self._tiles: list[Encoding[RegionDraft]] = []
        self._ocr_lines: list[RegionDraft] = []
        self._passages: list[PassageDraft] = []
        self._text: str | None = None
        self._info: SourceInfo | None = None

    def job(self) -> Job:
        """Return the job for the workers."""
        hashed, planner = self._source.hashed, self._stage.planner
        ocr = planner.needs_ocr(self._existing) and len(self._skip_ocr) <= _MAX_OCR_FAILURES
        request = DecodeRequest(
            name=hashed.file.name,
            path=hashed.file.path,
            data=hashed.file.data,
            sha256=hashed.content_key.hex(),
            stamp=hashed.stamp,
            metadata_only=self._existing is not None,
            ocr=planner.ocr.mode if ocr else "off",
            tiles=planner.needs_tiles(self._existing),
            subtitles=planner.needs_subtitles(self._existing, hashed.file.sidecar),
            skip_ocr=self._skip_ocr,
        )
        return Job(request, self._on_part, self._on_done, self._on_failed)

    async def _on_part(self, part: JobPart) -> None:
        self._ocr_asset = None
        try:
            match part:
                case ImagePart():
                    await self._add_image(part)
                case TilePart():
                    box = normalize_box(part.box)
                    tile = RegionDraft("tile", part.asset, part.ordinal, box)
                    self._tiles.append(Encoding(tile, await self._encode(part)))
                case OcrStarted():
                    self._ocr_asset = part.asset
                case TextLines():
                    self._add_lines(part)
                case TextContent():
                    self._text = part.text.decode("utf-8", "replace")
                case TextPassages():
                    self._add_passages(part)
                case PartWarning():
                    name = self._source.hashed.file.name
                    self._stage.warn(part.code[:40], name, part.reason[:500])
                case SourceInfo():
                    self._info = part
                case _:
                    raise ProtocolError(f"a {type(part).__name__} for a source")
        except ValueError as error:
            raise ProtocolError(f"an invalid part: {error}") from error

    async def _on_done(self) -> None:
        if self._info is None:
            raise ProtocolError("the end of a source without its facts")
        decoded = self._decoded(self._info)
        if self._info.sha256 == self._source.hashed.content_key.hex():
            await self._stage.decoded.put(decoded)
            return
        failure = MediaError("changed", "changed while it was decoded; run the ingest again")
        await self._stage.decoded.put(fail_source(self._source, failure, decoded))

    async def _on_failed(self, error: MediaError) -> None:
        stored = tuple(self._stored_blobs)
        if self._ocr_asset is not None and error.code in _WORKER_LOST:
            reason = f"OCR of image {self._ocr_asset + 1} failed ({error}); the next run retries it"
            self._stage.warn("ocr_failed", self._source.hashed.file.name, reason)
            skip_ocr = (*self._skip_ocr, self._ocr_asset)
            retry = _DecodeAttempt(self._stage, self._source, self._sidecar_time, skip_ocr, stored)
            await self._stage.queue.requeue(retry.job())
            return
        partial = DecodedSource(self._source, "unknown", stored_blobs=stored)
        await self._stage.decoded.put(fail_source(self._source, error, partial))

    def _decoded(self, info: SourceInfo) -> DecodedSource:
        planner, zone = self._stage.planner, self._stage.zone
        has_images = info.kind != "text"
        ocr_engine = None
        if has_images and planner.needs_ocr(self._existing):
            # "late" makes the next run retry the images whose OCR failed.
            ocr_engine = f"late: {planner.ocr.engine}" if self._skip_ocr else planner.ocr.key
        tiled = has_images and planner.needs_tiles(self._existing)
        return DecodedSource(
            source=self._source,
            kind=info.kind,
            mime_type=info.mime_type[:100] if info.mime_type else None,
            byte_size=info.size,
            captured=self._sidecar_time
            or self._image_time
            or (from_video(info.created, zone) if info.created else _exif(info.exif_time, zone))
            or from_filename(self._source.hashed.file.name, zone),
            assets=tuple(self._assets),
            tiles=tuple(self._tiles),
            ocr_lines=tuple(self._ocr_lines),
            passages=tuple(self._passages),
            text=self._text,
            ocr_engine=ocr_engine,
            tile_scheme=TILE_SCHEME if tiled else None,
            stored_blobs=tuple(self._stored_blobs),
        )

    async def _add_image(self, part: ImagePart) -> None:
        if (part.content is None) != (part.kind == "image"):
            raise ProtocolError(f"wrong content for a part of kind {part.kind!r}")
        content_sha256 = None
        if part.content is not None:
            location = await asyncio.to_thread(self._stage.blobs.put, part.content)
            self._stored_blobs.append(location)
            content_sha256 = bytes.fromhex(location.removeprefix("object:"))
        draft = AssetDraft(
            kind=part.kind,
            ordinal=part.ordinal,
            width=part.width,
            height=part.height,
            thumbnail=part.thumbnail,
            thumbnail_size=part.thumbnail_size,
            perceptual_hash=part.perceptual_hash,
            page=part.page,
            frame_seconds=None if part.frame_seconds is None else max(0.0, part.frame_seconds),
            content_sha256=content_sha256,
        )
        self._image_time = self._image_time or _exif(part.exif_time, self._stage.zone)
        self._assets.append(Encoding(draft, await self._encode(part)))

    async def _encode(self, part: ImagePart | TilePart) -> asyncio.Future[Vector | MediaError]:
        vector: asyncio.Future[Vector | MediaError] = asyncio.get_running_loop().create_future()
        await self._stage.requests.put(EncodeRequest(pixels_of(part), vector))
        return vector

    def _add_lines(self, part: TextLines) -> None:
        """Add passages and, for OCR, one region per line, so that words have a position."""
        lines = [
            OcrLine(text, normalize_box(box), min(max(confidence, 0.0), 1.0))
            for text, box, confidence in part.lines
            if text.strip()
        ]
        if part.kind == "ocr":
            self._ocr_lines += [
                RegionDraft("ocr_line", part.asset, number, line.box, line.text, line.confidence)
                for number, line in enumerate(lines)
            ]
        for block in group_lines(lines, paragraphs=part.kind == "page_text"):
            passage = PassageDraft(
                part.kind,
                len(self._passages),
                block.text,
                asset=part.asset,
                page=part.page,
                start_seconds=part.start_seconds,
                box=block.box,
                confidence=block.confidence if part.kind == "ocr" else None,
            )
            self._passages.append(passage)

    def _add_passages(self, part: TextPassages) -> None:
        for each in part.passages:
            start, end = each.seconds or (None, None)
            char_start, char_end = each.chars or (None, None)
            passage = PassageDraft(
                part.kind,
                len(self._passages),
                each.text,
                start_seconds=None if start is None else max(0.0, start),
                end_seconds=None if end is None else max(0.0, end),
                char_start=char_start,
                char_end=char_end,
            )
            self._passages.append(passage)


def pixels_of(part: ImagePart | TilePart) -> Pixels:
    """Return the encoder input of a part. Raises ProtocolError for a wrong shape."""
    try:
        return np.frombuffer(part.pixels, np.uint8).reshape(part.shape)
    except ValueError as error:
        raise ProtocolError(f"pixels of a wrong shape: {error}") from error


def _exif(value: tuple[str, str | None] | None, zone: tzinfo) -> CaptureTime | None:
    return from_exif(*value, zone) if value is not None else None
