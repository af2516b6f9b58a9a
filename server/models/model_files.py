"""Model files: local folders, downloads from the hub, fingerprints."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from sightline.storage.errors import ConfigurationError

logger = logging.getLogger(__name__)

LOCAL_DIR = "local-dir:"
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
    path = Path(name.removeprefix(LOCAL_DIR)).expanduser().absolute()
    return path, f"{LOCAL_DIR}{path.name}"


def download_snapshot(what: str, name: str, patterns: Sequence[str]) -> Path:
    """Return the folder of a hub model; download missing files.

    ``what`` names the model's role in errors; ``patterns`` select the files. Raises
    ConfigurationError if the files are missing and cannot be downloaded.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    allowed = list(patterns)
    try:
        try:
            return Path(snapshot_download(name, allow_patterns=allowed, local_files_only=True))
        except LocalEntryNotFoundError:
            return Path(snapshot_download(name, allow_patterns=allowed))
    except (OSError, ValueError) as error:
        raise download_error(f"{what} {name!r}", error) from error


def download_error(model: str, error: Exception) -> ConfigurationError:
    """Return the error for model files that are missing and cannot be downloaded."""
    return ConfigurationError(
        f"The files of {model} are not on this machine and could not be downloaded "
        f"({first_line(error)}). Run once with network access, or name a folder that contains "
        f"them: {LOCAL_DIR}PATH."
    )


def first_line(error: BaseException) -> str:
    """Return the type and the first line of a library's error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


class FingerprintCache:
    """SHA-256 of files, cached in a JSON file by path, size and modification time.

    Hashing gigabytes of weights at every start would take longer than loading them. An unreadable
    cache file is ignored; errors while writing it are logged.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @classmethod
    def in_data_dir(cls, data_dir: Path) -> Self:
        """Return the cache that is stored in a data folder."""
        return cls(data_dir / "cache" / "fingerprints.json")

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
        if self._file is None:
            return {}
        try:
            digests = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(digests, dict):
            return {}
        return {key: value for key, value in digests.items() if isinstance(value, str)}

    def _save(self, digests: dict[str, str]) -> None:
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=self._file.parent, delete=False
            ) as new:
                json.dump(digests, new, indent=1, sort_keys=True)
            Path(new.name).replace(self._file)
        except OSError as error:
            logger.debug("cannot save the fingerprint cache: %s", error)
