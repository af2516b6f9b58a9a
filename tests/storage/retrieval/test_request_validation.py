"""What a cursor is bound to, what the log keeps of a request, and what a search remembers."""

from __future__ import annotations

from PIL import Image

from sightline.storage.retrieval import request_validation
from sightline.storage.retrieval.filters.filter_schema import ASSETS
from sightline.storage.retrieval.filters.search_scope import KeyCatalog, resolve
from sightline.storage.retrieval.retrievers.null_distribution import Backgrounds
from sightline.storage.retrieval.search_types import ImageRequest, Selection
from tests.support.corpus import Corpus


def test_a_picture_is_known_again_by_another_process() -> None:
    red = Image.new("RGB", (64, 48), "#d02020")
    kept = request_validation.loggable(ImageRequest(picture=red))
    # The very digits: what a process salts for itself would differ from run to run.
    assert kept["picture"] == "picture 64x48 400ad300c3305027"


def test_a_cursor_of_one_picture_is_none_of_another() -> None:
    red, blue = (ImageRequest(picture=Image.new("RGB", (64, 48), c)) for c in ("red", "blue"))
    assert request_validation.digest(red) == request_validation.digest(red)
    assert request_validation.digest(red) != request_validation.digest(blue)


async def test_of_many_collections_the_noise_of_the_last_few_is_remembered(corpus: Corpus) -> None:
    names = ("one", "two", "three")
    for name in names:
        await corpus.add(name, collection=name, picture=Image.new("RGB", (64, 64), "red"))
    remembered = Backgrounds(most_kept=2)
    async with corpus.database.connection(autocommit=True) as connection:
        for name in (*names, "one"):
            scope = await resolve(
                connection,
                Selection(collections=(name,)),
                {"asset": corpus.encoder.identity},
                ASSETS,
                KeyCatalog(),
            )
            sampled = await remembered.of(connection, scope.spaces["asset"].space, scope)
            assert sampled.population == 1
            assert len(remembered) <= 2
