"""Encode an image request and decide which retrievers run, with which query.

text_to_image     text against whole images
text_to_region    text against regions of images (if there are any)
image_to_image    an image and liked examples against whole images
image_to_region   an image against regions of images
text_to_passage   text against captions and other passages, by meaning
lexical           text against captions and other passages, by words
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection
from sightline.storage.errors import InvalidArgumentError, UnknownAssetError
from sightline.storage.interfaces import ImageEncoder, TextEncoder, Vectors
from sightline.storage.picture_hashes import HASH_EDGE, PictureHashes, hash_picture
from sightline.storage.records import assets
from sightline.storage.records.encoder_reliability import RELIABLE, EncoderReliability
from sightline.storage.retrieval.filters.search_scope import SearchScope, require_phrases
from sightline.storage.retrieval.retrievers.copy_retriever import CopyRetriever, stored_hashes
from sightline.storage.retrieval.retrievers.lexical_retriever import LexicalRetriever
from sightline.storage.retrieval.retrievers.vector_retriever import (
    VectorRetriever,
    asset_vectors,
    unit_vector,
)
from sightline.storage.retrieval.search_caches import SearchCaches
from sightline.storage.retrieval.search_types import Example, ImageRequest, Retriever
from sightline.storage.retrieval.stage_runner import gather_or_cancel
from sightline.storage.text.phrases import remove_quotes
from sightline.storage.types import ASSET_ID, Level

UNLIKE_WEIGHT = 0.5
"""Rocchio's gamma: weight of the examples in ``unlike``."""


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """A request as unit vectors.

    Vectors are float32 of shape (dimension,), examples of shape (n, dimension). ``image_text`` is
    the query text in the image space, ``passage_text`` in the passage space. ``passage_text`` is
    None if the spaces share an encoder: a caption repeats its image and would be a second vote.
    (On a synthetic album, nDCG@10 was 0.756 with it and 0.770 without.) ``picture`` has the hashes
    of the image, if there is nothing else to search for: its copies are the best answer then.
    """

    text: str
    image_text: Vectors | None
    passage_text: Vectors | None
    image: Vectors | None
    like: Vectors
    unlike: Vectors
    picture: PictureHashes | None = None


async def load_example_vectors(
    connection: Connection, request: ImageRequest, scope: SearchScope
) -> dict[str, Vectors]:
    """Return the stored vectors of the assets that the request names.

    Raises UnknownAssetError, or InvalidArgumentError if an asset has no vector of this encoder.
    """
    ids = request.named_assets
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


async def load_picture(
    connection: Connection, request: ImageRequest, query: str
) -> PictureHashes | None:
    """Return the stored hashes of the query's image, if it is all there is."""
    if isinstance(request.image, str) and not _asks_for_more(request, query):
        return await stored_hashes(connection, request.image)
    return None


def _asks_for_more(request: ImageRequest, query: str) -> bool:
    return bool(query or request.like or request.unlike)


