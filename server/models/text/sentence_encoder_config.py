"""Configuration of a sentence-transformers folder. Imports no torch.

``modules.json`` lists the modules (transformer, pooling, normalization), each with an optional
configuration. ``config_sentence_transformers.json`` may contain prompts for queries and passages.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from sightline.server.models.model_files import TOKENIZER_FILES, FingerprintCache, load_json
from sightline.storage.errors import ConfigurationError, choices, shown

Pooling = Literal["mean", "cls", "max", "lasttoken"]

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_MODULES = ("Transformer", "Pooling", "Normalize")
#: Part of every fingerprint. Increase it when the same text would give another vector.
_REVISION = 2


@dataclass(frozen=True, slots=True)
class SentenceEncoderConfig:
    """How a text becomes a vector. The prompts are prepended to the texts."""

    pooling: Pooling = "mean"
    max_tokens: int | None = None
    lower_case: bool = False
    query_prompt: str = ""
    passage_prompt: str = ""

    @property
    def fingerprint(self) -> str:
        """Return the hexadecimal SHA-256."""
        text = json.dumps({"revision": _REVISION, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class SentenceEncoderFolder:
    """A validated folder: supported modules, weights present."""

    path: Path
    transformer: Path
    weights: Path
    config: SentenceEncoderConfig

    @classmethod
    def open(cls, path: Path) -> SentenceEncoderFolder:
        """Validate a folder. Raises ConfigurationError that names the invalid file."""
        if not path.is_dir():
            raise ConfigurationError(f"The passage encoder folder {str(path)!r} does not exist.")
        # Without modules.json, sentence-transformers uses the transformer with mean pooling.
        listed = load_json(path / "modules.json") or [{"type": "x.Transformer", "path": ""}]
        modules: dict[str, Path] = {}
        for module in listed:
            kind = str(module["type"]).rpartition(".")[2]
            if kind not in _MODULES:
                raise ConfigurationError(
                    f"{str(path)!r} has the module {shown(kind)}. Supported: {choices(_MODULES)}."
                )
            modules[kind] = path / str(module["path"])
        transformer = modules.get("Transformer", path)
        weights = [transformer / name for name in _WEIGHTS if (transformer / name).is_file()]
        if not weights or not (transformer / "config.json").is_file():
            raise ConfigurationError(
                f"{str(path)!r} is not a sentence encoder: {str(transformer)!r} needs config.json "
                f"and one of {', '.join(_WEIGHTS)}. Sightline never encodes with random weights."
            )
        config = _load_config(path, transformer, modules.get("Pooling"))
        return cls(path, transformer, weights[0], config)

    def fingerprint(self, cache: FingerprintCache) -> str:
        """Return the hexadecimal SHA-256 of weights, architecture and tokenizer.

        The folder's location is not included.
        """
        digest = hashlib.sha256()
        for name in (self.weights.name, "config.json", *TOKENIZER_FILES):
            file = self.transformer / name
            if file.is_file():
                digest.update(f"{name} {cache.sha256(file)}".encode())
        return digest.hexdigest()


def _load_config(path: Path, transformer: Path, pooling: Path | None) -> SentenceEncoderConfig:
    limits = load_json(transformer / "sentence_bert_config.json") or {}
    prompts = (load_json(path / "config_sentence_transformers.json") or {}).get("prompts") or {}
    max_tokens = limits.get("max_seq_length")
    pooling_config = {} if pooling is None else load_json(pooling / "config.json") or {}
    return SentenceEncoderConfig(
        pooling=_parse_pooling(pooling_config, path),
        max_tokens=None if max_tokens is None else int(max_tokens),
        lower_case=bool(limits.get("do_lower_case")),
        query_prompt=str(prompts.get("query") or ""),
        passage_prompt=str(prompts.get("document") or prompts.get("passage") or ""),
    )


def _parse_pooling(config: Mapping[str, Any], path: Path) -> Pooling:
    mode = config.get("pooling_mode")
    if mode is None:
        prefix = "pooling_mode_"
        modes = [
            key.removeprefix(prefix).removesuffix("_tokens").removesuffix("_token")
            for key, value in config.items()
            if key.startswith(prefix) and value
        ]
        mode = modes[0] if len(modes) == 1 else modes or "mean"
    if mode not in get_args(Pooling):
        raise ConfigurationError(
            f"{str(path)!r} has the pooling mode {shown(mode)}. Supported: "
            f"{choices(get_args(Pooling))}."
        )
    return cast("Pooling", mode)
