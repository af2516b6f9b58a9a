"""Decode videos: frames that show something new, and embedded subtitles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.subtitles import SubtitleCue, strip_markup
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext, subtitle_passages
from sightline.storage.ingest.discover.file_types import suffix_of

# The name selects the demuxer: if FFmpeg guessed, it could take a playlist for a video and open
# the files and URLs in it.
_DEMUXERS = {
    **dict.fromkeys((".mp4", ".m4v", ".mov"), "mov"),
    **dict.fromkeys((".mkv", ".webm"), "matroska"),
    **dict.fromkeys((".mpg", ".mpeg"), "mpeg"),
    ".avi": "avi",
    ".ts": "mpegts",
}
_TEXT_CODECS = {"srt", "subrip", "mov_text", "webvtt", "ass", "ssa", "text"}
_COMPARE_SIZE = (64, 36)
_COMPARE_SECONDS = 0.25
_MIN_DIFFERENCE = 24  # of 255; more than noise and compression
# Shares of changed pixels that make a frame new: at once, after a while, after `interval`.
_NEW_SCENE_SHARE, _MOVED_SHARE, _ANY_CHANGE_SHARE = 0.35, 0.03, 0.005
_MIN_SPACING_SECONDS = 0.5
_KEYFRAMES_ONLY_SECONDS = 4.0  # from this spacing on, only key frames are decoded
_MAX_EDGE = 1920
_MAX_CUES = 50_000

GrayFrame = NDArray[np.int16]


def decode_video(
    file: IO[bytes], name: str, context: WorkerContext, request: messages.DecodeRequest
) -> Iterator[messages.JobPart]:
    """Yield the parts of every selected frame, then the subtitles.

    Damage after the first frame is a warning; before it, MediaError. The file is streamed, never
    loaded whole.
    """
    try:
        if not request.metadata_only or request.ocr != "off" or request.tiles:
            with _open(file, name) as container:
                yield from _frame_parts(container, context, request)
        if not request.metadata_only or request.subtitles:
            yield from _subtitle_parts(file, name, context)
    except av.error.FFmpegError as error:
        raise MediaError(
            "broken", f"is not a video that can be decoded: {error.strerror}"
        ) from error


def creation_time(file: IO[bytes], name: str) -> str | None:
    """Return the recording start as written: ISO 8601, usually in UTC."""
    try:
        with _open(file, name) as container:
            return str(container.metadata.get("creation_time") or "") or None
    except (av.error.FFmpegError, UnicodeDecodeError):
        return None


def _open(file: IO[bytes], name: str) -> Any:
    file.seek(0)
    return av.open(file, format=_DEMUXERS.get(suffix_of(name)))


@dataclass(slots=True)
class _FrameSelector:
    """Selects frames that show something new; ``spacing`` bounds their number."""

    spacing: float
    interval: float
    compared_at: float = -1.0
    selected_at: float = -1.0
    selected: GrayFrame | None = None

    def select(self, frame: Any, seconds: float) -> bool:
        """Return whether the frame at ``seconds`` from the start shows something new."""
        next_at = max(self.compared_at + _COMPARE_SECONDS, self.selected_at + self.spacing)
        if self.selected is not None and seconds < next_at:
            return False
        self.compared_at = seconds
        gray: GrayFrame = (
            frame.reformat(*_COMPARE_SIZE, format="gray").to_ndarray().astype(np.int16)
        )
        if self.selected is not None:
            share = float((np.abs(gray - self.selected) > _MIN_DIFFERENCE).mean())
            elapsed = seconds - self.selected_at
            if not (
                share >= _NEW_SCENE_SHARE
                or (share >= _MOVED_SHARE and elapsed >= self.interval / 5)
                or (share >= _ANY_CHANGE_SHARE and elapsed >= self.interval)
            ):
                return False
        self.selected_at, self.selected = seconds, gray
        return True


def _frame_parts(
    container: Any, context: WorkerContext, request: messages.DecodeRequest
) -> Iterator[messages.JobPart]:
    limits = context.limits
    if not container.streams.video:
        raise MediaError("no_video", "has no video stream")
    stream = container.streams.video[0]
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > limits.max_pixels:
        raise MediaError("too_many_pixels", f"has frames of {width} x {height} pixels")
    length = (container.duration or 0) / av.time_base
    if length > limits.max_video_seconds:
        limit = f"the limit is {limits.max_video_seconds:,} s"
        raise MediaError("too_long", f"is {length:,.0f} s long; {limit}")
    spacing = max(_MIN_SPACING_SECONDS, length / limits.max_video_frames)
    selector = _FrameSelector(spacing, limits.frame_seconds)
    max_frames = limits.max_video_frames
    if length > 0:
        max_frames = min(max_frames, int(length / spacing) + 1)
    stream.thread_type, stream.codec_context.thread_count = "NONE", 1
    if spacing >= _KEYFRAMES_ONLY_SECONDS:
        stream.codec_context.skip_frame = "NONKEY"
    count, first = 0, None
    try:
        for frame in container.decode(stream):
            context.report_alive()
            if context.clock.seconds > request.work_seconds:
                reason = f"took longer than {request.work_seconds:g} s; kept {count} frames"
                yield messages.PartWarning(code="video_cut_short", reason=reason)
                break
            first = (frame.time or 0.0) if first is None else first
            seconds = max(0.0, (frame.time or 0.0) - first)
            if not selector.select(frame, seconds):
                continue
            is_full = count == limits.max_video_frames or not context.has_room_for_picture()
            if is_full or seconds > limits.max_video_seconds:
                yield messages.PartWarning(
                    code="video_cut_short", reason=f"was cut at {seconds:.0f} s"
                )
                break
            image, seconds = _upright(frame), round(seconds, 3)
            if not request.metadata_only:
                frame_facts = {"kind": "frame", "ordinal": count, "frame_seconds": seconds}
                yield from context.picture_parts(image, max_frames, **frame_facts)
            yield from context.region_parts(image, request, count, start_seconds=seconds)
            count += 1
    except av.error.FFmpegError as error:
        if count == 0:
            raise
        reason = f"after {count} frames: {error.strerror}"
        yield messages.PartWarning(code="video_damaged", reason=reason)
    if count == 0:
        raise MediaError("broken", "has no frame that can be decoded")


def _upright(frame: Any) -> Image.Image:
    """Return the frame in RGB, rotated as players show it, at most 1,920 pixels long."""
    width, height = frame.width, frame.height
    scale = min(1.0, _MAX_EDGE / max(width, height))
    image: Image.Image = frame.reformat(
        max(1, round(width * scale)), max(1, round(height * scale)), format="rgb24"
    ).to_image()
    turn = round(frame.rotation / 90) * 90 % 360
    return image.rotate(turn, expand=True) if turn else image


def _subtitle_parts(
    file: IO[bytes], name: str, context: WorkerContext
) -> Iterator[messages.JobPart]:
    """Yield the first text subtitle stream; damage is a warning."""
    cues: list[SubtitleCue] = []
    chars = 0
    try:
        with _open(file, name) as container:
            streams = [
                s for s in container.streams.subtitles if s.codec_context.name in _TEXT_CODECS
            ]
            for packet in container.demux(streams[0]) if streams else ():
                if packet.pts is None or packet.time_base is None or len(cues) >= _MAX_CUES:
                    continue
                if chars > context.output.chars_left:  # samples may share their bytes
                    break
                start = float(packet.pts * packet.time_base)
                length = float((packet.duration or 0) * packet.time_base)
                if text := strip_markup(_packet_text(packet)):
                    cues.append(SubtitleCue(start, start + length, text))
                    chars += len(text)
    except (av.error.FFmpegError, ValueError) as error:
        yield messages.PartWarning(code="subtitles_broken", reason=str(error))
    try:
        yield from context.passage_parts("subtitle", subtitle_passages(cues))
    except MediaError as error:  # the frames are still good
        yield messages.PartWarning(code="text_cut_short", reason=str(error))


def _packet_text(packet: Any) -> str:
    lines = []
    for subtitle in packet.decode():
        rects = subtitle if hasattr(subtitle, "__iter__") else [subtitle]
        for rect in rects:
            text = getattr(rect, "dialogue", None) or getattr(rect, "text", b"")
            lines.append(text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text))
    return " ".join(lines)