async def encode_query(
    request: ImageRequest,
    query: str,
    image_encoder: ImageEncoder,
    passage_encoder: TextEncoder | None,
    stored: Mapping[str, Vectors],
    picture: PictureHashes | None = None,
) -> EncodedQuery:
    """Encode text and images in parallel; ``stored`` has the vectors of named assets.

    ``picture`` has the hashes of the image, if it is an asset.
    """
    images = [each for each in request.examples if isinstance(each, Image.Image)]
    if passage_encoder is not None and passage_encoder.identity == image_encoder.identity:
        passage_encoder = None

    async def encode_text(encoder: TextEncoder | None) -> Vectors | None:
        if not query or encoder is None:
            return None
        vector: Vectors = (await encoder.encode_texts([remove_quotes(query)]))[0]
        return vector if vector.any() else None

    async def encode_images() -> Vectors | None:
        if not images:
            return None
        pixels = [await asyncio.to_thread(image_encoder.preprocess, each) for each in images]
        return await image_encoder.encode_images(pixels)

    async def hash_image() -> PictureHashes | None:
        if not isinstance(request.image, Image.Image) or _asks_for_more(request, query):
            return picture
        return await asyncio.to_thread(_hash_reduced, request.image)

    (image_text, passage_text, encoded), hashes = await asyncio.gather(
        gather_or_cancel(
            [encode_text(image_encoder), encode_text(passage_encoder), encode_images()]
        ),
        hash_image(),
    )
    by_image = {} if encoded is None else dict(zip(map(id, images), encoded, strict=True))

    def vectors_of(examples: Sequence[Example]) -> Vectors:
        vectors = [stored[e] if isinstance(e, str) else by_image[id(e)] for e in examples]
        dimension = len(vectors[0]) if vectors else 0
        return np.asarray(vectors, dtype=np.float32).reshape(len(vectors), dimension)

    return EncodedQuery(
        text=query,
        image_text=image_text,
        passage_text=passage_text,
        image=None if request.image is None else vectors_of([request.image])[0],
        like=vectors_of(request.like),
        unlike=vectors_of(request.unlike),
        picture=hashes,
    )


def _hash_reduced(image: Image.Image) -> PictureHashes | None:
    """Return the hashes of an image that is reduced as thumbnails are."""
    scale = HASH_EDGE / max(image.size)
    if scale < 1:
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)
    return hash_picture(image.convert("RGB"))


def rocchio(
    base: Vectors | None, like: Vectors, unlike: Vectors, mean: Vectors | None
) -> Vectors | None:
    """Return the unit query vector toward ``base`` and ``like``, away from ``unlike``.

    ``base`` (an image or text) and ``mean`` are float32 of shape (dimension,), the examples of
    shape (n, dimension). ``mean`` of the searched vectors is subtracted from ``unlike``, because
    what all images share must not be pushed away. None without anything to search for.
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


def plan_retrievers(
    query: EncodedQuery,
    visual_weight: float | None,
    *,
    database: Database,
    scope: SearchScope,
    caches: SearchCaches,
    reliability: EncoderReliability,
    mean: Vectors | None,
) -> list[Retriever]:
    """Return the retrievers, without those of a modality that has no weight.

    ``reliability`` scales the confidence of text queries on images. ``mean`` is the mean vector of
    the searched images.
    """
    retrievers: list[Retriever] = []
    by_text = ("text_to_image", "text_to_region")

    def add(name: str, level: Level, vector: Vectors | None, scope: SearchScope = scope) -> None:
        if vector is None or level not in scope.spaces:
            return
        retrievers.append(
            VectorRetriever(
                name=name,
                database=database,
                scope=scope,
                space=scope.spaces[level].space,
                caches=caches,
                vector=vector,
                level="asset",
                reliability=reliability if name in by_text else RELIABLE,
            )
        )

    if (visual_weight is None or visual_weight > 0) and "asset" in scope.spaces:
        image = rocchio(query.image, query.like, query.unlike, mean)
        add("image_to_image", "asset", image)
        if query.picture is not None and image is not None:
            space = scope.spaces["asset"].space
            nearest = retrievers.pop()
            copies = CopyRetriever(nearest, query.picture, database, scope, space, image)
            retrievers.append(copies)
        add("image_to_region", "region", None if query.image is None else image)
        if query.image_text is not None:
            # With an image query, the examples steer the image only.
            unlike = query.unlike if image is None else query.unlike[:0]
            text = rocchio(query.image_text, query.like[:0], unlike, mean)
            add("text_to_image", "asset", text)
            add("text_to_region", "region", text)
    if query.text and (visual_weight is None or visual_weight < 1):
        text_scope = require_phrases(scope, query.text)
        retrievers.append(
            LexicalRetriever(
                database=database, scope=text_scope, caches=caches, query=query.text, level="asset"
            )
        )
        add("text_to_passage", "passage", query.passage_text, text_scope)
    return retrievers
