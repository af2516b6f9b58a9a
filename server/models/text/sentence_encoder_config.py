"""Configuration of a sentence-transformers folder. Imports no torch.

``modules.json`` lists the modules (transformer, pooling, normalization), each with an optional
configuration. ``config_sentence_transformers.json`` may contain prompts for queries and passages.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast, get_args

from sightline.server.models.model_files import (
    TOKENIZER_FILES,
    FingerprintCache,
    load_json,
    reads_configuration,
)
from sightline.server.models.onnx_files import find_graphs, weight_files
from sightline.server.models.store.model_record import EncodingOptions, read_record
from sightline.storage.errors import ConfigurationError, choices, shown

Pooling = Literal["mean", "cls", "max", "lasttoken"]

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_MODULES = ("Transformer", "Pooling", "Normalize")
_DESCRIPTIONS = ("config.json", *TOKENIZER_FILES)
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
    """A validated folder: supported modules, weights present.

    ``weights`` are those for torch, ``graph`` is that for ONNX Runtime; one of them may be None.
    """

    path: Path
    transformer: Path
    weights: Path | None
    graph: Path | None
    config: SentenceEncoderConfig

    @classmethod
    def open(cls, path: Path) -> SentenceEncoderFolder:
        """Validate a folder. Raises ConfigurationError that names it, or the invalid file."""
        with reads_configuration(path):
            return cls._open(path)

    @classmethod
    def _open(cls, path: Path) -> SentenceEncoderFolder:
        if not path.is_dir():
            raise ConfigurationError(f"The passage encoder folder {str(path)!r} does not exist.")
        # Without modules.json, sentence-transformers uses the transformer with mean pooling.
        listed = load_json(path / "modules.json") or [{"type": "x.Transformer", "path": ""}]
        modules = dict(_module(path, each) for each in listed)
        transformer = modules.get("Transformer", path)
        weights = [transformer / name for name in _WEIGHTS if (transformer / name).is_file()]
        graphs = find_graphs(transformer, ["model"], has_weights=bool(weights))
        if not (weights or graphs) or not (transformer / "config.json").is_file():
            raise ConfigurationError(
                f"{str(path)!r} is not a sentence encoder: {str(transformer)!r} needs config.json "
                f"and one of {', '.join(_WEIGHTS)}, model.onnx. "
                "Sightline never encodes with random weights."
            )
        config = _load_config(path, transformer, modules.get("Pooling"))
        return cls(path, transformer, next(iter(weights), None), next(iter(graphs), None), config)

    def fingerprint(self, cache: FingerprintCache) -> str:
        """Return the hexadecimal SHA-256 of weights, architecture and tokenizer.

        The weights are those for torch, or those of the graph if there are no others. The folder's
        location is not included.
        """
        digest = hashlib.sha256()
        files = [self.weights] if self.weights is not None else []
        if self.weights is None and self.graph is not None:
            files = weight_files(self.graph)
        for file in (*files, *(self.transformer / each for each in _DESCRIPTIONS)):
            if file.is_file():
                digest.update(f"{file.name} {cache.sha256(file)}".encode())
        return digest.hexdigest()


def _module(path: Path, module: Any) -> tuple[str, Path]:
    """Return kind and folder of a module, which is inside of ``path``."""
    if not isinstance(module, Mapping):
        raise ConfigurationError(f"{str(path / 'modules.json')!r} is not a list of modules.")
    kind = str(module.get("type")).rpartition(".")[2]
    if kind not in _MODULES:
        raise ConfigurationError(
            f"{str(path)!r} has the module {shown(kind)}. Supported: {choices(_MODULES)}."
        )
    place = PurePosixPath(str(module.get("path") or ""))
    if place.is_absolute() or ".." in place.parts:
        raise ConfigurationError(
            f"{str(path)!r} has a module in {shown(str(place))}, which is not inside of it."
        )
    return kind, path / place


def _load_config(path: Path, transformer: Path, pooling: Path | None) -> SentenceEncoderConfig:
    limits = load_json(transformer / "sentence_bert_config.json") or {}
    prompts = (load_json(path / "config_sentence_transformers.json") or {}).get("prompts") or {}
    pooling_config = {} if pooling is None else load_json(pooling / "config.json") or {}
    record = read_record(path)
    # What the catalog knows about a repository, of which many have no configuration.
    known = EncodingOptions() if record is None else record.options
    max_tokens = limits.get("max_seq_length") or known.max_tokens
    query_prompt, passage_prompt = known.query_prompt, known.passage_prompt
    return SentenceEncoderConfig(
        pooling=_parse_pooling(pooling_config or {"pooling_mode": known.pooling}, path),
        max_tokens=None if max_tokens is None else int(max_tokens),
        lower_case=bool(limits.get("do_lower_case")),
        query_prompt=str(prompts.get("query") or query_prompt or ""),
        passage_prompt=str(
            prompts.get("document") or prompts.get("passage") or passage_prompt or ""
        ),
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
