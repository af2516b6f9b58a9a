"""Model folders in open_clip's layout, and their fingerprint. Imports no torch.

Such a folder contains ``open_clip_config.json``, the weights and, for some models, tokenizer files.
It can also have ONNX graphs, which read the same weights.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from sightline.server.models.model_files import TOKENIZER_FILES, FingerprintCache, load_json
from sightline.server.models.onnx_files import weight_files
from sightline.storage.errors import ConfigurationError
from sightline.storage.picture_reference import FILE_NAME, PictureReference

CONFIG_FILE = "open_clip_config.json"
#: In the order of open_clip, so that both choose the same file.
_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)


IMAGE_GRAPH, TEXT_GRAPH = "vision_model.onnx", "text_model.onnx"


@dataclass(frozen=True, slots=True)
class OnnxGraphs:
    """The graphs of both towers."""

    image: Path
    text: Path


@dataclass(frozen=True, slots=True)
class OpenClipFolder:
    """A validated model folder: readable configuration, weights present.

    ``weights`` is None if they are in the ONNX graphs only.
    """

    path: Path
    config: dict[str, Any]
    weights: Path | None

    @classmethod
    def open(cls, path: Path) -> OpenClipFolder:
        """Validate a folder. Raises ConfigurationError that names the invalid file."""
        if not path.is_dir():
            raise ConfigurationError(f"The encoder folder {str(path)!r} does not exist.")
        file = path / CONFIG_FILE
        if not file.is_file():
            raise ConfigurationError(
                f"{str(path)!r} is not an open_clip model folder: it has no {CONFIG_FILE}."
            )
        config = load_json(file)
        if not isinstance(config, dict) or not isinstance(config.get("model_cfg"), dict):
            raise ConfigurationError(f"{str(file)!r} has no 'model_cfg'.")
        for name in _WEIGHTS:
            if (path / name).is_file():
                return cls(path, config, path / name)
        folder = cls(path, config, None)
        if folder.graphs is not None:
            return folder
        raise ConfigurationError(
            f"The encoder folder {str(path)!r} has no weights. Expected one of: "
            f"{', '.join(_WEIGHTS)}. Sightline never encodes with random weights."
        )

    @property
    def graphs(self) -> OnnxGraphs | None:
        """Return the ONNX graphs; None if the folder does not have both."""
        graphs = OnnxGraphs(self.path / IMAGE_GRAPH, self.path / TEXT_GRAPH)
        return graphs if graphs.image.is_file() and graphs.text.is_file() else None

    def fingerprint(self, cache: FingerprintCache) -> str:
        """Return the hexadecimal SHA-256 of weights, architecture and tokenizer.

        The folder's name and location are not included: moved weights give the same vectors.
        """
        digest = hashlib.sha256()
        for file in self._weight_files():
            digest.update(cache.sha256(file).encode())
        digest.update(json.dumps(self.config["model_cfg"], sort_keys=True).encode())
        for name in TOKENIZER_FILES:
            if (self.path / name).is_file():
                digest.update(f"{name} {cache.sha256(self.path / name)}".encode())
        return digest.hexdigest()

    def _weight_files(self) -> list[Path]:
        if self.weights is not None:
            return [self.weights]
        graphs = self.graphs
        towers = [] if graphs is None else [graphs.image, graphs.text]
        return [file for graph in towers for file in weight_files(graph)]

    def picture_reference(self) -> PictureReference | None:
        """Return the statistics of the pictures that the model knows; None without any.

        Raises ConfigurationError for an unreadable file.
        """
        file = self.path / FILE_NAME
        if not file.is_file():
            return None
        try:
            return PictureReference.from_bytes(file.read_bytes())
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
            raise ConfigurationError(f"{str(file)!r} is no picture reference: {error}") from error
