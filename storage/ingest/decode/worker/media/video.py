"""Decode videos: frames that show something new, and embedded subtitles."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import IO, Any

import av
import numpy as np
from numpy.typing import NDArray

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.media.media_container import (
    best_stream,
    duration_seconds,
    open_media,
    scanned_seconds,
    start_seconds,
)
from sightline.storage.ingest.decode.worker.media.sound import SoundReader
from sightline.storage.ingest.decode.worker.media.subtitles import SubtitleCue, unrolled
from sightline.storage.ingest.decode.worker.media.video_picture import shown_picture
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext, subtitle_passages

_TEXT_CODECS = {"srt", "subrip", "mov_text", "webvtt", "ass", "ssa", "text"}
_COMPARE_SIZE = (64, 36)
_COMPARE_SECONDS = 0.25
# Of 255; more than noise and compression. Brightness and two colors, which differ less.
_MIN_DIFFERENCES = np.array((20, 10, 10), np.int16)[:, None, None]
# Shares of changed pixels that make a frame new: at once, after a while, after `interval`.
_NEW_SCENE_SHARE, _MOVED_SHARE, _ANY_CHANGE_SHARE = 0.35, 0.03, 0.005
_RECOLORED_SHARE = 0.1  # colors are compressed more, and run at edges
_MIN_SPACING_SECONDS = 0.5
_KEYFRAMES_ONLY_SECONDS = 4.0  # from this spacing on, only key frames are decoded
_MAX_CUES = 50_000
_DEFAULT_RATE = 25
_MIN_JUMP_SECONDS = 1.0
_MISSING_SHARE, _MISSING_SECONDS = 0.05, 2.0  # a video that ends so early is cut off

SmallFrame = NDArray[np.int16]


def decode_video(
    file: IO[bytes], name: str, context: WorkerContext, request: messages.DecodeRequest
) -> Generator[messages.JobPart, None, float]:
    """Yield the parts of every selected frame, the subtitles and the sound.

    Sound is decoded only if it is requested. Returns its duration in seconds. Damage after the
    first frame is a warning; before it, MediaError. The file is streamed, never loaded whole.
    """
    try:
        if not request.metadata_only or request.ocr != "off" or request.tiles:
            with open_media(file, name) as container:
                length = duration_seconds(container) or scanned_seconds(file, name, "video")
            with open_media(file, name) as container:
                yield from _frame_parts(container, length, context, request)
        if not request.metadata_only or request.subtitles:
            yield from _subtitle_parts(file, name, context)
        return (yield from _sound_parts(file, name, context, request))
    except av.error.FFmpegError as error:
        raise MediaError(
            "broken", f"is not a video that can be decoded: {error.strerror}"
        ) from error


def film_parts(
    data: bytes, context: WorkerContext, request: messages.DecodeRequest
) -> Iterator[messages.JobPart]:
    """Yield the frames of the film in a motion photo; its picture has the ordinal 0.

    Damage is a warning. The sound is not read.
    """
    file, name = io.BytesIO(data), "film.mp4"
    try:
        with open_media(file, name) as container:
            length = duration_seconds(container)
            yield from _frame_parts(container, length, context, request, first=1)
    except (av.error.FFmpegError, MediaError) as error:
        reason = f"the film of the motion photo is not read: {error}"
        yield messages.PartWarning(code="motion_photo", reason=reason[:500])


def _sound_parts(
    file: IO[bytes], name: str, context: WorkerContext, request: messages.DecodeRequest
) -> Generator[messages.JobPart, None, float]:
    """Yield the sound; return its duration in seconds. Damage is a warning."""
    if request.speech:
        reader = SoundReader(context, request)
        try:
            yield from reader.parts(file, name)
        except MediaError as error:  # the frames are still good
            yield messages.PartWarning(code="sound_damaged", reason=str(error))
        return reader.seconds
    with open_media(file, name) as container:
        return duration_seconds(container) if best_stream(container, "audio") else 0.0


@dataclass(slots=True)
class _Timeline:
    """Gives frames their seconds from the start, as players show them.

    Frames without a time follow one another at ``rate``. Where the times of a joined file start
    again, they continue.
    """

    start: float | None
    rate: float
    latest: float = 0.0
    count: int = 0

    def seconds(self, frame: Any) -> float:
        time = frame.time
        if time is None:
            time = (self.start or 0.0) + self.count / self.rate
        self.count += 1
        if self.start is None:
            self.start = time
        if time - self.start < self.latest - _MIN_JUMP_SECONDS:
            self.start = time - self.latest
        self.latest = max(self.latest, time - self.start)
        return max(0.0, float(time - self.start))


@dataclass(slots=True)
class _FrameSelector:
    """Selects frames that show something new; ``spacing`` bounds their number."""

    spacing: float
    interval: float
    compared_at: float = -1.0
    selected_at: float = -1.0
    selected: SmallFrame | None = None

    def select(self, frame: Any, seconds: float) -> bool:
        """Return whether the frame at ``seconds`` from the start shows something new."""
        next_at = max(self.compared_at + _COMPARE_SECONDS, self.selected_at + self.spacing)
        if self.selected is not None and seconds < next_at:
            return False
        self.compared_at = seconds
        small = frame.reformat(*_COMPARE_SIZE, format="yuv444p", threads=1)
        planes: SmallFrame = small.to_ndarray().astype(np.int16)
        if self.selected is not None:
            is_changed = np.abs(planes - self.selected) > _MIN_DIFFERENCES
            share = float(is_changed[0].mean())
            any_share = float(is_changed.any(axis=0).mean())
            elapsed = seconds - self.selected_at
            if not (
                any_share >= _NEW_SCENE_SHARE
                or (share >= _MOVED_SHARE and elapsed >= self.interval / 5)
                or (any_share >= _RECOLORED_SHARE and elapsed >= self.interval / 5)
                or (share >= _ANY_CHANGE_SHARE and elapsed >= self.interval)
            ):
                return False
        self.selected_at, self.selected = seconds, planes
        return True


def _frame_parts(
    container: Any,
    length: float,
    context: WorkerContext,
    request: messages.DecodeRequest,
    *,
    first: int = 0,
) -> Iterator[messages.JobPart]:
    """Yield the selected frames; ``first`` is the ordinal of the first one."""
    limits = context.limits
    if (stream := best_stream(container, "video")) is None:
        raise MediaError("no_video", "has no video stream")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > limits.max_pixels:
        raise MediaError("too_many_pixels", f"has frames of {width} x {height} pixels")
    if length > limits.max_video_seconds:
        limit = f"the limit is {limits.max_video_seconds:,} s"
        raise MediaError("too_long", f"is {length:,.0f} s long; {limit}")
    spacing = max(_MIN_SPACING_SECONDS, length / limits.max_video_frames)
    selector = _FrameSelector(spacing, limits.frame_seconds)
    max_frames = limits.max_video_frames
    if length > 0:
        max_frames = min(max_frames, int(length / spacing) + 1)
    stream.thread_type, stream.codec_context.thread_count = "NONE", 1
    is_sparse = spacing >= _KEYFRAMES_ONLY_SECONDS
    if is_sparse:
        stream.codec_context.skip_frame = "NONKEY"
    timeline = _Timeline(start_seconds(container), float(stream.average_rate or _DEFAULT_RATE))
    damage = _Damage()
    count, has_ended = 0, False
    for frame in _frames(container, stream, damage):
        context.report_alive()
        if context.clock.seconds > request.work_seconds:
            reason = f"took longer than {request.work_seconds:g} s; kept {count} frames"
            yield messages.PartWarning(code="video_cut_short", reason=reason)
            break
        seconds = timeline.seconds(frame)
        if frame.width * frame.height > limits.max_pixels:
            size = f"{frame.width} x {frame.height} pixels"
            yield messages.PartWarning(code="video_damaged", reason=f"has a frame of {size}")
            break
        if not selector.select(frame, seconds):
            continue
        is_full = count == limits.max_video_frames or not context.has_room_for_picture()
        if is_full or seconds > limits.max_video_seconds:
            yield messages.PartWarning(code="video_cut_short", reason=f"was cut at {seconds:.0f} s")
            break
        aspect = float(stream.sample_aspect_ratio or 1)
        image, seconds = shown_picture(frame, aspect), round(seconds, 3)
        if not request.metadata_only:
            frame_facts = {"kind": "frame", "ordinal": first + count, "frame_seconds": seconds}
            yield from context.picture_parts(image, max_frames, **frame_facts)
        yield from context.region_parts(image, request, first + count, start_seconds=seconds)
        count += 1
    else:
        has_ended = True
    if count == 0:
        raise damage.first or MediaError("broken", "has no frame that can be decoded")
    missing = length - timeline.latest if has_ended and not is_sparse else 0.0
    if damage.packets or missing > max(_MISSING_SECONDS, _MISSING_SHARE * length):
        yield damage.warning(timeline.latest, length)


@dataclass(slots=True)
class _Damage:
    """Packets that could not be decoded, and the first error."""

    packets: int = 0
    first: av.error.FFmpegError | None = None

    def add(self, error: av.error.FFmpegError) -> None:
        self.packets += 1
        self.first = self.first or error

    def warning(self, seconds: float, length: float) -> messages.PartWarning:
        reason = f"ends after {seconds:.0f} s of {length:.0f} s"
        if self.first is not None:
            reason = f"{self.packets} packets cannot be decoded: {self.first.strerror}"
        return messages.PartWarning(code="video_damaged", reason=reason)


def _frames(container: Any, stream: Any, damage: _Damage) -> Iterator[Any]:
    """Yield all frames that can be decoded; damaged ones are skipped."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            damage.add(error)
            return
        if packet is None:
            return
        try:
            yield from packet.decode()
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            damage.add(error)


