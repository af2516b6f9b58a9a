from __future__ import annotations

from sightline.storage.db.pool import Database
from sightline.storage.records import assets
from tests.support.corpus import Corpus, id_of
from tests.support.encoders import ColorHistogramEncoder


async def test_assets_and_passages_are_found_by_file_name(
    database: Database,
) -> None:
    corpus = Corpus(database, ColorHistogramEncoder())
    await corpus.add("a/cat.jpg", caption="a cat")
    await corpus.add("b/cat.jpg", collection="other")
    await corpus.add("a/cat.jpg.png")
    chunks = await corpus.add_text("a/notes.md", ["one", "two"])
    async with database.connection() as connection:
        everywhere = await assets.find_by_filename(connection, ["cat.jpg", "\0"], None)
        here = await assets.find_by_filename(connection, ["x/cat.jpg"], "album")
        notes = await assets.find_passages_by_filename(connection, ["notes.md"], "album")
        captions = await assets.find_passages_by_filename(connection, ["cat.jpg"], "album")
    assert [(each.source, each.id) for each in everywhere] == [
        ("a/cat.jpg", id_of("a/cat.jpg")),
        ("b/cat.jpg", id_of("b/cat.jpg")),
    ]
    assert [each.source for each in here] == ["a/cat.jpg"]
    assert [(each.id, each.kind, each.text) for each in notes] == [
        (chunks[0], "chunk", "one"),
        (chunks[1], "chunk", "two"),
    ]
    assert [(each.kind, each.text) for each in captions] == [("caption", "a cat")]
