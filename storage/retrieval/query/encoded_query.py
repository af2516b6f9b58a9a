"""A request for pictures in vectors."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, UnknownAssetError
from sightline.storage.interfaces import ImageEncoder, TextEncoder, Vectors
from sightline.storage.records import assets
from sightline.storage.retrieval.stage_runner import together
from sightline.storage.retrieval.hydrate import hydration
from sightline.storage.retrieval.filters.search_scope import Scope
from sightline.storage.retrieval.search_types import Example, ImageRequest
from sightline.storage.text.quoted_phrases import unquoted

_ASSET_ID = re.compile(r"[0-9a-z]{12}")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, in unit vectors: float32 of shape (dimension,), examples (n, dimension).

    ``words`` live in the space of pictures, ``passage_words`` in that of passages. ``named`` are
    the assets that the request itself names: they are no answer to it.
    """

    query: str
    words: Vectors | None
    passage_words: Vectors | None
    picture: Vectors | None
    like: Vectors
    unlike: Vectors
    named: frozenset[str]


async def encode(
    request: ImageRequest,
    query: str,
    images: ImageEncoder,
    passages: TextEncoder | None,
) -> tuple[Vectors | None, Vectors | None, dict[int, Vectors]]:
    """Vectors of the words (for pictures, for passages) and of the opened pictures, by ``id()``."""

    async def words(encoder: TextEncoder | None) -> Vectors | None:
        if not query or encoder is None:
            return None
        vector: Vectors = (await encoder.encode_texts([unquoted(query)]))[0]
        return vector

    same = passages is not None and passages.identity == images.identity
    opened = [each for each in _examples(request) if isinstance(each, Image.Image)]

    async def pictures() -> Vectors | None:
        if not opened:
            return None
        pixels = [await asyncio.to_thread(images.preprocess, each) for each in opened]
        return await images.encode_images(pixels)

    for_pictures, for_passages, encoded = await together(
        [words(images), words(None if same else passages), pictures()]
    )
    by_picture = {} if encoded is None else {id(p): v for p, v in zip(opened, encoded, strict=True)}
    return for_pictures, for_pictures if same else for_passages, by_picture


async def complete(
    database: Database,
    request: ImageRequest,
    query: str,
    scope: Scope,
    encoded: tuple[Vectors | None, Vectors | None, dict[int, Vectors]],
) -> Question:
    """Add the stored vectors of the assets that the request names.

    Raises UnknownAssetError, and InvalidArgumentError for one that this encoder has not seen.
    """
    words, passage_words, opened = encoded
    named = [each for each in _examples(request) if isinstance(each, str)]
    strange = [id_ for id_ in named if not _ASSET_ID.fullmatch(id_)]
    if strange:
        raise UnknownAssetError(strange)
    scoped = scope.spaces.get("asset")
    stored: dict[str, Vectors] = {}
    if named:
        async with database.connection(autocommit=True) as connection:
            if scoped is not None:
                stored = await hydration.vectors(connection, scoped.space, named)
            missing = sorted(set(named) - stored.keys())
            if missing:
                await assets.fetch(connection, missing)  # raises for those that do not exist
        if missing:
            raise InvalidArgumentError(
                f"{missing[0]!r} has no vector of the encoder that searches here; give the picture "
                "itself"
            )

    def vectors(given: Sequence[Example]) -> Vectors:
        found = [stored[each] if isinstance(each, str) else opened[id(each)] for each in given]
        width = len(found[0]) if found else 0
        return np.asarray(found, dtype=np.float32).reshape(len(found), width)

    picture = () if request.picture is None else (request.picture,)
    return Question(
        query=query,
        words=words,
        passage_words=passage_words,
        picture=vectors(picture)[0] if picture else None,
        like=vectors(request.like),
        unlike=vectors(request.unlike),
        named=frozenset([*named, *([request.cut_from] if request.cut_from else [])]),
    )


def _examples(request: ImageRequest) -> list[Example]:
    first = [] if request.picture is None else [request.picture]
    return [*first, *request.like, *request.unlike]
