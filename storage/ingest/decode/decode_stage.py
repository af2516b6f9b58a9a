"""Turn what the workers send into drafts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import tzinfo
from typing import NamedTuple

import numpy as np

from sightline.storage.blobs import BlobStore
from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.capture_time import (
    Captured,
    from_exif,
    from_moment,
    from_name,
    from_text,
)
from sightline.storage.ingest.decode.decode_queue import JobQueue
from sightline.storage.ingest.decode.worker.open_file import Stamp
from sightline.storage.ingest.decode.worker.tile_cutter import SCHEME
from sightline.storage.ingest.decode.worker.worker_protocol import Frame, Header, ProtocolError
from sightline.storage.ingest.decode.worker_messages import add_lines, add_passages, tile_of
from sightline.storage.ingest.decode.worker_pool import Job
from sightline.storage.ingest.discover.sidecars import Report
from sightline.storage.ingest.ingest_items import AssetDraft, RegionDraft, Work
from sightline.storage.ingest.ingest_options import OcrMode
from sightline.storage.records.assets import AssetKind

Picture = tuple[Work, AssetDraft | RegionDraft]

# What becomes of a worker that does not come back from reading.
_LOST = ("timeout", "crashed", "out_of_memory")
_MOST_UNREAD = 3  # of one source, each at the price of reading all of it again

_KINDS = {kind: kind for kind in ("image", "text", "pdf", "video")}
_ASSET_KINDS: dict[str, AssetKind] = {"image": "image", "page": "page", "frame": "frame"}


class Ocr(NamedTuple):
    """Whether and by which engine text in pictures is read."""

    mode: OcrMode
    reader: str

    @property
    def key(self) -> str:
        """What is recorded with a source."""
        return f"{self.mode}: {self.reader}"


class Reading:
    """Hands files to the workers; pictures go to ``pictures``, finished work to ``finish``."""

    def __init__(
        self,
        jobs: JobQueue,
        pictures: asyncio.Queue[Picture | None],
        finish: Callable[[Work], Awaitable[None]],
        *,
        zone: tzinfo,
        report: Report,
        objects: BlobStore,
        ocr: Ocr,
        tiles: bool,
    ) -> None:
        self._jobs = jobs
        self._pictures = pictures
        self._finish = finish
        self._zone = zone
        self._report = report
        self._objects = objects
        self._ocr = ocr
        self._tiles = tiles

    def wants_text(self, work: Work) -> bool:
        """Whether the pictures of a work are to be read: new ones, and known ones that were not,
        or by another engine, or only where it seemed to pay.
        """
        if self._ocr.mode == "off" or work.kind == "text":
            return False
        ocr_engine = work.known.ocr_engine if work.known is not None else None
        return ocr_engine not in (self._ocr.key, f"on: {self._ocr.reader}")

    def wants_tiles(self, work: Work) -> bool:
        """Whether the pictures of a work are to be cut into tiles, and were not yet."""
        tile_scheme = work.known.tile_scheme if work.known is not None else None
        return self._tiles and work.kind != "text" and tile_scheme != SCHEME

    def wants_subtitles(self, work: Work) -> bool:
        """Whether those that a known film carries count again: what stood beside it is gone."""
        sidecar = work.found.sidecar
        return (
            work.known is not None
            and work.kind == "video"
            and (sidecar.key if sidecar else None) != work.known.sidecar_sha256
            and not (sidecar and sidecar.subtitles)
        )

    def wants_look(self, work: Work) -> bool:
        """Whether the file of a known work has to be opened again."""
        return self.wants_text(work) or self.wants_tiles(work) or self.wants_subtitles(work)

    async def restore(self, location: str, data: bytes) -> None:
        """Store again what is said to be stored and is gone."""
        if not self._objects.exists(location):
            await asyncio.to_thread(self._objects.put, data)

    async def hash(self, path: str) -> tuple[bytes, Stamp]:
        """SHA-256 of a file, and its stamp. Raises MediaError."""
        result: asyncio.Future[tuple[bytes, Stamp]] = asyncio.get_running_loop().create_future()

        async def no_part(_: Frame) -> None:
            raise ProtocolError("a part of a hash")

        async def done(header: Header) -> None:
            try:
                digest, stamp = bytes.fromhex(header["sha256"]), Stamp(*header["stamp"])
            except (KeyError, ValueError, TypeError) as error:
                raise ProtocolError(f"not a hash: {error}") from error
            if not result.done():
                result.set_result((digest, stamp))

        async def failed(error: MediaError, _: Header) -> None:
            if not result.done():
                result.set_exception(error)

        header: Header = {"job": "hash", "name": path, "path": path}
        await self._jobs.put_hash(Job(header, (), no_part, done, failed))
        return await result

    async def read(self, work: Work) -> None:
        """Have a file read; of one that is known, only what it says of itself."""
        found = work.found

        async def part(frame: Frame) -> None:
            await self._part(work, frame)

        async def done(header: Header) -> None:
            await self._done(work, header)

        async def failed(error: MediaError, _: Header) -> None:
            if work.reading is not None and error.code in _LOST:
                self._leave_unread(work, error)
                await self._jobs.put_back(Job(self._request(work), blobs, part, done, failed))
                return
            work.fail(error)
            work.ended = True
            await self._finish(work)

        blobs = () if found.data is None else (found.data,)
        await self._jobs.put_read(Job(self._request(work), blobs, part, done, failed))

    def _request(self, work: Work) -> Header:
        stamp = work.stamp
        reads = self.wants_text(work) and len(work.unread) <= _MOST_UNREAD
        if reads:
            work.ocr_engine = f"late: {self._ocr.reader}" if work.unread else self._ocr.key
        tiles = self.wants_tiles(work)
        if tiles:
            work.tile_scheme = SCHEME
        return {
            "job": "read",
            "name": work.found.name,
            "path": work.found.path,
            "sha256": work.content_key.hex(),
            "stamp": [stamp.size, stamp.modified_ns, stamp.inode] if stamp else None,
            "look_only": work.known is not None,
            "ocr": self._ocr.mode if reads else "off",
            "tiles": tiles,
            "unread": work.unread,
            "subtitles": self.wants_subtitles(work),
        }

    def _leave_unread(self, work: Work, error: MediaError) -> None:
        """A picture whose text takes too long is a picture all the same."""
        if work.reading is not None:
            work.unread.append(work.reading)
        work.reading = None
        work.forget()
        reason = f"the text of picture {work.unread[-1] + 1} was not read ({error})"
        self._report("text_not_read", work.found.name, f"{reason}; the next run tries again")

    async def _part(self, work: Work, frame: Frame) -> None:
        header, blobs = frame
        work.reading = None
        match header.get("part"):
            case "reading":
                work.reading = int(header.get("on", 0))
                return
            case "text":
                work.text = blobs[0].decode("utf-8", "replace")
                return
            case "lines":
                add_lines(work, header)
                return
            case "passages":
                add_passages(work, header, blobs[0])
                return
            case "tile":
                tile = tile_of(header, blobs[0])
                work.regions.append(tile)
                work.unfinished += 1
                await self._pictures.put((work, tile))
                return
            case "alive":
                return
            case "problem":
                code, reason = str(header.get("code")), str(header.get("reason"))
                self._report(code[:40], work.found.name, reason[:500])
                return
        draft = _draft(header, blobs)
        if draft.kind != "image":
            location = await asyncio.to_thread(self._objects.put, blobs[2])
            work.stored.append(location)
            draft.stored = bytes.fromhex(location.removeprefix("object:"))
        work.assets.append(draft)
        work.captured = work.captured or self._taken(header)
        work.unfinished += 1
        await self._pictures.put((work, draft))

    async def _done(self, work: Work, header: Header) -> None:
        if header.get("sha256") != work.content_key.hex():
            work.fail(MediaError("changed", "changed while it was being read; run again"))
        try:
            work.kind = _KINDS[header["kind"]]
            work.mime_type = str(header["mime_type"])[:100]
            work.byte_size = int(header["size"])
        except (KeyError, ValueError, TypeError) as error:
            raise ProtocolError(f"not an end: {error}") from error
        if work.kind == "text":
            work.ocr_engine = work.tile_scheme = None
        work.captured = (
            self.said_captured(work)
            or work.captured
            or self._taken(header)
            or from_name(work.found.name, self._zone)
        )
        work.ended = True
        if work.ready:
            await self._finish(work)

    def said_captured(self, work: Work) -> Captured | None:
        """The capture time that the sidecar gives."""
        sidecar = work.found.sidecar
        if sidecar is None or sidecar.captured is None:
            return None
        try:
            return from_text(sidecar.captured, self._zone)
        except ValueError:
            reason = f"captured_at is {sidecar.captured!r}; it must be in ISO 8601"
            self._report("sidecar_broken", work.found.name, reason)
            return None

    def _taken(self, header: Header) -> Captured | None:
        """The capture time of the file itself."""
        if isinstance(begun := header.get("created"), str):
            return from_moment(begun, self._zone)
        match header.get("taken"):
            case [str(time), str() | None as offset]:
                return from_exif(time, offset, self._zone)
            case _:
                return None


def _draft(header: Header, blobs: list[bytes]) -> AssetDraft:
    """A picture's part, checked: it comes from a process that has read hostile bytes."""
    try:
        kind = _ASSET_KINDS[header["kind"]]
        pixels, thumbnail = blobs[:2]
        if len(blobs) != (2 if kind == "image" else 3):
            raise ValueError(f"{len(blobs)} blobs")
        page, seconds = header.get("page"), header.get("frame_seconds")
        height, width, channels = map(int, header["shape"])
        left, top = map(int, header["thumbnail_size"])
        return AssetDraft(
            kind=kind,
            ordinal=int(header["ordinal"]),
            width=int(header["width"]),
            height=int(header["height"]),
            thumbnail=thumbnail,
            thumbnail_size=(left, top),
            perceptual_hash=int(header["perceptual_hash"]),
            pixels=np.frombuffer(pixels, np.uint8).reshape(height, width, channels),
            page=None if page is None else int(page),
            frame_seconds=None if seconds is None else max(0.0, float(seconds)),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ProtocolError(f"not a picture: {error}") from error
