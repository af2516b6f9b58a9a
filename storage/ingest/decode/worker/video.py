"""Frames of a video that show something new, and the subtitles it carries."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.image import made_picture
from sightline.storage.ingest.decode.worker.subtitles import Cue, gathered, plain
from sightline.storage.ingest.decode.worker.tile_cutter import tile_parts
from sightline.storage.ingest.decode.worker.worker_context import (
    Frame,
    Limits,
    Tools,
    Wanted,
    passages_part,
    picture_part,
    problem_part,
    read_parts,
)
from sightline.storage.ingest.decode.worker.worker_protocol import pack
from sightline.storage.ingest.discover.file_types import suffix_of

# The demuxer goes by the name: left to guess, FFmpeg would take a playlist for a film and open
# the files and addresses that it names.
_DEMUXERS = {
    **dict.fromkeys((".mp4", ".m4v", ".mov"), "mov"),
    **dict.fromkeys((".mkv", ".webm"), "matroska"),
    **dict.fromkeys((".mpg", ".mpeg"), "mpeg"),
    ".avi": "avi",
    ".ts": "mpegts",
}
_TEXT_CODECS = {"srt", "subrip", "mov_text", "webvtt", "ass", "ssa", "text"}
_LOOK = (64, 36)  # what frames are compared at
_LOOK_SECONDS = 0.25
_DIFFERS = 24  # of 255: more than noise and compression make
_NEW_SCENE, _MOVED, _ANY = 0.35, 0.03, 0.005  # shares of the picture that differ
_LEAST_SECONDS = 0.5
_KEYFRAMES_FROM_SECONDS = 4.0  # where frames stand so far apart, only key frames are decoded
_ALIVE_SECONDS = 2.0
_LONGEST_EDGE = 1920
_JPEG_QUALITY = 88
_MOST_CUES = 50_000

Look = NDArray[np.int16]


def read_video(file: IO[bytes], name: str, tools: Tools, wanted: Wanted) -> Iterator[Frame]:
    """Parts of every frame that is kept, then of the subtitles.

    Damage after the first frame is a problem; before it, MediaError. ``look_only`` gives the tiles
    and what is read in the frames, and nothing else, unless ``wanted`` names the subtitles. The
    file is read as it goes, never whole.
    """
    try:
        if not wanted.look_only or wanted.ocr != "off" or wanted.tiles:
            with _opened(file, name) as film:
                yield from _frames(film, tools, wanted)
        if not wanted.look_only or wanted.subtitles:
            yield from _subtitles(file, name)
    except av.error.FFmpegError as error:
        raise MediaError("broken", f"is no video that can be decoded: {error.strerror}") from error


def created(file: IO[bytes], name: str) -> str | None:
    """When the camera says that it began, as written: ISO 8601, as a rule in UTC."""
    try:
        with _opened(file, name) as film:
            said: str | None = film.metadata.get("creation_time")
            return said
    except (av.error.FFmpegError, UnicodeDecodeError):
        return None


def _opened(file: IO[bytes], name: str) -> Any:
    file.seek(0)
    return av.open(file, format=_DEMUXERS.get(suffix_of(name)))


@dataclass(slots=True)
class _Chooser:
    """Which frames are kept; ``spacing`` is what keeps a film within its number of frames."""

    spacing: float
    interval: float
    looked: float = -1.0
    kept: float = -1.0
    last: Look | None = None

    def wants(self, frame: Any, seconds: float) -> bool:
        """Whether a frame shows something new; its time is from the start of the film."""
        next_look = max(self.looked + _LOOK_SECONDS, self.kept + self.spacing)
        if self.last is not None and seconds < next_look:
            return False
        self.looked = seconds
        look: Look = frame.reformat(*_LOOK, format="gray").to_ndarray().astype(np.int16)
        if self.last is not None:
            share = float((np.abs(look - self.last) > _DIFFERS).mean())
            since = seconds - self.kept
            if not (
                share >= _NEW_SCENE
                or (share >= _MOVED and since >= self.interval / 5)
                or (share >= _ANY and since >= self.interval)
            ):
                return False
        self.kept, self.last = seconds, look
        return True


def _frames(film: Any, tools: Tools, wanted: Wanted) -> Iterator[Frame]:
    limits = tools.limits
    if not film.streams.video:
        raise MediaError("no_video", "has no moving picture")
    stream = film.streams.video[0]
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > limits.max_pixels:
        raise MediaError("too_many_pixels", f"has frames of {width} x {height} pixels")
    chooser = _chooser(film, limits)
    stream.thread_type, stream.codec_context.thread_count = "NONE", 1
    if chooser.spacing >= _KEYFRAMES_FROM_SECONDS:
        stream.codec_context.skip_frame = "NONKEY"
    started = alive = time.monotonic()
    count, begin = 0, None
    try:
        for frame in film.decode(stream):
            if (now := time.monotonic()) - alive > _ALIVE_SECONDS:
                alive = now
                yield pack({"part": "alive"})
            if now - started > limits.max_video_work_seconds:
                limit = f"{limits.max_video_work_seconds} s of work were not enough"
                yield problem_part("video_cut_short", f"{limit}; {count} frames are kept")
                break
            begin = (frame.time or 0.0) if begin is None else begin
            seconds = max(0.0, (frame.time or 0.0) - begin)
            if not chooser.wants(frame, seconds):
                continue
            if count == limits.max_video_frames or seconds > limits.max_video_seconds:
                yield problem_part("video_cut_short", f"ends for us at {seconds:.0f} s")
                break
            yield from _frame(frame, count, seconds, tools, wanted)
            count += 1
    except av.error.FFmpegError as error:
        if count == 0:
            raise
        yield problem_part("video_damaged", f"after {count} frames: {error.strerror}")
    if count == 0:
        raise MediaError("broken", "has no frame that can be decoded")


def _chooser(film: Any, limits: Limits) -> _Chooser:
    length = (film.duration or 0) / av.time_base
    if length > limits.max_video_seconds:
        limit = f"the limit is {limits.max_video_seconds:,} s"
        raise MediaError("too_long", f"is {length:,.0f} s long; {limit}")
    return _Chooser(max(_LEAST_SECONDS, length / limits.max_video_frames), limits.frame_seconds)


def _frame(
    frame: Any, ordinal: int, seconds: float, tools: Tools, wanted: Wanted
) -> Iterator[Frame]:
    image = _upright(frame)
    if not wanted.look_only:
        content = io.BytesIO()
        image.save(content, "JPEG", quality=_JPEG_QUALITY)
        said = {"kind": "frame", "ordinal": ordinal, "frame_seconds": round(seconds, 3)}
        yield picture_part(made_picture(image, tools.preprocess), content.getvalue(), **said)
    if wanted.tiles:
        yield from tile_parts(image, ordinal, tools.preprocess)
    yield from read_parts(image, tools, wanted, ordinal, start=round(seconds, 3))


def _upright(frame: Any) -> Image.Image:
    """RGB, as a player shows it: with square pixels and turned, at most 1,920 pixels long."""
    width, height = frame.width, frame.height
    scale = min(1.0, _LONGEST_EDGE / max(width, height))
    image: Image.Image = frame.reformat(
        max(1, round(width * scale)), max(1, round(height * scale)), format="rgb24"
    ).to_image()
    turn = round(frame.rotation / 90) * 90 % 360
    return image.rotate(turn, expand=True) if turn else image


def _subtitles(file: IO[bytes], name: str) -> Iterator[Frame]:
    """Of the first stream of text subtitles; what is damaged there is a problem."""
    cues: list[Cue] = []
    try:
        with _opened(file, name) as film:
            streams = [s for s in film.streams.subtitles if s.codec_context.name in _TEXT_CODECS]
            for packet in film.demux(streams[0]) if streams else ():
                if packet.pts is None or packet.time_base is None or len(cues) >= _MOST_CUES:
                    continue
                start = float(packet.pts * packet.time_base)
                length = float((packet.duration or 0) * packet.time_base)
                text = plain(_dialogue(packet))
                if text:
                    cues.append(Cue(start, start + length, text))
    except (av.error.FFmpegError, ValueError) as error:
        yield problem_part("subtitles_broken", str(error))
    if cues:
        said = [{"text": cue.text, "seconds": [cue.start, cue.end]} for cue in gathered(cues)]
        yield passages_part("subtitle", said)


def _dialogue(packet: Any) -> str:
    lines = []
    for subtitle in packet.decode():
        rects = subtitle if hasattr(subtitle, "__iter__") else [subtitle]
        for rect in rects:
            said = getattr(rect, "dialogue", None) or getattr(rect, "text", b"")
            lines.append(said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said))
    return " ".join(lines)
