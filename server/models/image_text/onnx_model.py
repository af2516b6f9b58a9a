"""Image and text encoders with ONNX graphs, on ONNX Runtime. Imports no torch."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.server.models.encoding import HeapTrimmer, unit_vectors
from sightline.server.models.image_text.checkpoint import OnnxGraphs, OpenClipFolder
from sightline.server.models.image_text.clip_tokenizer import ClipTokenizer
from sightline.server.models.image_text.preprocess import Preprocess
from sightline.server.models.image_text.transformers_folder import TransformersFolder
from sightline.server.models.model_files import FingerprintCache
from sightline.server.models.onnx_runtime import open_session
from sightline.storage.errors import ConfigurationError
from sightline.storage.interfaces import EncoderIdentity, Pixels, Vectors

logger = logging.getLogger(__name__)

_VECTOR_RANK = 2
# On a CPU, activations of more items leave its caches: 64 at once take a fifth more time for each,
# and twice the memory.
_MAX_CPU_ITEMS = 8
_TOKEN_TYPES = "token_type_ids"  # noqa: S105
#: Names of the output of vectors, in the order of preference.
_IMAGE_OUTPUTS = ("embeds", "image_embeds", "l2norm_image_embeddings", "pooler_output")
_TEXT_OUTPUTS = ("embeds", "text_embeds", "l2norm_text_embeddings", "pooler_output")
_TYPES = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "tensor(int32)": np.int32}


class OnnxModel:
    """Both towers of an image and text encoder.

    Not thread-safe: call it from one thread. The vectors are those of torch with the same weights,
    so the identity of an open_clip folder is the same.
    """

    def __init__(
        self,
        folder: OpenClipFolder | TransformersFolder,
        graphs: OnnxGraphs,
        name: str,
        cache: FingerprintCache,
        *,
        device: str = "auto",
        threads: int = 0,
    ) -> None:
        """Load and warm up. Raises ConfigurationError, or UnknownNameError for the device."""
        if isinstance(folder, OpenClipFolder):
            self.preprocess = Preprocess.from_open_clip(folder.config.get("preprocess_cfg") or {})
            self._tokenize = ClipTokenizer.from_open_clip(folder)
            self._text_length, ignores_padding = None, True
        else:
            self.preprocess, self._tokenize = folder.preprocess, folder.tokenizer()
            length = self._tokenize.context_length
            self._text_length = length if folder.pads_to_limit else None
            ignores_padding = folder.ignores_padding
        image = open_session(graphs.image, device=device, threads=threads)
        text = image
        if graphs.text != graphs.image:
            text = open_session(graphs.text, device=device, threads=threads)
        blank = np.zeros((self.preprocess.height, self.preprocess.width, 3), np.uint8)
        self._normalized = _normalized_values(self.preprocess)
        pixels = self.normalize([blank])
        ids, mask = self._tokenize.pad(self._tokenize([""]), self._text_length)
        # A graph of both towers needs the inputs of both.
        fillers = {"pixel_values": pixels, "input_ids": ids, "attention_mask": mask}
        self._images = _Graph(image, _IMAGE_OUTPUTS, fillers)
        self._texts = _Graph(text, _TEXT_OUTPUTS, fillers)
        # Without a mask, a tower that looks at all tokens must not see padding.
        self._may_pad = ignores_padding or self._texts.has_input("attention_mask")
        self._heap = HeapTrimmer()
        dimension = self.encode_texts([""]).shape[1]
        if self.encode_images([blank]).shape[1] != dimension:
            raise ConfigurationError(
                f"The encoder {name!r} has different dimensions for images and texts."
            )
        self.identity = EncoderIdentity(
            name=name,
            weights=folder.fingerprint(cache),
            preprocessing=self.preprocess.fingerprint,
            dimension=dimension,
        )
        logger.info("loaded encoder %s with %s", self.identity, self._images.provider)

    def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        """Return unit vectors of preprocessed images, float32 of shape (n, dimension)."""
        vectors = [
            self._images.run({"pixel_values": self.normalize(pixels[part])})
            for part in self._images.parts(len(pixels))
        ]
        self._heap.count(len(pixels))
        return unit_vectors(np.concatenate(vectors))

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of (truncated) texts, float32 of shape (n, dimension)."""
        ids = self._tokenize(texts)
        # Texts of similar length together: a graph computes the padding too.
        order = np.argsort([len(each) for each in ids], kind="stable")
        length = self._texts.fixed_length("input_ids") or self._text_length
        vectors = []
        for part in self._text_parts([ids[n] for n in order], length):
            padded, mask = self._tokenize.pad(part, length)
            vectors.append(self._texts.run({"input_ids": padded, "attention_mask": mask}))
        return unit_vectors(np.concatenate(vectors)[np.argsort(order)])

    def _text_parts(
        self, ordered: list[list[int]], length: int | None
    ) -> Iterator[list[list[int]]]:
        """Yield the texts that are computed at once, sorted by length."""
        groups = [ordered]
        if length is None and not self._may_pad:
            groups = [list(group) for _, group in groupby(ordered, key=len)]
        for group in groups:
            yield from (group[part] for part in self._texts.parts(len(group)))

    def normalize(self, pixels: Sequence[Pixels]) -> npt.NDArray[np.float32]:
        """Return float32 of shape (n, 3, height, width), as open_clip's transform does."""
        stacked = np.stack(pixels)
        channels = [values[stacked[..., c]] for c, values in enumerate(self._normalized)]
        return np.stack(channels, axis=1)


