"""open_clip models, loaded and run. Imports torch: reach it through `encoders.load` alone.

Weights are always those that were named. Nothing here makes a model with random ones, and what a
folder lacks is an error that names the file.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import open_clip
import torch
from open_clip.pretrained import download_pretrained_from_hf

from sightline.server.models.heap_trim import Thrift
from sightline.server.models.image_text.checkpoint import FingerprintCache, ModelFolder
from sightline.server.models.image_text.preprocess import Preprocess
from sightline.server.models.image_text.unpadded_text import trimmed
from sightline.storage.errors import ConfigurationError, ModelError, UnknownNameError
from sightline.storage.interfaces import EncoderIdentity, Pixels, Vectors

logger = logging.getLogger(__name__)

Precision = Literal["fp32", "fp16", "bf16"]
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Source:
    """A model that has been named and found: what open_clip is told, and what it is made of."""

    #: Shown to people, and part of the space's identity.
    name: str
    #: open_clip's ``model_name`` and ``pretrained``.
    model_name: str
    pretrained: str | None
    #: Fingerprint of the weights.
    weights: str


def find(encoder: str, cache: FingerprintCache) -> Source:
    """The files behind ``ARCH/PRETRAINED`` or ``hf-hub:OWNER/MODEL``.

    Weights that are not on this machine yet are downloaded: naming such an encoder in a setting
    asks for that. Raises UnknownNameError for an architecture or tag that open_clip does not have,
    and ConfigurationError when the weights are not here and cannot be fetched.
    """
    try:
        if encoder.startswith("hf-hub:"):
            file = download_pretrained_from_hf(encoder.removeprefix("hf-hub:"))
            return Source(encoder, encoder, None, cache.sha256(Path(file)))
        architecture, tag = encoder.split("/", 1)
        pretrained = _pretrained(architecture, tag)
        file = open_clip.download_pretrained(pretrained)
        return Source(encoder, architecture, tag, cache.sha256(Path(file)))
    except (OSError, RuntimeError, ValueError) as error:
        msg = (
            f"the weights of encoder {encoder!r} are not on this machine and could not be fetched "
            f"({first_line(error)}). Run once where there is a network, or name a folder that "
            "holds them: local-dir:PATH."
        )
        raise ConfigurationError(msg) from error


def _pretrained(architecture: str, tag: str) -> dict[str, Any]:
    if architecture not in open_clip.list_models():
        raise UnknownNameError("open_clip architecture", architecture, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    config: dict[str, Any] = open_clip.get_pretrained_cfg(architecture, tag)
    if not config:
        raise UnknownNameError(f"weights for {architecture}", tag, tags)
    return config


def in_folder(folder: ModelFolder, name: str, cache: FingerprintCache) -> Source:
    """The model of a checked folder."""
    return Source(name, f"local-dir:{folder.path}", None, folder.fingerprint(cache))


def choose_device(device: str) -> torch.device:
    """``auto`` is CUDA where there is one; a device that is not there is refused by name."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chosen = torch.device(device)
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        known = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        raise UnknownNameError("device", device, ["cpu", *known])
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise UnknownNameError("device", device, ["cpu"])
    return chosen


def choose_precision(precision: str, device: torch.device) -> Precision:
    """``auto`` is fp16 on CUDA and fp32 elsewhere: half precision is slow on CPUs."""
    if precision == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    for known in ("fp32", "fp16", "bf16"):
        if precision == known:
            return known
    raise UnknownNameError("precision", precision, ["auto", *_DTYPES])


