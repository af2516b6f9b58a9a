"""Files of a model by its name on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sightline.storage.errors import ConfigurationError


def snapshot(what: str, name: str, wanted: Sequence[str]) -> Path:
    """The folder of the model's files, fetched where they are not here yet: naming it asks for it.

    ``what`` is for messages; ``wanted`` are patterns of file names. Raises ConfigurationError.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    patterns = list(wanted)
    try:
        try:
            return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
        except LocalEntryNotFoundError:
            return Path(snapshot_download(name, allow_patterns=patterns))
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0][:300]
        raise ConfigurationError(
            f"the files of {what} {name!r} are not on this machine and could not be "
            f"fetched ({type(error).__name__}: {reason}). Run once where there is a network, or "
            "name a folder that holds them: local-dir:PATH."
        ) from error
