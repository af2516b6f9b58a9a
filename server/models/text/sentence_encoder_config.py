"""What a sentence-transformers folder says of itself. Needs neither torch nor transformers.

``modules.json`` names the steps (a transformer, pooling, normalisation), each of which may have a
configuration of its own; ``config_sentence_transformers.json`` may hold the words that a query or a
passage is to begin with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from sightline.server.models.image_text.checkpoint import TOKENIZER_FILES, FingerprintCache
from sightline.storage.errors import ConfigurationError, choices, shown

Pooling = Literal["mean", "cls", "max", "lasttoken"]

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_STEPS = ("Transformer", "Pooling", "Normalize")
#: Part of every fingerprint: raise it when the same text would give another vector.
_REVISION = 1


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a text becomes a vector. ``query`` and ``passage`` are what each begins with."""

    pooling: Pooling = "mean"
    most_tokens: int | None = None
    lower_case: bool = False
    query: str = ""
    passage: str = ""

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256."""
        text = json.dumps({"revision": _REVISION, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class SentenceFolder:
    """A checked folder: the steps are ones that we know, and the weights are there."""

    path: Path
    transformer: Path
    weights: Path
    recipe: Recipe

    @classmethod
    def open(cls, path: Path) -> SentenceFolder:
        """Raises ConfigurationError that says which file is missing, unreadable or not known."""
        if not path.is_dir():
            raise ConfigurationError(f"there is no passage encoder folder {str(path)!r}")
        # Without the list, sentence-transformers takes a bare transformer and the mean of it.
        listed = _read(path / "modules.json") or [{"type": "x.Transformer", "path": ""}]
        steps: dict[str, Path] = {}
        for step in listed:
            kind = str(step["type"]).rpartition(".")[2]
            if kind not in _STEPS:
                raise ConfigurationError(
                    f"{str(path)!r} has the step {shown(kind)}; a passage encoder takes: "
                    f"{choices(_STEPS)}"
                )
            steps[kind] = path / str(step["path"])
        transformer = steps.get("Transformer", path)
        weights = [transformer / name for name in WEIGHTS if (transformer / name).is_file()]
        if not weights or not (transformer / "config.json").is_file():
            raise ConfigurationError(
                f"{str(path)!r} is no sentence encoder: {str(transformer)!r} needs config.json and "
                f"one of {', '.join(WEIGHTS)}. Nothing is encoded with random weights."
            )
        return cls(path, transformer, weights[0], _recipe(path, transformer, steps.get("Pooling")))

    def fingerprint(self, cache: FingerprintCache) -> str:
        """Hexadecimal SHA-256 of the weights, the architecture and the tokenizer, wherever the
        folder stands.
        """
        digest = hashlib.sha256()
        for name in (self.weights.name, "config.json", *TOKENIZER_FILES):
            file = self.transformer / name
            if file.is_file():
                digest.update(f"{name} {cache.sha256(file)}".encode())
        return digest.hexdigest()


def _recipe(path: Path, transformer: Path, pooling: Path | None) -> Recipe:
    sizes = _read(transformer / "sentence_bert_config.json") or {}
    prompts = (_read(path / "config_sentence_transformers.json") or {}).get("prompts") or {}
    most_tokens = sizes.get("max_seq_length")
    return Recipe(
        pooling=_pooling({} if pooling is None else _read(pooling / "config.json") or {}, path),
        most_tokens=None if most_tokens is None else int(most_tokens),
        lower_case=bool(sizes.get("do_lower_case")),
        query=str(prompts.get("query") or ""),
        passage=str(prompts.get("document") or prompts.get("passage") or ""),
    )


def _pooling(config: Mapping[str, Any], path: Path) -> Pooling:
    chosen = config.get("pooling_mode")
    if chosen is None:
        prefix = "pooling_mode_"
        chosen = [
            key.removeprefix(prefix).removesuffix("_tokens").removesuffix("_token")
            for key, value in config.items()
            if key.startswith(prefix) and value
        ]
        chosen = chosen[0] if len(chosen) == 1 else chosen or "mean"
    if chosen not in get_args(Pooling):
        raise ConfigurationError(
            f"{str(path)!r} pools tokens by {shown(chosen)}; a passage encoder takes one of "
            f"{choices(get_args(Pooling))}"
        )
    return cast("Pooling", chosen)


def _read(file: Path) -> Any:
    """The JSON of a file; None where there is none."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {str(file)!r}: {error}") from error
