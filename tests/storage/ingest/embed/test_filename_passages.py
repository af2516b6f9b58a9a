"""Files are found by the words of their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightline.storage.ingest.embed.source_passages import filename_passage
from sightline.storage.maintenance import integrity_check
from sightline.storage.retrieval import ImageSearch, PassageSearch
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest, Selection
from tests.storage.ingest.conftest import Bench
from tests.support.media import RED, film, pdf
from tests.support.sample_images import fill, jpeg

NAMES = "SELECT text, a.kind, a.ordinal FROM sightline.passage AS p "
NAMES += "LEFT JOIN sightline.asset AS a ON a.id = p.asset_id WHERE p.kind = 'name' ORDER BY text"


async def first(bench: Bench, query: str, kinds: tuple[str, ...] | None = None) -> list[str]:
    """Return the sources of the best image and the best passage."""
    # Without vectors of passages: the test encoder's mean little.
    images = ImageSearch(bench.database, bench.encoder, None, signing_key=b"a key")
    texts = PassageSearch(bench.database, None, signing_key=b"a key")
    pictures = await images.search(ImageRequest(query=query, visual_weight=0))
    passages = await texts.search(PassageRequest(query=query, selection=Selection(kinds=kinds)))
    return [
        *(hit.asset.source for hit in pictures.hits[:1]),
        *(hit.passage.source for hit in passages.hits[:1]),
    ]


async def test_each_type_of_file_is_found_by_the_words_of_its_name(
    bench: Bench, album: Path
) -> None:
    fill(album, 3)
    (album / "GarlicBulb-7.jpg").write_bytes(jpeg(7))
    page = pdf(lambda c: c.drawString(60, 300, "Drawn in May"), lambda c: c.drawString(9, 9, "x"))
    (album / "site_plan_A12.pdf").write_bytes(page)
    film(album / "港口 起重机.mp4", [(RED, 1)])
    (album / "tide tables.md").write_text("High water at six.")
    summary = await bench.ingest("album")
    assert (summary.added, summary.failed) == (7, 0)
    for query, source, places in [
        ("A12 site plan", "album/site_plan_A12.pdf", 2),
        ("site_plan_A12.pdf", "album/site_plan_A12.pdf", 2),
        ("garlic", "album/GarlicBulb-7.jpg", 2),
        ("起重机", "album/港口 起重机.mp4", 2),
        ("tide table", "album/tide tables.md", 1),
    ]:
        assert await first(bench, query) == [source] * places, query
    assert await first(bench, "tide tables", ("chunk",)) == []
    rows = await bench.rows(NAMES)
    assert ("site_plan_A12.pdf", "page", 0) in rows
    assert ("tide tables.md", None, None) in rows
    assert await integrity_check.check(bench.database, bench.blobs) == []


async def test_a_name_passage_is_updated_when_its_file_is_renamed(
    bench: Bench, album: Path
) -> None:
    (old,) = fill(album, 1)
    await bench.ingest("album")
    assert (await bench.ingest("album")).unchanged == 1
    old.rename(album / "harbour.jpg")
    assert (await bench.ingest("album")).updated == 1
    assert await bench.rows(NAMES) == [("harbour.jpg", "image", 0)]
    assert (await bench.ingest("album")).unchanged == 1


async def test_sources_without_a_name_passage_get_it_with_the_next_run(
    bench: Bench, album: Path
) -> None:
    fill(album, 2)
    await bench.ingest("album")
    vectors = "SELECT asset_id, embedding::text FROM sightline.embedding ORDER BY 1"
    before = await bench.rows(vectors)
    async with bench.database.connection() as connection:
        await connection.execute("DELETE FROM passage WHERE kind = 'name'")
    summary = await bench.ingest("album")
    assert (summary.updated, summary.images) == (2, 0)
    assert len(await bench.rows(NAMES)) == 2
    assert await bench.rows(vectors) == before


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("a/b/site_plan_A12.pdf", {"site", "plan", "a12", "pdf"}),
        ("FloorPlan.jpg", {"floor", "plan", "jpg"}),
        ("all.zip/deep/no suffix", {"no", "suffix"}),
        ("....", set()),
        ("LGA1700-bracket (2).JPG", {"lga1700", "bracket", "2", "jpg"}),
    ],
)
def test_joined_words_are_separate_terms(name: str, terms: set[str]) -> None:
    passage = filename_passage(name)
    assert terms <= set(passage.analysis.terms.split("\n"))
    assert passage.draft.text == name.rpartition("/")[2]
