"""Transcribe in this process with a faster-whisper folder (CTranslate2)."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.server.models.model_files import first_line
from sightline.server.models.speech.spoken_segments import MAX_SEGMENTS, is_speech
from sightline.storage.errors import (
    ConfigurationError,
    MissingExtraError,
    ModelError,
    ModelUnavailableError,
)
from sightline.storage.interfaces import SpeechSegment

_BEAM_SIZE = 5


class FasterWhisperModel:
    """Implements `Transcriber`; loads on first use, and runs one sound at a time."""

    def __init__(self, folder: Path, shown: str, language: str | None = None) -> None:
        """Check the folder. Raises ConfigurationError."""
        if util.find_spec("faster_whisper") is None:
            raise MissingExtraError("A faster-whisper folder needs faster-whisper.", "speech")
        if not (folder / "model.bin").is_file():
            raise ConfigurationError(
                f"{shown} is no faster-whisper folder: it has no model.bin. Convert a Whisper "
                "model with ct2-transformers-converter."
            )
        size = (folder / "model.bin").stat().st_size
        self._name = f"faster-whisper {folder.name} {size} {language or 'any language'}"
        self._folder = folder
        self._language = language
        self._model: Any = None
        self._thread = ThreadPoolExecutor(1, "speech")
        self._is_closed = threading.Event()

    @property
    def name(self) -> str:
        """Return the folder's name, the size of its weights, and the language."""
        return self._name

    async def transcribe(self, samples: NDArray[np.int16]) -> list[SpeechSegment]:
        """Return what is said. Raises ModelError."""
        work = self._thread.submit(self._run, samples.astype(np.float32) / np.float32(32768))
        return await asyncio.wrap_future(work)

    async def close(self) -> None:
        """Stop after the current sound."""
        self._is_closed.set()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _run(self, samples: NDArray[np.float32]) -> list[SpeechSegment]:
        if self._model is None:
            self._model = self._load()
        try:
            found, _ = self._model.transcribe(
                samples,
                language=self._language,
                beam_size=_BEAM_SIZE,
                condition_on_previous_text=False,
            )
            segments: list[SpeechSegment] = []
            for each in found:
                if self._is_closed.is_set() or len(segments) >= MAX_SEGMENTS:
                    break
                if is_speech(each.no_speech_prob, each.avg_logprob):
                    segments.append(SpeechSegment(each.start, each.end, each.text))
            return segments
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"The speech model failed: {first_line(error)}.") from error

    def _load(self) -> Any:
        from faster_whisper import WhisperModel

        try:
            return WhisperModel(str(self._folder), device="auto", local_files_only=True)
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelUnavailableError(
                "The speech model cannot be loaded.", details=first_line(error)
            ) from error
