"""A LLaVA folder on ONNX Runtime: prompt, image features, steps of the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from jinja2.sandbox import ImmutableSandboxedEnvironment
from llguidance import LLTokenizer
from PIL import Image
from tokenizers import Tokenizer

from sightline.server.models.model_files import load_json
from sightline.server.models.onnx_runtime import open_session
from sightline.storage.errors import ConfigurationError

BUILTIN_FOLDER: Final = Path(__file__).parents[2] / "weights" / "builtin-llava"
VISION_GRAPH: Final = "vision_encoder.onnx"
DECODER_GRAPH: Final = "decoder.onnx"
_FILES: Final = (
    "config.json",
    "tokenizer.json",
    "chat_template.jinja",
    "model.safetensors",
    VISION_GRAPH,
    DECODER_GRAPH,
)

Logits = npt.NDArray[np.float32]
Cache = npt.NDArray[np.float32]
TokenIds = npt.NDArray[np.int64]


def check_folder(folder: Path) -> None:
    """Raise ConfigurationError that names the first missing file of a folder."""
    for name in _FILES:
        if not (folder / name).is_file():
            raise ConfigurationError(
                f"{str(folder)!r} has no model for ONNX Runtime: {name} is missing."
            )


class LlavaModel:
    """A loaded folder. Not thread-safe: call it from one thread."""

    def __init__(self, folder: Path, device: str = "cpu", threads: int = 0) -> None:
        """Load the graphs and the tokenizer.

        Raises ConfigurationError for a missing or broken file, and UnknownNameError for the device.
        """
        check_folder(folder)
        config = load_json(folder / "config.json")
        text = config["text_config"]
        self.max_context_tokens = int(text["max_position_embeddings"])
        self.vocabulary_size = int(text["vocab_size"])
        ends = (load_json(folder / "generation_config.json") or {}).get("eos_token_id", 2)
        self.end_tokens = set(ends) if isinstance(ends, list) else {int(ends)}
        self._hidden = int(text["hidden_size"])
        heads, size = int(text["num_key_value_heads"]), int(text["head_dim"])
        self._empty_cache = np.zeros(
            (int(text["num_hidden_layers"]), 2, heads, 0, size), np.float32
        )
        self._image_token = int(config["image_token_index"])
        self._tokens_of_image = int(config["image_seq_length"])
        self._preprocess = _ImagePreprocess(load_json(folder / "preprocessor_config.json") or {})
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        added = self.tokenizer.get_added_tokens_decoder().values()
        self.special_tokens = [token.content for token in added if token.special]
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
        self._template = environment.from_string(template)
        self._vision = open_session(folder / VISION_GRAPH, device=device, threads=threads)
        self._decoder = open_session(folder / DECODER_GRAPH, device=device, threads=threads)

    def token_table(self) -> LLTokenizer:
        """Return the vocabulary for constrained decoding. Takes a second."""
        return LLTokenizer(
            self.tokenizer.to_str(), n_vocab=self.vocabulary_size, eos_token=min(self.end_tokens)
        )

    def prompt_ids(self, messages: Sequence[dict[str, object]]) -> TokenIds:
        """Return the token ids of a conversation, shape (length,), with those of images."""
        text = self._template.render(messages=messages, add_generation_prompt=True)
        ids = np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)
        repeats = np.where(ids == self._image_token, self._tokens_of_image, 1)
        return np.repeat(ids, repeats)

    def image_features(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Return the features of the image tokens of all images, shape (tokens, hidden)."""
        if not images:
            return np.zeros((1, self._hidden), np.float32)
        pixels = np.stack([self._preprocess(image) for image in images])
        (features,) = self._vision.run(None, {"pixel_values": pixels})
        flat: npt.NDArray[np.float32] = features.reshape(-1, self._hidden)
        return flat

    def step(
        self, ids: TokenIds, features: npt.NDArray[np.float32], cache: Cache | None
    ) -> tuple[Logits, Cache]:
        """Return the logits after the last id, shape (vocabulary,), and the new cache."""
        inputs: dict[str, Any] = {
            "input_ids": ids,
            "image_features": features,
            "past": self._empty_cache if cache is None else cache,
        }
        logits, present = self._decoder.run(None, inputs)
        return logits, present


class _ImagePreprocess:
    """Resizes and normalizes as the image processor of the folder does."""

    def __init__(self, config: dict[str, Any]) -> None:
        size = config.get("size") or {}
        self._size = int(size.get("width", 224)), int(size.get("height", 224))
        self._mean = np.array(config.get("image_mean", [0.5] * 3), np.float32)
        self._std = np.array(config.get("image_std", [0.5] * 3), np.float32)

    def __call__(self, image: Image.Image) -> npt.NDArray[np.float32]:
        """Return float32 of shape (3, height, width)."""
        upright = image.convert("RGB")
        if upright.size != self._size:
            upright = upright.resize(self._size, Image.Resampling.BICUBIC)
        values = np.asarray(upright, np.float32) / np.float32(255)
        return np.ascontiguousarray(((values - self._mean) / self._std).transpose(2, 0, 1))