class OpenClipModel:
    """A loaded model on its device. Not thread-safe: one thread calls it (see `batcher`)."""

    def __init__(
        self,
        source: Source,
        *,
        device: str = "auto",
        precision: str = "auto",
        cpu_threads: int = 0,
    ) -> None:
        """Load the weights; ``cpu_threads`` of 0 leaves torch's own choice.

        Raises ConfigurationError when the weights do not fit the architecture.
        """
        if cpu_threads:
            torch.set_num_threads(cpu_threads)
        self._device = choose_device(device)
        self._precision = choose_precision(precision, self._device)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of libraries, about their own internals
                self._model = open_clip.create_model_from_pretrained(
                    source.model_name,
                    source.pretrained,
                    precision=self._precision,
                    device=self._device,
                    return_transform=False,
                )
                self._tokenize: Callable[[list[str]], torch.Tensor] = open_clip.get_tokenizer(
                    source.model_name
                )
        except Exception as error:
            msg = f"encoder {source.name!r} cannot be loaded: {first_line(error)}"
            raise ConfigurationError(msg) from error
        self._model.eval()
        self._encode_tokens = trimmed(self._model)
        # Pixels come with their channels last, and convolutions are up to a quarter faster so.
        self._model.visual.to(memory_format=torch.channels_last)
        self.preprocess = Preprocess.from_open_clip(self._model.visual.preprocess_cfg)
        self._mean = torch.tensor(self.preprocess.mean, device=self._device).view(-1, 1, 1)
        self._std = torch.tensor(self.preprocess.std, device=self._device).view(-1, 1, 1)
        self._most = 2**31
        self._thrift = Thrift()
        # A first pass of both towers: it gives the dimension, and the first caller no wait.
        blank = np.zeros((self.preprocess.height, self.preprocess.width, 3), np.uint8)
        dimension = self.encode_texts([""]).shape[1]
        if self.encode_images([blank]).shape[1] != dimension:
            msg = f"encoder {source.name!r} gives pictures and texts different dimensions"
            raise ConfigurationError(msg)
        self.identity = EncoderIdentity(
            name=source.name,
            weights=source.weights,
            preprocessing=self.preprocess.fingerprint,
            dimension=dimension,
        )
        logger.info(
            "encoder %s on %s, %s, %d dimensions",
            self.identity,
            self._device,
            self._precision,
            dimension,
        )

    def normalised(self, pixels: Sequence[Pixels]) -> torch.Tensor:
        """Float32 of shape (n, 3, height, width) on the device, as open_clip's transform gives."""
        batch = torch.from_numpy(np.stack(pixels)).to(self._device).permute(0, 3, 1, 2)
        return batch.to(torch.float32).div_(255).sub_(self._mean).div_(self._std)

    def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        """Unit vectors of preprocessed pictures, float32 of shape (n, dimension)."""

        def forward(part: Sequence[Pixels]) -> torch.Tensor:
            batch: torch.Tensor = self._model.encode_image(
                self.normalised(part).to(_DTYPES[self._precision])
            )
            return batch

        vectors = self._in_batches(forward, pixels)
        self._thrift.count(len(pixels))
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of texts, float32 of shape (n, dimension); long ones are cut."""

        def forward(part: Sequence[str]) -> torch.Tensor:
            return self._encode_tokens(self._tokenize(list(part)).to(self._device))

        return self._in_batches(forward, texts)

    @torch.inference_mode()
    def _in_batches(
        self, forward: Callable[[Sequence[Any]], torch.Tensor], items: Sequence[Any]
    ) -> Vectors:
        """Run ``forward``; halve the batch, and remember that, each time memory runs out."""
        rows: list[Vectors] = []
        start = 0
        while start < len(items):
            part = items[start : start + self._most]
            try:
                rows.append(unit(forward(part)))
                start += len(part)
            except torch.OutOfMemoryError as error:
                if len(part) == 1:
                    msg = f"the encoder does not fit in the memory of {self._device}"
                    raise ModelError(msg) from error
                self._most = len(part) // 2
                logger.warning("out of memory on %s: batches of %d now", self._device, self._most)
                torch.cuda.empty_cache()
        return np.concatenate(rows)


def unit(features: torch.Tensor) -> Vectors:
    """Rows scaled to length 1 in float32; raises ModelError for rows that have no direction."""
    vectors = features.float()
    lengths = vectors.norm(dim=-1, keepdim=True)
    if not bool(torch.isfinite(lengths).all()) or not bool((lengths > 0).all()):
        msg = "the encoder gave a vector that is zero or not finite; try precision fp32"
        raise ModelError(msg)
    unit: Vectors = (vectors / lengths).cpu().numpy()
    return unit


def first_line(error: BaseException) -> str:
    """What an error of a library says, in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
