"""A hit on a document points at the words, not at a tile."""

import pytest
from PIL import Image

from sightline.storage.retrieval import ImageSearch, PassageSearch
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest
from tests.support.corpus import Corpus

PAGE = Image.new("RGB", (64, 64), "white")


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("Where did I pay a total of 30.90?", 2),
        ("6 February 2018", 1),
        ("hardwrae", 0),  # nothing has it: hardware is searched
        ("Mueller", 3),
    ],
)
async def test_words_on_a_document_have_a_box_and_no_tile(
    corpus: Corpus, images: ImageSearch, passages: PassageSearch, query: str, place: int
) -> None:
    texts = ["Harbour Hardware", "Date 06/02/2018 14:22", "Total 30.90", "Served by Müller"]
    document = [(text, (0.1, n / 5, 0.5, n / 5 + 0.1)) for n, text in enumerate(texts)]
    tile = PAGE, (0.5, 0.5, 1.0, 1.0)
    await corpus.add("receipt", picture=PAGE, document=document, tiles=[tile])
    (hit,) = (await images.search(ImageRequest(query=query, limit=1))).hits
    assert {"lexical", "text_to_region"} <= hit.retrievers.keys()
    assert hit.region is None
    assert hit.passage is not None
    assert hit.passage.box == pytest.approx(document[place][1])
    (found,) = (await passages.search(PassageRequest(query=query, limit=1))).hits
    assert found.passage == hit.passage
    (by_look,) = (await images.search(ImageRequest(image=PAGE, limit=1))).hits
    assert by_look.region is not None
