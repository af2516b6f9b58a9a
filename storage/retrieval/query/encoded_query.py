"""Encode the text, image and examples of an image request; apply Rocchio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sightline.storage.db.queries import Connection
from sightline.storage.errors import InvalidArgumentError, UnknownAssetError
from sightline.storage.interfaces import ImageEncoder, TextEncoder, Vectors
from sightline.storage.records import assets
from sightline.storage.retrieval.filters.search_scope import SearchScope
from sightline.storage.retrieval.retrievers.knn import asset_vectors, unit_vector
from sightline.storage.retrieval.search_types import Example, ImageRequest
from sightline.storage.retrieval.stage_runner import gather_or_cancel
from sightline.storage.text.analyzer import remove_quotes
from sightline.storage.types import ASSET_ID

UNLIKE_WEIGHT = 0.5
"""Rocchio's gamma: weight of the examples in ``unlike``."""


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """A request as unit vectors.

    Vectors are float32 of shape (dimension,), examples of shape (n, dimension). ``image_text`` is
    the query text in the image space, ``passage_text`` in the passage space.
    """

    text: str
    image_text: Vectors | None
    passage_text: Vectors | None
    image: Vectors | None
    like: Vectors
    unlike: Vectors


def named_assets(request: ImageRequest) -> list[str]:
    """Return the asset ids that the request uses as image or examples."""
    return [each for each in _examples(request) if isinstance(each, str)]


async def load_example_vectors(
    connection: Connection, request: ImageRequest, scope: SearchScope
) -> dict[str, Vectors]:
    """Return the stored vectors of the assets that the request names.

    Raises UnknownAssetError, or InvalidArgumentError if an asset has no vector of this encoder.
    """
    ids = named_assets(request)
    if not ids:
        return {}
    if malformed := [id_ for id_ in ids if not ASSET_ID.fullmatch(id_)]:
        raise UnknownAssetError(malformed)
    scoped = scope.spaces.get("asset")
    vectors = {} if scoped is None else await asset_vectors(connection, scoped.space, ids)
    if missing := sorted(set(ids) - vectors.keys()):
        await assets.fetch(connection, missing)  # raises if an asset does not exist
        raise InvalidArgumentError(
            f"Asset {missing[0]!r} has no vector of the current encoder. Pass the image itself."
        )
    return vectors


async def encode_query(
    request: ImageRequest,
    query: str,
    image_encoder: ImageEncoder,
    passage_encoder: TextEncoder | None,
    stored: Mapping[str, Vectors],
) -> EncodedQuery:
    """Encode text and images in parallel; ``stored`` has the vectors of named assets."""
    images = [each for each in _examples(request) if isinstance(each, Image.Image)]
    shared = passage_encoder is not None and passage_encoder.identity == image_encoder.identity

    async def encode_text(encoder: TextEncoder | None) -> Vectors | None:
        if not query or encoder is None:
            return None
        vector: Vectors = (await encoder.encode_texts([remove_quotes(query)]))[0]
        return vector

    async def encode_images() -> Vectors | None:
        if not images:
            return None
        pixels = [await asyncio.to_thread(image_encoder.preprocess, each) for each in images]
        return await image_encoder.encode_images(pixels)

    image_text, passage_text, encoded = await gather_or_cancel(
        [
            encode_text(image_encoder),
            encode_text(None if shared else passage_encoder),
            encode_images(),
        ]
    )
    by_image = {} if encoded is None else dict(zip(map(id, images), encoded, strict=True))

    def vectors_of(examples: Sequence[Example]) -> Vectors:
        vectors = [stored[e] if isinstance(e, str) else by_image[id(e)] for e in examples]
        dimension = len(vectors[0]) if vectors else 0
        return np.asarray(vectors, dtype=np.float32).reshape(len(vectors), dimension)

    return EncodedQuery(
        text=query,
        image_text=image_text,
        passage_text=image_text if shared else passage_text,
        image=None if request.image is None else vectors_of([request.image])[0],
        like=vectors_of(request.like),
        unlike=vectors_of(request.unlike),
    )


def rocchio(
    base: Vectors | None, like: Vectors, unlike: Vectors, mean: Vectors | None
) -> Vectors | None:
    """Return the unit query vector toward ``base`` and ``like``, away from ``unlike``.

    ``base`` (an image or text) and ``mean`` are float32 of shape (dimension,), the examples of
    shape (n, dimension). ``mean`` is the mean of the searched vectors; it is subtracted from the
    ``unlike`` examples, because what all images share must not be pushed away. Returns None
    without anything to search for.
    """
    targets = [*like] if base is None else [base, *like]
    if not targets:
        return None
    query = unit_vector(np.mean([unit_vector(vector) for vector in targets], axis=0))
    if len(unlike):
        away = np.mean([unit_vector(vector) for vector in unlike], axis=0)
        away = away if mean is None else away - mean
        query = query - UNLIKE_WEIGHT * away
    return unit_vector(query.astype(np.float32))


def _examples(request: ImageRequest) -> list[Example]:
    first = [] if request.image is None else [request.image]
    return [*first, *request.like, *request.unlike]
