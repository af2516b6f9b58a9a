"""Transcribers: an OpenAI-compatible endpoint, or a faster-whisper folder."""

from __future__ import annotations

from typing import Protocol

from sightline.server.config import variable
from sightline.server.config.settings import SpeechSettings
from sightline.server.models.model_files import LOCAL_DIR, local_folder
from sightline.storage.errors import ConfigurationError
from sightline.storage.interfaces import Transcriber


class ClosableTranscriber(Transcriber, Protocol):
    """A transcriber with connections or threads."""

    async def close(self) -> None:
        """Close the connections."""
        ...


def load_transcriber(settings: SpeechSettings) -> ClosableTranscriber | None:
    """Return the configured transcriber, None without one. It opens on first use.

    Raises ConfigurationError if only one of address and model is set, or if the folder or the extra
    ``speech`` is missing.
    """
    folder = None if settings.model is None else local_folder(settings.model)
    if settings.base_url is not None:
        if settings.model is None or folder is not None:
            raise ConfigurationError(
                f"{variable('speech.base_url')} is set, but {variable('speech.model')} is not the "
                f"name of a model there. GET {settings.base_url}/models lists the available models."
            )
        # Imports httpx, for which the handshake of a server must not wait.
        from sightline.server.models.speech.transcription_client import TranscriptionClient

        return TranscriptionClient(settings)
    if settings.model is None:
        return None
    if folder is None:
        raise ConfigurationError(
            f"{variable('speech.model')} is {settings.model!r}. Set {variable('speech.base_url')} "
            f"to the endpoint that has this model, or use '{LOCAL_DIR}PATH' of a faster-whisper "
            "folder."
        )
    from sightline.server.models.speech.faster_whisper_model import FasterWhisperModel

    return FasterWhisperModel(folder[0], folder[1], settings.language)
