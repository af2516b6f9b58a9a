"""Sentence encoders and cross-encoders on ONNX Runtime. Imports no torch.

Use `passage_encoder.load` and `cross_encoder_reranker.load` to reach this module.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, assert_never

import numpy as np
import numpy.typing as npt

from sightline.server.models.encoding import HeapTrimmer, cut_text, unit_vectors
from sightline.server.models.model_files import FingerprintCache, load_json, reads_configuration
from sightline.server.models.onnx_runtime import open_session
from sightline.server.models.text.prompted_encoder import PromptedEncoder
from sightline.server.models.text.sentence_encoder_config import Pooling, SentenceEncoderFolder
from sightline.server.models.text.vocabulary import Vocabulary
from sightline.server.models.tokenizer_files import load_tokenizer
from sightline.storage.errors import ConfigurationError
from sightline.storage.interfaces import EncoderIdentity, Vectors

logger = logging.getLogger(__name__)

_MAX_TOKENS: Final = 8192
_TOKENS_RANK: Final = 3
#: Their positions begin after the number of the padding token.
_OFFSET_POSITIONS: Final = ("roberta", "xlm-roberta", "camembert", "mpnet")
_TYPES: Final = {"tensor(int32)": np.int32}

Arrays = dict[str, npt.NDArray[Any]]


class _OnnxTextModel:
    """Tokenizer and session. Not thread-safe: call it from one thread."""

    def __init__(
        self, graph: Path, folder: Path, device: str, threads: int, max_tokens: int | None = None
    ) -> None:
        """Load a graph with the tokenizer in ``folder``.

        The token limit is the smallest of ``max_tokens``, tokenizer and positions. Raises
        ConfigurationError, or UnknownNameError for the device.
        """
        # A literal [SEP] or </s> in a text is not the end of that text.
        loaded = load_tokenizer(folder, split_special=True)
        config = load_json(folder / "config.json") or {}
        with reads_configuration(folder):
            positions = config.get("max_position_embeddings")
            if positions and config.get("model_type") in _OFFSET_POSITIONS:
                positions -= int(config.get("pad_token_id", 1)) + 1
            limits = (max_tokens, loaded.max_tokens, positions)
            self._max_tokens = min(_MAX_TOKENS, *(int(limit) for limit in limits if limit))
        self._pad_id = loaded.pad_id
        self._tokenizer = loaded.tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._max_tokens, strategy="longest_first")
        self._vocabulary = Vocabulary.from_tokenizers(loaded.tokenizer, loaded.unknown_id)
        self._session = open_session(graph, device=device, threads=threads)
        self._inputs = {each.name: each.type for each in self._session.get_inputs()}
        self._heap = HeapTrimmer()

    @property
    def provider(self) -> str:
        return str(self._session.get_providers()[0])

    def _encode_batch(self, items: Sequence[Any]) -> Arrays:
        """Return ids, mask and token types, int64 of shape (n, length)."""
        encoded = self._tokenizer.encode_batch(list(items))
        shape = len(encoded), max(len(each.ids) for each in encoded)
        arrays = {
            "input_ids": np.full(shape, self._pad_id, np.int64),
            "attention_mask": np.zeros(shape, np.int64),
            "token_type_ids": np.zeros(shape, np.int64),
        }
        for row, each in enumerate(encoded):
            own = slice(len(each.ids))
            arrays["input_ids"][row, own] = each.ids
            arrays["attention_mask"][row, own] = 1
            arrays["token_type_ids"][row, own] = each.type_ids
        return arrays

    def _run(self, output: str, arrays: Arrays) -> npt.NDArray[np.float32]:
        unknown = self._inputs.keys() - arrays.keys()
        if unknown:
            raise ConfigurationError(f"The ONNX graph has the unknown input {min(unknown)!r}.")
        inputs = {
            name: arrays[name].astype(_TYPES.get(type_, np.int64), copy=False)
            for name, type_ in self._inputs.items()
        }
        (result,) = self._session.run([output], inputs)
        self._heap.count(len(result))
        return np.asarray(result, dtype=np.float32)


class OnnxSentenceEncoder(_OnnxTextModel, PromptedEncoder):
    """A sentence encoder on ONNX Runtime. Not thread-safe: call it from one thread."""

    def __init__(
        self,
        folder: SentenceEncoderFolder,
        graph: Path,
        name: str,
        cache: FingerprintCache,
        *,
        device: str = "auto",
        threads: int = 0,
    ) -> None:
        """Load and warm up. Raises ConfigurationError, or UnknownNameError for the device."""
        super().__init__(graph, folder.transformer, device, threads, folder.config.max_tokens)
        self._config = folder.config
        outputs = {each.name: len(each.shape) for each in self._session.get_outputs()}
        tokens = [each for each, rank in outputs.items() if rank == _TOKENS_RANK]
        if not tokens:
            raise ConfigurationError(
                f"The ONNX graph of {name!r} has no output of token vectors, only "
                f"{', '.join(outputs)}."
            )
        self._output = tokens[0]
        self.identity = EncoderIdentity(
            name=name,
            weights=folder.fingerprint(cache),
            preprocessing=folder.config.fingerprint,
            dimension=self._embed(["warm up"]).shape[1],
        )
        logger.info("loaded passage encoder %s with %s", self.identity, self.provider)

    def _embed(self, texts: Sequence[str]) -> Vectors:
        arrays = self._encode_batch([cut_text(text, self._max_tokens) for text in texts])
        tokens = self._run(self._output, arrays)
        return unit_vectors(pool_tokens(tokens, arrays["attention_mask"], self._config.pooling))


class OnnxCrossEncoder(_OnnxTextModel):
    """A cross-encoder on ONNX Runtime. Not thread-safe: call it from one thread."""

    def __init__(self, graph: Path, folder: Path, name: str, *, device: str, threads: int) -> None:
        """Load a graph. Raises ConfigurationError if it has more than one output."""
        super().__init__(graph, folder, device, threads)
        names = [each.name for each in self._session.get_outputs()]
        self._output = "logits" if "logits" in names else names[0]
        labels = self._score([("warm", "up")]).shape[1]
        if labels != 1:
            raise ConfigurationError(
                f"The reranker {name!r} is a classifier with {labels} classes. A cross-encoder has "
                "1 output."
            )
        logger.info("loaded reranker %s with %s", name, self.provider)

    def score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """Return the relevance of each (query, text) pair, float32 of shape (n,).

        If a pair is too long, the longer of the two texts is truncated.
        """
        scores: Vectors = self._score(pairs)[:, 0]
        return scores

    def _score(self, pairs: Sequence[tuple[str, str]]) -> npt.NDArray[np.float32]:
        cut = [(cut_text(a, self._max_tokens), cut_text(b, self._max_tokens)) for a, b in pairs]
        return self._run(self._output, self._encode_batch(cut))


def pool_tokens(
    tokens: npt.NDArray[np.float32], mask: npt.NDArray[Any], pooling: Pooling
) -> npt.NDArray[np.float32]:
    """Pool tokens (n, length, dimension) with a mask (n, length) of 0 and 1.

    The padding is at the end.
    """
    match pooling:
        case "mean":
            present = mask[..., np.newaxis].astype(np.float32)
            return np.asarray((tokens * present).sum(1) / present.sum(1).clip(min=1e-9))
        case "max":
            return np.asarray(np.where(mask[..., np.newaxis] == 0, -np.inf, tokens).max(1))
        case "cls":
            return tokens[:, 0]
        case "lasttoken":
            return np.asarray(tokens[np.arange(len(tokens)), mask.sum(1) - 1])
        case _:
            assert_never(pooling)
