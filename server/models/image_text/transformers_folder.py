"""Image and text encoders in the layout of transformers, with ONNX graphs.

CLIP, SigLIP, Chinese-CLIP, MobileCLIP and jina-clip as transformers.js and optimum export them:
``config.json``, ``preprocessor_config.json``, ``tokenizer.json``, and the graphs of both towers, or
one graph of both, in the folder or in ``onnx``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sightline.server.models.encoding import cut_text
from sightline.server.models.image_text.checkpoint import OnnxGraphs
from sightline.server.models.image_text.clip_tokenizer import ClipTokenizer
from sightline.server.models.image_text.preprocess import Preprocess
from sightline.server.models.model_files import (
    TOKENIZER_FILES,
    FingerprintCache,
    load_json,
    reads_configuration,
)
from sightline.server.models.onnx_files import find_graphs, weight_files
from sightline.server.models.tokenizer_files import load_tokenizer
from sightline.storage.errors import ConfigurationError

_CONFIG: Final = "config.json"
_PREPROCESSOR: Final = "preprocessor_config.json"
_MAX_TOKENS: Final = 8192
_DEFAULT_TOKENS: Final = 77


@dataclass(frozen=True, slots=True)
class TransformersFolder:
    """A validated folder: readable configuration, graphs present."""

    path: Path
    config: dict[str, Any]
    graphs: OnnxGraphs
    preprocess: Preprocess

    @classmethod
    def open(cls, path: Path) -> TransformersFolder:
        """Validate a folder. Raises ConfigurationError that names the invalid file."""
        config = load_json(path / _CONFIG)
        if not isinstance(config, dict):
            raise ConfigurationError(
                f"{str(path)!r} is not an image and text encoder: no {_CONFIG}."
            )
        towers = find_graphs(path, ["vision_model", "text_model"])
        towers = towers or find_graphs(path, ["model"]) * 2
        if not towers:
            raise ConfigurationError(
                f"{str(path)!r} has no ONNX graphs: vision_model.onnx and text_model.onnx, or "
                "model.onnx. `sightline models list` names models that have them."
            )
        images = load_json(path / _PREPROCESSOR)
        if not isinstance(images, dict):
            raise ConfigurationError(f"{str(path)!r} has no {_PREPROCESSOR}.")
        with reads_configuration(path):
            preprocess = Preprocess.from_transformers(images)
        return cls(path, config, OnnxGraphs(*towers), preprocess)

    @staticmethod
    def matches(path: Path) -> bool:
        """Return whether a folder looks like one of these."""
        return (path / _PREPROCESSOR).is_file() and (path / _CONFIG).is_file()

    @property
    def pads_to_limit(self) -> bool:
        """Return whether the text tower was trained with texts of one length."""
        return str(self.config.get("model_type", "")).startswith("siglip")

    @property
    def ignores_padding(self) -> bool:
        """Return whether the vector of a text is independent of tokens after it."""
        return self.config.get("model_type") == "clip"

    def tokenizer(self) -> ClipTokenizer:
        """Load the tokenizer. Raises ConfigurationError if it is missing or unreadable."""
        loaded = load_tokenizer(self.path, split_special=True)
        with reads_configuration(self.path):
            positions = (self.config.get("text_config") or {}).get("max_position_embeddings")
            limits = [int(each) for each in (loaded.max_tokens, positions) if each]
        length = max(1, min(_MAX_TOKENS, *(limits or [_DEFAULT_TOKENS])))
        # SigLIP 2 learned texts in lower case, but its tokenizer files do not say so.
        lower_case = self.pads_to_limit

        def prepare(text: str) -> str:
            cut = cut_text(text, length)
            return cut.lower() if lower_case else cut

        return ClipTokenizer(
            loaded.tokenizer, loaded.pad_id, length, prepare=prepare, pads_left=loaded.pads_left
        )

    def fingerprint(self, cache: FingerprintCache) -> str:
        """Return the hexadecimal SHA-256 of graphs, weights, architecture and tokenizer.

        The folder's name and location are not included.
        """
        digest = hashlib.sha256()
        graphs = {self.graphs.image, self.graphs.text}
        files = [file for graph in sorted(graphs) for file in weight_files(graph)]
        files += [self.path / name for name in (_CONFIG, *TOKENIZER_FILES)]
        for file in files:
            if file.is_file():
                digest.update(f"{file.name} {cache.sha256(file)}".encode())
        return digest.hexdigest()
