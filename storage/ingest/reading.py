"""Turn what the workers send into drafts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import tzinfo

import numpy as np

from sightline.storage.errors import MediaError
from sightline.storage.ingest.captured import Captured, from_exif, from_text
from sightline.storage.ingest.jobqueue import JobQueue
from sightline.storage.ingest.pool import Job
from sightline.storage.ingest.sidecars import Report
from sightline.storage.ingest.work import AssetDraft, Work
from sightline.storage.ingest.worker.files import Stamp
from sightline.storage.ingest.worker.protocol import Frame, Header, ProtocolError

Picture = tuple[Work, AssetDraft]


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
    ) -> None:
        self._jobs = jobs
        self._pictures = pictures
        self._finish = finish
        self._zone = zone
        self._report = report

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
            work.fail(error)
            work.ended = True
            await self._finish(work)

        stamp = work.stamp
        header: Header = {
            "job": "read",
            "name": found.name,
            "path": found.path,
            "sha256": work.content_key.hex(),
            "stamp": [stamp.size, stamp.modified_ns, stamp.inode] if stamp else None,
            "look_only": work.known is not None,
        }
        blobs = () if found.data is None else (found.data,)
        await self._jobs.put_read(Job(header, blobs, part, done, failed))

    async def _part(self, work: Work, frame: Frame) -> None:
        header, blobs = frame
        if header.get("part") == "text":
            work.text = blobs[0].decode("utf-8", "replace")
            return
        draft = _draft(header, blobs)
        work.assets.append(draft)
        work.captured = work.captured or self._taken(header)
        work.unfinished += 1
        await self._pictures.put((work, draft))

    async def _done(self, work: Work, header: Header) -> None:
        if header.get("sha256") != work.content_key.hex():
            work.fail(MediaError("changed", "changed while it was being read; run again"))
        try:
            work.kind = {"image": "image", "text": "text"}[header["kind"]]
            work.mime_type = str(header["mime_type"])[:100]
            work.byte_size = int(header["size"])
        except (KeyError, ValueError, TypeError) as error:
            raise ProtocolError(f"not an end: {error}") from error
        work.captured = self.said_captured(work) or work.captured or self._taken(header)
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
        match header.get("taken"):
            case [str(time), str() | None as offset]:
                return from_exif(time, offset, self._zone)
            case _:
                return None


def _draft(header: Header, blobs: list[bytes]) -> AssetDraft:
    """A picture's part, checked: it comes from a process that has read hostile bytes."""
    try:
        pixels, thumbnail = blobs
        height, width, channels = map(int, header["shape"])
        left, top = map(int, header["thumbnail_size"])
        return AssetDraft(
            kind="image",
            ordinal=0,
            width=int(header["width"]),
            height=int(header["height"]),
            thumbnail=thumbnail,
            thumbnail_size=(left, top),
            perceptual_hash=int(header["perceptual_hash"]),
            pixels=np.frombuffer(pixels, np.uint8).reshape(height, width, channels),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ProtocolError(f"not a picture: {error}") from error
