"""The part of a sentence encoder that does not depend on the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from sightline.server.models.text.sentence_encoder_config import SentenceEncoderConfig
from sightline.server.models.text.vocabulary import Vocabulary
from sightline.storage.interfaces import EncoderIdentity, Vectors


class PromptedEncoder(ABC):
    """Encodes texts with the prompts of a model, if it knows any of their words."""

    identity: EncoderIdentity
    _config: SentenceEncoderConfig
    _vocabulary: Vocabulary

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of (truncated) passages, float32 of shape (n, dimension).

        A text outside of the vocabulary has the zero vector.
        """
        return self._encode(self._config.passage_prompt, texts)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of queries, as of passages."""
        return self._encode(self._config.query_prompt, texts)

    @abstractmethod
    def _embed(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors (n, dimension) of texts with their prompts."""

    def _encode(self, prompt: str, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self.identity.dimension), np.float32)
        if self._config.lower_case:
            prompt, texts = prompt.lower(), [text.lower() for text in texts]
        known = [row for row, text in enumerate(texts) if self._vocabulary.knows(text)]
        if known:
            vectors[known] = self._embed([prompt + texts[row] for row in known])
        return vectors
