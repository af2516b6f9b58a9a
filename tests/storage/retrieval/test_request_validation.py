"""Request digests, logged arguments, and the cache of vector samples."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from sightline.storage.errors import InvalidArgumentError
from sightline.storage.isolation.caller_cache import TtlCache
from sightline.storage.retrieval import ImageRequest, Selection
from sightline.storage.retrieval.filters.filter_columns import ASSETS
from sightline.storage.retrieval.filters.search_scope import resolve_scope
from sightline.storage.retrieval.request_validation import (
    decode_cursor,
    encode_cursor,
    loggable_arguments,
    request_digest,
    validate_request,
)
from sightline.storage.retrieval.retrievers.similarity_calibration import vector_sample
from sightline.storage.retrieval.search_caches import SearchCaches
from tests.support.corpus import Corpus


def test_an_image_has_the_same_description_in_every_process() -> None:
    red = Image.new("RGB", (64, 48), "#d02020")
    # An exact value: a salted hash would differ between processes.
    assert loggable_arguments(ImageRequest(image=red)) == {
        "image": "image 64x48 400ad300c3305027",
        "limit": 5,
    }


def test_logged_arguments_contain_the_selection_and_no_empty_values() -> None:
    request = ImageRequest(query="x", selection=Selection(filters={"kind": "image"}), limit=3)
    logged = loggable_arguments(request)
    assert logged == {"selection": {"filters": {"kind": "image"}}, "limit": 3}
    assert json.dumps(logged)


def test_the_digests_of_two_images_differ() -> None:
    red, blue = (ImageRequest(image=Image.new("RGB", (64, 48), c)) for c in ("red", "blue"))
    assert request_digest(red) == request_digest(red)
    assert request_digest(red) != request_digest(blue)


def test_a_cursor_returns_its_offset_only_with_its_key_and_digest() -> None:
    digest = request_digest(ImageRequest(query="x"))
    cursor = encode_cursor(b"key", 40, digest)
    assert decode_cursor(b"key", cursor, digest) == 40
    for key, other in ((b"other", digest), (b"key", request_digest(ImageRequest(query="y")))):
        with pytest.raises(InvalidArgumentError, match="was not made for this query"):
            decode_cursor(key, cursor, other)


async def test_only_the_samples_of_the_last_collections_stay_cached(corpus: Corpus) -> None:
    names = ("one", "two", "three")
    for name in names:
        await corpus.add(name, collection=name, picture=Image.new("RGB", (64, 64), "red"))
    caches = SearchCaches(vector_samples=TtlCache(2))
    async with corpus.database.connection(autocommit=True) as connection:
        for name in (*names, "one"):
            scope = await resolve_scope(
                connection,
                Selection(collections=(name,)),
                {"asset": corpus.encoder.identity},
                ASSETS,
                SearchCaches(),
            )
            space = scope.spaces["asset"].space
            sample = await vector_sample(connection, space, scope, caches)
            assert sample.population == 1
            assert len(caches.vector_samples) <= 2


def test_a_large_filter_is_refused_before_its_digest_is_computed() -> None:
    filters = {"or": [{"group": {"in": ["x" * 490] * 200}}] * 64}
    request = ImageRequest(query="x", selection=Selection(filters=filters))
    with pytest.raises(InvalidArgumentError, match="A filter has at most"):
        validate_request(request)
