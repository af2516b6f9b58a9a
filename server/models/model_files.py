"""Model files: local folders, downloads from the hub, fingerprints."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from sightline.server.config import absolute_path
from sightline.storage.errors import ConfigurationError, MissingExtraError

logger = logging.getLogger(__name__)

LOCAL_DIR = "local-dir:"
_TORCH_PACKAGES = ("torch", "transformers", "open_clip")
_DIGESTS: Final = TypeAdapter(dict[str, str])
#: Tokenizer files of a model folder. They change the vectors of texts.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)


def local_folder(name: str) -> tuple[Path, str] | None:
    """Return folder and display name of ``local-dir:PATH``, else ``None``."""
    if not name.startswith(LOCAL_DIR):
        return None
    path = absolute_path(name.removeprefix(LOCAL_DIR))
    return path, f"{LOCAL_DIR}{path.name}"


def shown_model(name: str) -> str:
    """Return the name of a model for messages, without the path of a folder."""
    local = local_folder(name)
    return repr(name if local is None else local[1])


def cached_snapshot(name: str, patterns: list[str]) -> Path | None:
    """Return the folder of a model in the cache of huggingface_hub, or None.

    Downloads nothing. ``patterns`` select the files.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The model {name!r} in the cache of huggingface_hub cannot be read: "
            f"{first_line(error)}"
        ) from error


def require_torch(what: str, more: Sequence[str] = ()) -> None:
    """Raise MissingExtraError if torch or its libraries are not installed.

    ``what`` is the model that needs them, ``more`` are other packages of the extra.
    """
    missing = [name for name in (*_TORCH_PACKAGES, *more) if util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"{what} needs {', '.join(missing)}.", "gpu")


def load_json(file: Path) -> Any:
    """Return the JSON value of a file, or ``None`` if the file does not exist."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {str(file)!r}: {error}") from error


@contextmanager
def reads_configuration(folder: Path) -> Iterator[None]:
    """Raise ConfigurationError for values of the wrong type in the files of a folder."""
    try:
        yield
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"The configuration of {str(folder)!r} is invalid: {first_line(error)}"
        ) from error


def download_error(model: str, error: Exception) -> ConfigurationError:
    """Return the error for model files that are not in the cache of the hub's library."""
    return ConfigurationError(
        f"The files of {model} are not on this machine ({first_line(error)}), and the server "
        "downloads nothing. Pull the repository with `sightline models pull OWNER/MODEL` and name "
        f"it hf-hub:OWNER/MODEL, name a folder that contains the files: {LOCAL_DIR}PATH, or let "
        "open_clip download them once with HF_HUB_OFFLINE=0."
    )


def first_line(error: BaseException) -> str:
    """Return the type and the first line of a library's error."""
    lines = str(error).strip().splitlines()
    return ": ".join([type(error).__name__, *(line[:300] for line in lines[:1])])


class FingerprintCache:
    """SHA-256 of files, cached in a JSON file by path, size and modification time.

    Hashing gigabytes of weights at every start would take longer than loading them. An unreadable
    cache file is ignored; errors while writing it are logged.
    """

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / "cache" / "fingerprints.json"

    def sha256(self, path: Path) -> str:
        """Return the hexadecimal SHA-256 of a file. Raises OSError if it is unreadable."""
        path = path.resolve(strict=True)
        stat = path.stat()
        key = f"{path}|{stat.st_size}|{stat.st_mtime_ns}"
        digests = self._load()
        if key not in digests:
            digests = {k: v for k, v in digests.items() if not k.startswith(f"{path}|")}
            with path.open("rb") as file:
                digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
            self._save(digests)
        return digests[key]

    def _load(self) -> dict[str, str]:
        try:
            return _DIGESTS.validate_json(self._file.read_bytes())
        except (OSError, ValueError):
            return {}

    def _save(self, digests: dict[str, str]) -> None:
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("wb", dir=self._file.parent, delete=False) as new:
                new.write(_DIGESTS.dump_json(digests, indent=1))
            Path(new.name).replace(self._file)
        except OSError as error:
            logger.debug("cannot save the fingerprint cache: %s", error)