def _subtitle_parts(
    file: IO[bytes], name: str, context: WorkerContext
) -> Iterator[messages.JobPart]:
    """Yield the text subtitles, one stream of each language; damage is a warning."""
    passages: list[messages.TextPassage] = []
    try:
        with open_media(file, name) as container:
            streams = container.streams.subtitles
            languages = {
                each.language: each
                for each in reversed(streams)
                if each.codec_context.name in _TEXT_CODECS
            }
            if streams and not languages:
                reason = "the subtitles in the file are pictures; they are not read"
                yield messages.PartWarning(code="subtitles_not_read", reason=reason)
            cues, is_whole = _stream_cues(container, list(languages.values()), context)
        for stream_cues in cues:
            passages += subtitle_passages(unrolled(stream_cues))
        if not is_whole:
            reason = (
                "has far more subtitles than a video of its size can have; the rest is left out"
            )
            yield messages.PartWarning(code="text_cut_short", reason=reason)
    except (av.error.FFmpegError, ValueError) as error:
        yield messages.PartWarning(code="subtitles_broken", reason=str(error))
    try:
        yield from context.passage_parts("subtitle", passages)
    except MediaError as error:  # the frames are still good
        yield messages.PartWarning(code="text_cut_short", reason=str(error))


def _stream_cues(
    container: Any, streams: list[Any], context: WorkerContext
) -> tuple[list[list[SubtitleCue]], bool]:
    """Return the cues of each stream and whether there was room for all."""
    cues: dict[int, list[SubtitleCue]] = {each.index: [] for each in streams}
    first = start_seconds(container) or 0.0
    count, chars = 0, 0
    for packet in container.demux(streams) if streams else ():
        context.report_alive()
        if packet.pts is None or packet.time_base is None:
            continue
        # Samples may share their bytes.
        if count >= _MAX_CUES or chars > context.output.chars_left:
            return list(cues.values()), False
        start = max(0.0, float(packet.pts * packet.time_base) - first)
        length = float((packet.duration or 0) * packet.time_base)
        text = _packet_text(packet)
        cues[packet.stream.index].append(SubtitleCue(start, start + length, text))
        count, chars = count + 1, chars + len(text)
    return list(cues.values()), True


def _packet_text(packet: Any) -> str:
    lines = []
    for subtitle in packet.decode():
        rects = subtitle if hasattr(subtitle, "__iter__") else [subtitle]
        for rect in rects:
            text = getattr(rect, "dialogue", None) or getattr(rect, "text", b"")
            lines.append(text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text))
    return "\n".join(lines)
