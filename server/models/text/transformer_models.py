"""Sentence encoders and cross-encoders on transformers. Imports torch.

Use `passage_encoder.load` and `cross_encoder_reranker.load` to reach this module.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from sightline.server.models.encoding import cut_text, unit_vectors
from sightline.server.models.model_files import FingerprintCache, first_line
from sightline.server.models.text.prompted_encoder import PromptedEncoder
from sightline.server.models.text.sentence_encoder_config import SentenceEncoderFolder
from sightline.server.models.text.vocabulary import Vocabulary
from sightline.server.models.torch_runtime import (
    DTYPES,
    MemoryAwareRunner,
    choose_device,
    choose_precision,
    to_numpy,
)
from sightline.storage.errors import ConfigurationError
from sightline.storage.interfaces import EncoderIdentity, Vectors

logger = logging.getLogger(__name__)

_MAX_TOKENS = 8192
#: Code in the folder is not run. By default, transformers would ask in the terminal.
LOCAL_DATA = {"local_files_only": True, "trust_remote_code": False}


class _TransformerModel:
    """Tokenizer and model on a device. Not thread-safe: call it from one thread."""

    def __init__(
        self,
        auto_class: Any,
        what: str,
        folder: Path,
        device: str,
        precision: str,
        *,
        max_tokens: int | None = None,
        optional: tuple[str, ...] = (),
    ) -> None:
        """Load the weights of a folder; downloads nothing.

        Weights whose names begin with an ``optional`` prefix may be missing. Raises
        ConfigurationError, which names ``what``, if other weights are missing or do not fit the
        architecture. The token limit is the smallest of ``max_tokens``, tokenizer and positions.
        """
        transformers_logging.disable_progress_bar()
        self._device = choose_device(device)
        dtype = DTYPES[choose_precision(precision, self._device)]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of libraries, about their own internals
                self._tokenizer = AutoTokenizer.from_pretrained(str(folder), **LOCAL_DATA)
                model, loading = auto_class.from_pretrained(
                    str(folder), **LOCAL_DATA, dtype=dtype, output_loading_info=True
                )
        except Exception as error:
            raise ConfigurationError(f"The {what} cannot be loaded: {first_line(error)}") from error
        missing = [key for key in loading["missing_keys"] if not key.startswith(optional)]
        invalid = sorted(missing or map(str, loading["mismatched_keys"]))
        if invalid:
            raise ConfigurationError(
                f"The {what} has no weights that fit {invalid[0]!r} and {len(invalid) - 1} others. "
                "Sightline never runs with random weights."
            )
        self._model = model.to(self._device).eval()
        positions = getattr(model.config, "max_position_embeddings", None)
        limits = (max_tokens, self._tokenizer.model_max_length, positions)
        self._max_tokens = min(_MAX_TOKENS, *(int(limit) for limit in limits if limit))
        self._runner = MemoryAwareRunner(f"the {what}", self._device)
        logger.info("loaded %s on %s", what, self._device)

    def _tokenize(self, *texts: list[str], truncation: bool | str) -> Any:
        return self._tokenizer(
            *([cut_text(text, self._max_tokens) for text in each] for each in texts),
            padding=True,
            truncation=truncation,
            max_length=self._max_tokens,
            # A literal [SEP] or </s> in a text is not the end of that text.
            split_special_tokens=True,
            return_tensors="pt",
        ).to(self._device)


class SentenceEncoderModel(_TransformerModel, PromptedEncoder):
    """A sentence encoder on its device. Not thread-safe: call it from one thread."""

    def __init__(
        self,
        folder: SentenceEncoderFolder,
        name: str,
        cache: FingerprintCache,
        *,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        """Load the weights of a validated folder; downloads nothing.

        Raises ConfigurationError if weights are missing or do not fit the architecture.
        """
        super().__init__(
            AutoModel,
            f"passage encoder {name!r}",
            folder.transformer,
            device,
            precision,
            max_tokens=folder.config.max_tokens,
            optional=("pooler.",),  # a head on the first token that is not used here
        )
        self._config = folder.config
        self._vocabulary = Vocabulary.from_transformers(self._tokenizer)
        self.identity = EncoderIdentity(
            name=name,
            weights=folder.fingerprint(cache),
            preprocessing=folder.config.fingerprint,
            dimension=self._embed(["warm up"]).shape[1],
        )

    def _embed(self, texts: Sequence[str]) -> Vectors:
        return self._runner.run(self._forward, texts)

    def _forward(self, texts: Sequence[str]) -> Vectors:
        batch = self._tokenize(list(texts), truncation=True)
        tokens = self._model(**batch).last_hidden_state.float()
        return unit_vectors(to_numpy(self._pool(tokens, batch["attention_mask"])))

    def _pool(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pool tokens (n, length, dimension) with a mask (n, length) of 0 and 1."""
        present = mask.unsqueeze(-1).float()
        match self._config.pooling:
            case "mean":
                return (tokens * present).sum(1) / present.sum(1).clamp(min=1e-9)
            case "max":
                return tokens.masked_fill(present == 0, -torch.inf).amax(1)
            case "cls":
                index = mask.int().argmax(1)  # works for padding on either side
            case "lasttoken":
                index = mask.shape[1] - 1 - mask.flip(1).int().argmax(1)
        return tokens[torch.arange(len(tokens), device=tokens.device), index]


class CrossEncoderModel(_TransformerModel):
    """A cross-encoder on its device. Not thread-safe: call it from one thread."""

    def __init__(self, folder: Path, name: str, *, device: str, precision: str) -> None:
        """Load the weights of a folder; downloads nothing.

        Raises ConfigurationError if weights are missing or it has more than one output.
        """
        what = f"reranker {name!r}"
        super().__init__(AutoModelForSequenceClassification, what, folder, device, precision)
        if (labels := self._model.config.num_labels) != 1:
            raise ConfigurationError(
                f"The {what} is a classifier with {labels} classes. A cross-encoder has 1 output."
            )

    def score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """Return the relevance of each (query, text) pair, float32 of shape (n,).

        If a pair is too long, the longer of the two texts is truncated.
        """
        return self._runner.run(self._forward, pairs)

    def _forward(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        queries, passages = map(list, zip(*pairs, strict=True))
        batch = self._tokenize(queries, passages, truncation="longest_first")
        scores: Vectors = self._model(**batch).logits[:, 0].float().cpu().numpy()
        return scores
