"""Parse the reply of a transcription endpoint, and leave out what is no speech."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from sightline.storage.interfaces import SpeechSegment

MAX_SEGMENTS = 500
# The rule of Whisper: silence and music make it repeat what it has often read.
_MIN_SILENCE_PROBABILITY, _MAX_SILENCE_LOG_PROBABILITY = 0.6, -1.0


def is_speech(no_speech_probability: float, mean_log_probability: float) -> bool:
    """Return whether a segment is speech, by Whisper's own probabilities."""
    return not (
        no_speech_probability > _MIN_SILENCE_PROBABILITY
        and mean_log_probability < _MAX_SILENCE_LOG_PROBABILITY
    )


def parse_segments(data: bytes, seconds: float) -> list[SpeechSegment]:
    """Return the segments of a ``json`` or ``verbose_json`` reply.

    A text without segments has the whole time, from 0 to ``seconds``. Raises ValueError.
    """
    body = from_json(data)
    if not isinstance(body, Mapping):
        raise ValueError("the reply is no JSON object")
    segments = body.get("segments")
    if isinstance(segments, list) and segments:
        return [
            SpeechSegment(_number(each, "start", 0.0), _number(each, "end", seconds), text)
            for each in segments[:MAX_SEGMENTS]
            if isinstance(each, Mapping)
            and isinstance(text := each.get("text"), str)
            and is_speech(_number(each, "no_speech_prob", 0.0), _number(each, "avg_logprob", 0.0))
        ]
    if not isinstance(text := body.get("text"), str):
        raise ValueError("the reply has no text")
    return [SpeechSegment(0.0, seconds, text)] if text.strip() else []


def _number(values: Mapping[str, Any], name: str, default: float) -> float:
    value = values.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    try:
        return float(value)
    except OverflowError:  # of an integer with hundreds of digits
        return default