class _Graph:
    """A session with one output of vectors."""

    def __init__(
        self,
        session: Any,
        outputs: Sequence[str],
        fillers: Mapping[str, npt.NDArray[Any]],
    ) -> None:
        self._session = session
        self._inputs = {each.name: each for each in session.get_inputs()}
        self._fillers = fillers
        unknown = self._inputs.keys() - fillers.keys() - {_TOKEN_TYPES}
        if unknown:
            raise ConfigurationError(f"An ONNX graph has the unknown input {min(unknown)!r}.")
        vectors = [o.name for o in session.get_outputs() if len(o.shape) == _VECTOR_RANK]
        if not vectors:
            raise ConfigurationError("An ONNX graph of the encoder has no output of vectors.")
        self._output = next((each for each in outputs if each in vectors), vectors[0])

    @property
    def provider(self) -> str:
        return str(self._session.get_providers()[0])

    def parts(self, count: int) -> list[slice]:
        """Return which items are computed at once."""
        is_cpu = self.provider == "CPUExecutionProvider"
        size = min(count, _MAX_CPU_ITEMS) if is_cpu else count
        return [slice(start, start + size) for start in range(0, count, size)]

    def has_input(self, name: str) -> bool:
        return name in self._inputs

    def fixed_length(self, name: str) -> int | None:
        """Return the length of the second axis of an input; None if any will do."""
        shape = None if name not in self._inputs else self._inputs[name].shape
        if shape is None:
            known = ", ".join(self._inputs)
            raise ConfigurationError(f"An ONNX graph has no input {name!r}, only {known}.")
        return shape[1] if isinstance(shape[1], int) else None

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        values = {**self._fillers, **inputs}
        values[_TOKEN_TYPES] = np.zeros_like(values["input_ids"])
        typed = {
            name: values[name].astype(_TYPES.get(each.type, values[name].dtype), copy=False)
            for name, each in self._inputs.items()
        }
        (vectors,) = self._session.run([self._output], typed)
        result: npt.NDArray[Any] = vectors
        return result


def _normalized_values(preprocess: Preprocess) -> npt.NDArray[np.float32]:
    """Return the normalized value of each level of each channel, shape (3, 256)."""
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    mean = np.array(preprocess.mean, np.float32)[:, np.newaxis]
    std = np.array(preprocess.std, np.float32)[:, np.newaxis]
    return np.asarray((levels - mean) / std, dtype=np.float32)
