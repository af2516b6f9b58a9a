"""Open video and audio files with FFmpeg, and read their header."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, Literal

import av

from sightline.storage.errors import MediaError
from sightline.storage.ingest.formats import HEAD_BYTES, format_of

# No demuxer may open anything else, whatever a file says.
_OPTIONS = {"protocol_whitelist": "none", "enable_drefs": "0", "use_absolute_path": "0"}
_MAX_TAGS, _MAX_TAG_CHARS = 64, 1_000


@contextmanager
def open_media(file: IO[bytes], name: str) -> Iterator[Any]:
    """Open a file from its start as a PyAV container.

    Raises av.error.FFmpegError, also for a file that is no video or audio.
    """
    file.seek(0)
    known = format_of(name, file.read(HEAD_BYTES))
    file.seek(0)
    # If FFmpeg guessed, it could take a playlist for a video and open the files in it.
    if known is None or known.kind not in ("video", "audio"):
        raise av.error.InvalidDataError(1, "unknown container")
    options = dict(_OPTIONS) if known.decoder == "mov" else {"protocol_whitelist": "none"}
    with av.open(
        file, format=known.decoder, container_options=options, metadata_errors="replace"
    ) as container:
        yield container


def best_stream(container: Any, kind: str) -> Any | None:
    """Return the ``video`` or ``audio`` stream that players show.

    A cover picture is no video.
    """
    streams = [
        each
        for each in getattr(container.streams, kind)
        if not each.disposition & av.stream.Disposition.attached_pic
    ]
    defaults = [each for each in streams if each.disposition & av.stream.Disposition.default]
    return next(iter(defaults or streams), None)


def container_tags(file: IO[bytes], name: str) -> dict[str, str]:
    """Return the texts of container and streams, with names in lower case."""
    tags: dict[str, str] = {}
    try:
        with open_media(file, name) as container:
            for owner in (container, *container.streams):
                for key, value in owner.metadata.items():
                    if len(tags) < _MAX_TAGS and value.strip():
                        tags.setdefault(key.lower()[:100], value[:_MAX_TAG_CHARS])
    except av.error.FFmpegError:
        return {}
    return tags


def start_seconds(container: Any) -> float | None:
    """Return the time at which players show 0:00."""
    return None if container.start_time is None else float(container.start_time / av.time_base)


def duration_seconds(container: Any) -> float:
    """Return the duration in the header, 0 if there is none."""
    if container.duration:
        seconds: float = container.duration / av.time_base
        return max(0.0, seconds)
    lengths = [
        float(each.duration * each.time_base)
        for each in container.streams
        if each.duration and each.time_base
    ]
    return float(max(lengths, default=0.0))


def scanned_seconds(file: IO[bytes], name: str, kind: str) -> float:
    """Return the time of the last packet.

    For files without a duration in the header.
    """
    last: float = 0.0
    with suppress(av.error.FFmpegError), open_media(file, name) as container:
        if (stream := best_stream(container, kind)) is None:
            return 0.0
        for packet in container.demux(stream):
            if packet.pts is not None and packet.time_base is not None:
                last = max(last, float(packet.pts * packet.time_base))
        last -= start_seconds(container) or 0.0
    return float(max(0.0, last))


def media_kind(file: IO[bytes], name: str) -> Literal["video", "audio"]:
    """Return what a file is by its streams. Raises MediaError if it has neither."""
    try:
        with open_media(file, name) as container:
            if best_stream(container, "video") is not None:
                return "video"
            if best_stream(container, "audio") is not None:
                return "audio"
    except av.error.FFmpegError as error:
        raise MediaError(
            "broken", f"is no video or sound that can be decoded: {error.strerror}"
        ) from error
    raise MediaError("no_video", "has neither video nor sound")
