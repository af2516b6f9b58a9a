"""Which files make an encoder, and their fingerprint. Needs neither torch nor open_clip.

A folder in open_clip's layout (`local-dir:`, and the built-in model) holds
``open_clip_config.json``, the weights, and the tokenizer's files where it has its own.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.storage.errors import ConfigurationError

logger = logging.getLogger(__name__)

CONFIG = "open_clip_config.json"
#: The names that open_clip prefers, in its order, so that both pick the same file.
WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)
#: Other files of a folder that decide a text's vector.
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
_CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A checked folder: its configuration can be read and its weights are there."""

    path: Path
    config: dict[str, Any]
    weights: Path

    @classmethod
    def open(cls, path: Path) -> ModelFolder:
        """Raises ConfigurationError that says which file is missing or unreadable."""
        if not path.is_dir():
            raise ConfigurationError(f"there is no encoder folder {str(path)!r}")
        file = path / CONFIG
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            msg = f"{str(path)!r} is not an open_clip model folder: it has no {CONFIG}"
            raise ConfigurationError(msg) from None
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"cannot read {str(file)!r}: {error}") from error
        if not isinstance(config, dict) or not isinstance(config.get("model_cfg"), dict):
            raise ConfigurationError(f"{str(file)!r} has no 'model_cfg'")
        for name in WEIGHTS:
            if (path / name).is_file():
                return cls(path, config, path / name)
        msg = (
            f"the encoder folder {str(path)!r} has no weights: none of {', '.join(WEIGHTS)} is "
            "there. Nothing is encoded with random weights."
        )
        raise ConfigurationError(msg)

    def fingerprint(self, cache: FingerprintCache) -> str:
        """Hexadecimal SHA-256 of the weights, the architecture and the tokenizer.

        The folder's name and place are no part of it: moved weights make the same vectors.
        """
        digest = hashlib.sha256()
        digest.update(cache.sha256(self.weights).encode())
        digest.update(json.dumps(self.config["model_cfg"], sort_keys=True).encode())
        for name in TOKENIZER_FILES:
            if (self.path / name).is_file():
                digest.update(f"{name} {cache.sha256(self.path / name)}".encode())
        return digest.hexdigest()


class FingerprintCache:
    """SHA-256 of files, remembered in a JSON file by path, size and modification time.

    Hashing weights of several gigabytes at every start would cost more than loading them. The
    memory is a convenience: an unreadable one is made anew, one that cannot be written is skipped.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def sha256(self, path: Path) -> str:
        """Hexadecimal SHA-256 of a file's content; OSError when it cannot be read."""
        real = path.resolve(strict=True)
        stat = real.stat()
        key = f"{real}|{stat.st_size}|{stat.st_mtime_ns}"
        known = self._read()
        if key not in known:
            known = {**_others(known, real), key: _sha256(real)}
            self._write(known)
        return known[key]

    def _read(self) -> dict[str, str]:
        if self._file is None:
            return {}
        try:
            known = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(known, dict):
            return {}
        return {key: value for key, value in known.items() if isinstance(value, str)}

    def _write(self, known: dict[str, str]) -> None:
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=self._file.parent, delete=False
            ) as new:
                json.dump(known, new, indent=1, sort_keys=True)
            Path(new.name).replace(self._file)
        except OSError as error:
            logger.debug("fingerprints are not remembered: %s", error)


def _others(known: dict[str, str], path: Path) -> dict[str, str]:
    return {key: value for key, value in known.items() if not key.startswith(f"{path}|")}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
