"""Open video and audio files with FFmpeg, and read their header."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import av

from sightline.storage.ingest.formats import format_of_name, suffix_of

# The content, or else the name, selects the demuxer: if FFmpeg guessed, it could take a playlist
# for a video and open the files and URLs in it.
_MAGIC = (
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (0, b"OggS", "ogg"),
    (0, b"FLV\x01", "flv"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "asf"),
    (0, b"\0\0\x01\xba", "mpeg"),
    (0, b"fLaC", "flac"),
    (0, b"caff", "caf"),
    (0, b"#!AMR", "amr"),
    (0, b"\x06\x0e+4\x02\x05\x01\x01", "mxf"),
    (4, b"ftyp", "mov"),
    (8, b"AVI ", "avi"),
    (8, b"WAVE", "wav"),
    (8, b"AIFF", "aiff"),
    (8, b"AIFC", "aiff"),
)
_AUDIO_DEMUXERS = {
    **dict.fromkeys((".m4a", ".m4b"), "mov"),
    **dict.fromkeys((".mka", ".weba"), "matroska"),
    ".wma": "asf",
    **dict.fromkeys((".ogg", ".oga", ".opus"), "ogg"),
    **dict.fromkeys((".aif", ".aiff", ".aifc"), "aiff"),
    **{f".{name}": name for name in ("mp3", "flac", "wav", "aac", "caf")},
    ".amr": "amr",
}
_TS_SYNC, _TS_PACKETS = 0x47, ((0, 188), (4, 192))  # .m2ts has a time before each packet
_SNIFFED_BYTES = 600
# No demuxer may open anything else, whatever a file says.
_OPTIONS = {"protocol_whitelist": "none", "enable_drefs": "0", "use_absolute_path": "0"}
_MAX_TAGS, _MAX_TAG_CHARS = 64, 1_000


@contextmanager
def open_media(file: IO[bytes], name: str) -> Iterator[Any]:
    """Open a file from its start as a PyAV container.

    Raises av.error.FFmpegError, also for a file that is no video or audio.
    """
    file.seek(0)
    demuxer = _demuxer(file.read(_SNIFFED_BYTES), name)
    file.seek(0)
    if demuxer is None:
        raise av.error.InvalidDataError(1, "unknown container")
    options = dict(_OPTIONS) if demuxer == "mov" else {"protocol_whitelist": "none"}
    with av.open(
        file, format=demuxer, container_options=options, metadata_errors="replace"
    ) as container:
        yield container


def _demuxer(start: bytes, name: str) -> str | None:
    for at, magic, demuxer in _MAGIC:
        if start[at : at + len(magic)] == magic:
            return demuxer
    for first, step in _TS_PACKETS:
        marks = start[first : first + 2 * step + 1 : step]
        if len(marks) == 3 and set(marks) == {_TS_SYNC}:
            return "mpegts"
    named = format_of_name(name)
    if named is not None and named.kind == "video":
        return named.decoder
    return _AUDIO_DEMUXERS.get(suffix_of(name))


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


def tags_of(container: Any) -> dict[str, str]:
    """Return the texts of container and streams, keys in lower case."""
    tags: dict[str, str] = {}
    for owner in (container, *container.streams):
        for key, value in owner.metadata.items():
            if len(tags) < _MAX_TAGS and value.strip():
                tags.setdefault(key.lower()[:100], value[:_MAX_TAG_CHARS])
    return tags


def start_seconds(container: Any) -> float | None:
    """Return the time at which players show 0:00."""
    return None if container.start_time is None else float(container.start_time) / av.time_base


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
