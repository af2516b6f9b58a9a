"""Passage search by words and by meaning."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from psycopg import sql

from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.storage.retrieval import PassageSearch
from sightline.storage.retrieval.filters.filter_columns import PASSAGES
from sightline.storage.retrieval.filters.search_scope import resolve_scope
from sightline.storage.retrieval.retrievers.lexical_retriever import lexical_statement
from sightline.storage.retrieval.search_caches import SearchCaches
from sightline.storage.retrieval.search_types import PassageHit, PassageRequest, Selection
from tests.support.corpus import Corpus, id_of

BOX = (0.1, 0.2, 0.3, 0.4)


@pytest.fixture
async def library(corpus: Corpus) -> Corpus:
    await corpus.add(
        "cooler",
        caption="a heat sink for small cases",
        lines=[("Socket LGA1700 / AM4", BOX), ("Hole spacing 54x90mm", BOX)],
    )
    await corpus.add_text(
        "manual.md",
        [
            "Mount the bracket on the board. Tighten the screws of the bracket evenly.",
            "The Who played The Kids Are Alright.",
            "安装散热器之前，请先确认主板的孔距。",
            "Der Kühler passt nicht. The café is closed.",
            "Part A-12/3.5 replaces part A-12/3.4 and costs $1,299.00.",
        ],
        metadata={"author": "Liu"},
    )
    await corpus.add_text("notes.txt", ["the the the the of of and and"], collection="notes")
    return corpus


async def first(passages: PassageSearch, query: str) -> PassageHit:
    results = await passages.search(PassageRequest(query=query, limit=1))
    (hit,) = results.hits
    return hit


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("bracket screws", "Mount the bracket"),
        ("tightening brackets", "Mount the bracket"),
        ("LGA 1700", "Socket LGA1700"),
        ("lga1700", "Socket LGA1700"),
        ("am4 socket", "Socket LGA1700"),
        ("54 x 90 mm", "Hole spacing"),
        ("A-12/3.5", "Part A-12/3.5"),
        ("1299", "Part A-12/3.5"),
        ("The Who", "The Who played"),
        ("kuhler", "Der Kühler"),
        ("CAFÉ", "Der Kühler"),
        ("主板孔距", "安装散热器"),
        ("散热", "安装散热器"),
        ("孔", "安装散热器"),
        ("确认主", "安装散热器"),
        ("bracket 散热器 主板", "安装散热器"),
    ],
)
async def test_a_passage_is_found_by_its_words(
    library: Corpus, passages: PassageSearch, query: str, text: str
) -> None:
    results = await passages.search(PassageRequest(query=query, limit=1))
    (hit,) = results.hits
    assert hit.passage.text.startswith(text)
    assert results.report.fused_keys[0] == hit.passage.id
    assert hit.retrievers["lexical"].rank == 1


async def test_a_hit_has_its_provenance(library: Corpus, passages: PassageSearch) -> None:
    line = await first(passages, "LGA1700")
    assert line.passage.kind == "ocr"
    assert line.passage.box == pytest.approx(BOX)
    assert line.passage.source == "cooler"
    assert line.asset is not None
    assert line.asset.id == line.passage.asset_id == id_of("cooler")
    chunk = await first(passages, "bracket")
    assert chunk.asset is None
    assert chunk.passage.asset_id is None
    assert (chunk.passage.source, chunk.passage.collection) == ("manual.md", "album")


async def test_kinds_and_filters_restrict_a_search(
    library: Corpus, passages: PassageSearch
) -> None:
    async def kinds(selection: Selection) -> set[str]:
        results = await passages.search(
            PassageRequest(query="socket heat sink bracket", selection=selection, limit=50)
        )
        return {hit.passage.kind for hit in results.hits}

    assert await kinds(Selection(kinds=("ocr",))) == {"ocr"}
    assert await kinds(Selection(kinds=("caption", "chunk"))) == {"caption", "chunk"}
    assert await kinds(Selection(filters={"kind": "ocr"})) == {"ocr"}
    assert await kinds(Selection(filters={"author": "Liu"})) == {"chunk"}
    assert await kinds(Selection(filters={"asset_kind": "image"})) == {"ocr", "caption"}
    assert await kinds(Selection(filters={"text": {"contains": "bracket"}})) == {"chunk"}
    assert await kinds(Selection(filters={"language": "zh"})) == {"chunk"}
    with pytest.raises(
        UnknownNameError, match=r"Unknown passage kind 'page'\. Available: 'caption'"
    ):
        await kinds(Selection(kinds=("page",)))
    with pytest.raises(InvalidArgumentError, match="kinds is empty"):
        await kinds(Selection(kinds=()))


async def test_without_an_encoder_only_words_are_searched(
    library: Corpus, database: Database
) -> None:
    passages = PassageSearch(database, None, signing_key=b"k")
    results = await passages.search(PassageRequest(query="bracket", limit=5))
    assert results.report.retrievers.keys() == {"lexical"}
    assert [hit.passage.text[:5] for hit in results.hits] == ["Mount"]


async def test_common_words_count_less_than_rare_words(
    library: Corpus, passages: PassageSearch
) -> None:
    await library.add_text("prose.txt", [f"the end of a day and night {n}" for n in range(30)])
    hit = await first(passages, "the of and bracket")
    assert hit.passage.text.startswith("Mount")


async def test_a_snippet_shows_the_query_terms_of_a_long_text(
    corpus: Corpus, passages: PassageSearch
) -> None:
    filler = "Nothing of interest stands in this sentence at all. " * 40
    await corpus.add_text("long.txt", [filler + "The warranty ends after 36 months. " + filler])
    hit = await first(passages, "warranty months")
    assert "warranty ends after 36 months" in hit.passage.snippet
    assert len(hit.passage.snippet) < 300
    assert hit.passage.snippet.startswith("…")
    assert hit.passage.snippet.endswith("…")


async def test_pages_have_no_repeated_passages(library: Corpus, passages: PassageSearch) -> None:
    request = PassageRequest(query="the bracket part socket", limit=3)
    first_page = await passages.search(request)
    cursor = first_page.report.next_cursor
    assert cursor is not None
    second = await passages.search(
        PassageRequest(query="the bracket part socket", limit=3, cursor=cursor)
    )
    ids = [hit.passage.id for hit in (*first_page.hits, *second.hits)]
    assert len(ids) == len(set(ids)) == 6
    with pytest.raises(InvalidArgumentError, match="was not made for this query"):
        await passages.search(PassageRequest(query="bracket", limit=3, cursor=cursor))


async def test_in_a_large_collection_common_words_only_rank(
    database: Database, corpus: Corpus
) -> None:
    """A term with more than ten thousand postings finds no candidates."""
    await corpus.add_text("one.txt", ["seed"])
    async with database.connection() as connection:
        await connection.execute(
            "WITH made AS (INSERT INTO passage (collection_id, source_id, kind, text, tokens, "
            "token_count) SELECT p.collection_id, p.source_id, 'chunk', "
            "'common w' || n, '', 2 FROM passage p, generate_series(1, 12000) n "
            "RETURNING id, text) "
            "INSERT INTO posting SELECT term, id, 1 FROM made, "
            "unnest(ARRAY['common', split_part(text, ' ', 2)]) AS t (term)"
        )
    await corpus.add_text("two.txt", ["common rare", "rare alone here", "common common"])
    passages = PassageSearch(database, None, signing_key=b"k")
    rare = await passages.search(PassageRequest(query="common rare", limit=5))
    assert [hit.passage.text for hit in rare.hits] == ["common rare", "rare alone here"]
    only_common = await passages.search(PassageRequest(query="common", limit=3))
    assert only_common.hits[0].passage.text == "common common"
    one = await passages.search(PassageRequest(query="common w77", limit=5))
    assert one.hits[0].passage.text == "common w77"


async def test_common_terms_use_an_index_lookup_for_each_candidate(database: Database) -> None:
    async with database.connection() as connection:
        scope = await resolve_scope(connection, Selection(), {}, PASSAGES, SearchCaches())
        cursor = await connection.execute(
            sql.SQL("EXPLAIN ") + lexical_statement(scope, "passage"),
            {
                "terms": ["rare"],
                "concepts": [0],
                "weights": [1.0],
                "collections": [],
                "common_terms": ["the"],
                "common_weights": [1.0],
                "shares": [0.5],
                "contents": [True],
                "common_contents": [False],
                "pairs": ["'the' <-> 'rare'"],
                "firsts": [0],
                "seconds": [0],
                "adjacency_bonus": 0.5,
                "adjacency_candidates": 50,
                "passages": 100,
                "mean_length": 10.0,
                "k1": 0.9,
                "b": 0.4,
                "kinds": [],
                "max_postings": 100,
                "candidates": 100,
                "rows": 100,
            },
        )
        plan = "\n".join(row[0] for row in await cursor.fetchall())
    assert re.search(r"\(\(term = common(_1)?\.term\) AND \(passage_id = candidate", plan)
    assert "passage_tokens_idx" not in plan


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("a red bus on the street", "a red bus and a green van on the street"),
        ("green bus in the street", "a green bus and a red van on the street"),
        ("红色巴士和货车", "街上有红色巴士和绿色货车"),
    ],
)
async def test_adjacent_query_words_count_more_if_they_are_adjacent_in_the_text(
    corpus: Corpus, query: str, first: str
) -> None:
    texts = [
        "a red bus and a green van on the street",
        "a green bus and a red van on the street",
        "街上有红色货车和绿色巴士",
        "街上有红色巴士和绿色货车",
    ]
    for name, order in (("one", texts), ("other", texts[::-1])):  # both orders of a tie
        await corpus.add_text(f"{name}.md", order, collection=name)
    lexical = PassageSearch(corpus.database, None, signing_key=b"k")
    for name in ("one", "other"):
        selection = Selection(collections=(name,))
        results = await lexical.search(PassageRequest(query=query, selection=selection))
        assert results.hits[0].passage.text == first
        assert results.hits[0].score > results.hits[1].score


async def test_rare_words_have_high_confidence_and_common_words_low(corpus: Corpus) -> None:
    colors = ["red", "blue", "green", "white"]
    texts = [f"{colors[n % 4]} thing" for n in range(40)] + ["a thing called LGA1700"]
    await corpus.add_text("things.txt", texts)
    lexical = PassageSearch(corpus.database, None, signing_key=b"k")

    async def confidence(query: str) -> float:
        results = await lexical.search(PassageRequest(query=query))
        return results.report.retrievers["lexical"].confidence

    rare, common, everywhere = [await confidence(each) for each in ("LGA1700", "red", "thing")]
    assert rare > 0.8
    assert 0.2 < common < 0.6
    assert everywhere < 0.05
    # A word that occurs nowhere does not reduce the confidence.
    assert await confidence("socket LGA1700") == pytest.approx(rare)
    # A word of another passage does.
    assert await confidence("red LGA1700") < 0.95 * rare


async def test_an_image_encoder_finds_captions_by_meaning_and_prose_by_words(
    library: Corpus, database: Database
) -> None:
    asked = PassageRequest(query="bracket screws", limit=20)
    every = PassageSearch(database, library.encoder, signing_key=b"k")
    results = await every.search(asked)
    assert {"chunk", "ocr", "caption"} <= _kinds(results.hits, "text_to_passage")
    captions = PassageSearch(database, library.encoder, signing_key=b"k", captions_only=True)
    results = await captions.search(asked)
    assert _kinds(results.hits, "text_to_passage") == {"caption"}
    assert results.hits[0].passage.text.startswith("Mount the bracket")
    chunks = Selection(kinds=("chunk", "ocr"))
    results = await captions.search(PassageRequest(query="bracket screws", selection=chunks))
    assert results.report.retrievers.keys() == {"lexical"}


def _kinds(hits: Sequence[PassageHit], retriever: str) -> set[str]:
    return {hit.passage.kind for hit in hits if retriever in hit.retrievers}


async def test_lexical_statements_are_not_prepared(
    library: Corpus, passages: PassageSearch, database: Database
) -> None:
    for number in range(12):  # psycopg prepares frequent statements
        await passages.search(PassageRequest(query=f"bracket screws {number}"))
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT statement FROM pg_prepared_statements")
        prepared = [statement for (statement,) in await cursor.fetchall()]
    assert prepared
    assert not [statement for statement in prepared if "BM25 in two stages" in statement]


async def test_a_page_that_starts_before_the_last_reachable_result_is_complete(
    corpus: Corpus, passages: PassageSearch
) -> None:
    await corpus.add_text("red.txt", [f"red {n}" for n in range(100)])
    await corpus.add_text("words.txt", [f"bracket {n}" for n in range(100)])
    first_page = await passages.search(PassageRequest(query="bracket red", limit=90))
    cursor = first_page.report.next_cursor
    assert cursor is not None
    second = await passages.search(PassageRequest(query="bracket red", limit=20, cursor=cursor))
    assert len(second.hits) == 20
    assert second.report.next_cursor is None
