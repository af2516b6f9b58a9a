"""open_clip models. Imports torch: use `image_text_encoder.load` instead.

Only named weights are loaded. A model never gets random weights; missing files are errors.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.pretrained import download_pretrained_from_hf
from open_clip.transformer import TextTransformer

from sightline.server.models.encoding import HeapTrimmer, cut_text, unit_vectors
from sightline.server.models.image_text.checkpoint import OpenClipFolder
from sightline.server.models.image_text.preprocess import Preprocess
from sightline.server.models.model_files import FingerprintCache, download_error, first_line
from sightline.server.models.torch_runtime import (
    DTYPES,
    MemoryAwareRunner,
    choose_device,
    choose_precision,
    to_numpy,
)
from sightline.storage.errors import ConfigurationError, UnknownNameError
from sightline.storage.interfaces import EncoderIdentity, Pixels, Vectors

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model with local files: arguments for open_clip, and a fingerprint."""

    #: Display name; part of the embedding space's identity.
    name: str
    #: open_clip's ``model_name`` and ``pretrained``.
    model_name: str
    pretrained: str | None
    #: Fingerprint of the weights.
    weights: str

    @classmethod
    def from_name(cls, encoder: str, cache: FingerprintCache) -> ModelSource:
        """Find ``ARCH/PRETRAINED`` or ``hf-hub:OWNER/MODEL``.

        Missing weights are downloaded only with ``HF_HUB_OFFLINE=0``. Raises UnknownNameError for
        an architecture or tag that open_clip does not have, and ConfigurationError for missing
        weights.
        """
        try:
            if encoder.startswith("hf-hub:"):
                file = download_pretrained_from_hf(encoder.removeprefix("hf-hub:"))
                return cls(encoder, encoder, None, cache.sha256(Path(file)))
            architecture, tag = encoder.split("/", 1)
            file = open_clip.download_pretrained(_pretrained_config(architecture, tag))
            return cls(encoder, architecture, tag, cache.sha256(Path(file)))
        except (OSError, RuntimeError, ValueError) as error:
            raise download_error(f"encoder {encoder!r}", error) from error

    @classmethod
    def from_folder(cls, folder: OpenClipFolder, name: str, cache: FingerprintCache) -> ModelSource:
        """Use the model of a validated folder."""
        return cls(name, f"local-dir:{folder.path}", None, folder.fingerprint(cache))


def _pretrained_config(architecture: str, tag: str) -> dict[str, Any]:
    if architecture not in open_clip.list_models():
        raise UnknownNameError("open_clip architecture", architecture, open_clip.list_models())
    config: dict[str, Any] = open_clip.get_pretrained_cfg(architecture, tag)
    if not config:
        tags = open_clip.list_pretrained_tags_by_model(architecture)
        raise UnknownNameError(f"weights for {architecture}", tag, tags)
    return config


class OpenClipModel:
    """A model on its device. Not thread-safe: call it from one thread."""

    def __init__(
        self,
        source: ModelSource,
        *,
        device: str = "auto",
        precision: str = "auto",
        cpu_threads: int = 0,
    ) -> None:
        """Load the weights. With ``cpu_threads`` 0, torch chooses the number of threads.

        Raises ConfigurationError if the weights do not fit the architecture.
        """
        if cpu_threads:
            torch.set_num_threads(cpu_threads)
        self._device = choose_device(device)
        precision = choose_precision(precision, self._device)
        self._dtype = DTYPES[precision]
        self._runner = MemoryAwareRunner("the encoder", self._device)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of libraries, about their own internals
                self._model = open_clip.create_model_from_pretrained(
                    source.model_name,
                    source.pretrained,
                    precision=precision,
                    device=self._device,
                    return_transform=False,
                )
                self._tokenize: Callable[[list[str]], torch.Tensor] = open_clip.get_tokenizer(
                    source.model_name
                )
        except Exception as error:
            msg = f"The encoder {source.name!r} cannot be loaded: {first_line(error)}"
            raise ConfigurationError(msg) from error
        self._max_tokens = int(getattr(self._tokenize, "context_length", 77))
        self._model.eval()
        self._encode_tokens = without_padding(self._model)
        # Pixels are channels-last; convolutions are up to 25% faster in this format.
        self._model.visual.to(memory_format=torch.channels_last)
        self.preprocess = Preprocess.from_open_clip(self._model.visual.preprocess_cfg)
        self._mean = torch.tensor(self.preprocess.mean, device=self._device).view(-1, 1, 1)
        self._std = torch.tensor(self.preprocess.std, device=self._device).view(-1, 1, 1)
        self._heap = HeapTrimmer()
        # Warm up both towers; this also gives the dimension.
        blank = np.zeros((self.preprocess.height, self.preprocess.width, 3), np.uint8)
        dimension = self.encode_texts([""]).shape[1]
        if self.encode_images([blank]).shape[1] != dimension:
            raise ConfigurationError(
                f"The encoder {source.name!r} has different dimensions for images and texts."
            )
        self.identity = EncoderIdentity(
            name=source.name,
            weights=source.weights,
            preprocessing=self.preprocess.fingerprint,
            dimension=dimension,
        )
        logger.info("loaded encoder %s on %s, %s", self.identity, self._device, precision)

    def normalize(self, pixels: Sequence[Pixels]) -> torch.Tensor:
        """Return float32 of shape (n, 3, height, width), as open_clip's transform does."""
        batch = torch.from_numpy(np.stack(pixels)).to(self._device).permute(0, 3, 1, 2)
        return batch.to(torch.float32).div_(255).sub_(self._mean).div_(self._std)

    def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        """Return unit vectors of preprocessed images, float32 of shape (n, dimension)."""

        def forward(batch: Sequence[Pixels]) -> Vectors:
            features = self._model.encode_image(self.normalize(batch).to(self._dtype))
            return unit_vectors(to_numpy(features))

        vectors = self._run(forward, pixels)
        self._heap.count(len(pixels))
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of (truncated) texts, float32 of shape (n, dimension)."""

        def forward(batch: Sequence[str]) -> Vectors:
            tokens = self._tokenize([cut_text(text, self._max_tokens) for text in batch])
            return unit_vectors(to_numpy(self._encode_tokens(tokens.to(self._device))))

        return self._run(forward, texts)

    def _run(self, forward: Callable[[Sequence[Any]], Vectors], items: Sequence[Any]) -> Vectors:
        return self._runner.run(forward, items)


def without_padding(model: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the model's ``encode_text`` without the computation of padding tokens.

    In a causal tower that takes its vector from the end-of-text token, the vector does not depend
    on the padding: a query of 6 tokens then costs 6 positions instead of 64. Other towers are
    returned unchanged. The result takes token ids of shape (n, context) and is not thread-safe.
    """
    tower = getattr(model, "text", None)
    encode: Callable[[torch.Tensor], torch.Tensor] = model.encode_text
    if not isinstance(tower, TextTransformer) or not _ignores_padding(tower):
        return encode
    mask: torch.Tensor = tower.attn_mask

    def encode_unpadded(tokens: torch.Tensor) -> torch.Tensor:
        ends = tokens == tower.eos_id if tower.pool_type == "eos" else tokens
        length = int(ends.int().argmax(dim=-1).max()) + 1
        tower.attn_mask = mask[:length, :length]
        try:
            return encode(tokens[:, :length])
        finally:
            tower.attn_mask = mask

    return encode_unpadded


def _ignores_padding(tower: TextTransformer) -> bool:
    is_causal = tower.attn_mask is not None and not tower.use_pad_mask
    return is_causal and tower.cls_emb is None and tower.pool_type in ("eos", "argmax")
