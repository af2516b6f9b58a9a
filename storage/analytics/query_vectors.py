"""Vectors of words, to search with them in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from sightline.storage.db.queries import Connection
from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.interfaces import TextEncoder
from sightline.storage.records import collections, embedding_spaces
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.types import Level


class _PassageEncoder(Protocol):
    queries: TextEncoder


class _Provider(Protocol):
    async def get(self) -> TextEncoder: ...


class _Encoders(Protocol):
    @property
    def encoder(self) -> _Provider: ...

    @property
    def passage_encoder(self) -> _Provider | None: ...


@dataclass(frozen=True, slots=True)
class QueryVectors:
    """Vectors, float16 of shape (n, dimension), and the embedding space that they fit."""

    space: EmbeddingSpace
    vectors: NDArray[np.float16]


async def query_encoder(encoders: _Encoders, level: Level) -> TextEncoder:
    """Return the encoder of a level. Raises InvalidArgumentError if there is none."""
    if level == "region":
        raise InvalidArgumentError("Words have vectors of the level 'asset' or 'passage'.")
    provider = encoders.encoder if level == "asset" else encoders.passage_encoder
    if provider is None:
        raise InvalidArgumentError("No encoder of passages is configured.")
    return await provider.get()


async def encode_queries(
    connection: Connection,
    encoder: TextEncoder,
    texts: Sequence[str],
    *,
    level: Level = "asset",
    collection: str | None = None,
) -> QueryVectors:
    """Encode texts as the searches encode their queries.

    Raises InvalidArgumentError for a text that the encoder does not know, or if no collection uses
    the encoder; UnknownNameError for an unknown collection, and SpaceMismatchError if that uses
    another encoder.
    """
    space = await _find_space(connection, encoder, level, collection)
    if hasattr(encoder, "queries"):  # an encoder that tells passages and queries apart
        encoder = cast("_PassageEncoder", encoder).queries
    vectors = await encoder.encode_texts(texts)
    for text, vector in zip(texts, vectors, strict=True):
        if not vector.any():
            raise InvalidArgumentError(f"The encoder knows no word of {shown(text)}.")
    return QueryVectors(space, vectors.astype(np.float16))


async def _find_space(
    connection: Connection, encoder: TextEncoder, level: Level, collection: str | None
) -> EmbeddingSpace:
    if collection is not None:
        found = await collections.get(connection, collection)
        space = await embedding_spaces.find_for_collection(connection, found.id, level)
        if space is None:
            raise InvalidArgumentError(
                f"Collection {found.name!r} has no vectors of the level {level!r} yet."
            )
        space.require(encoder.identity)
        return space
    space = await embedding_spaces.find(connection, encoder.identity, level)
    if space is not None:
        return space
    spaces = await embedding_spaces.list_spaces(connection)
    known = ", ".join(f"{each.id} ({each.level} of {each.identity.name})" for each in spaces)
    raise InvalidArgumentError(
        f"No vectors of the level {level!r} were made by {encoder.identity}. Embedding spaces: "
        f"{known or 'none yet'}. Set SIGHTLINE_ENCODER__MODEL to the encoder of one of them."
    )


def vector_literal(vector: NDArray[np.float16]) -> str:
    """Return a literal of halfvec without loss: ``[0.5,-0.25]``."""
    return f"[{','.join(str(number) for number in vector)}]"
