"""Image search by text, image and examples."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sightline.storage.db.pool import Database
from sightline.storage.errors import (
    InvalidArgumentError,
    SpaceMismatchError,
    UnknownAssetError,
    UnknownNameError,
)
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import collections, embedding_spaces
from sightline.storage.retrieval import ImageSearch, PassageSearch
from sightline.storage.retrieval.search_types import (
    ImageHit,
    ImageRequest,
    PassageRequest,
    Selection,
)
from tests.support.corpus import Corpus, id_of
from tests.support.encoders import ColorHistogramEncoder

RED, GREEN, BLUE, WHITE = ("#d02020", "#20c040", "#2030d0", "#f8f8f8")


def plain(color: str) -> Image.Image:
    return Image.new("RGB", (64, 64), color)


def colors(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST)


def split(left: str, right: str) -> Image.Image:
    picture = plain(left)
    picture.paste(right, (32, 0, 64, 64))
    return picture


@pytest.fixture
async def album(corpus: Corpus) -> Corpus:
    await corpus.add("rose", picture=plain(RED), caption="a rose in the garden")
    await corpus.add("brick", picture=plain("#c03028"), caption="an old brick wall")
    await corpus.add("meadow", picture=plain(GREEN), caption="a meadow in May, 春天的草地")
    await corpus.add("sea", picture=plain(BLUE), caption="the sea at noon")
    await corpus.add("flag", picture=split(RED, BLUE), caption="a flag")
    return corpus


def names(hits: tuple[ImageHit, ...]) -> list[str]:
    return [hit.asset.source for hit in hits]


async def test_words_find_an_image_by_its_caption(album: Corpus, images: ImageSearch) -> None:
    results = await images.search(ImageRequest(query="brick walls"))
    first = results.hits[0]
    assert first.asset.source == "brick"
    assert first.retrievers["lexical"].rank == 1
    assert first.passage is not None
    assert first.passage.text == "an old brick wall"
    assert first.passage.asset_id == first.asset.id


async def test_chinese_words_find_an_image_by_its_caption(
    album: Corpus, images: ImageSearch
) -> None:
    for query in ("草地", "春天", "天的草", "草"):
        results = await images.search(ImageRequest(query=query))
        assert results.hits[0].asset.source == "meadow", query


async def test_lexical_confidence_is_squared_for_images(
    album: Corpus, images: ImageSearch, database: Database
) -> None:
    passages = PassageSearch(database, None, signing_key=b"k")
    asked = {}
    for query in ("brick garden", "a rose in the garden"):
        seen = await images.search(ImageRequest(query=query))
        read = await passages.search(PassageRequest(query=query))
        asked[query] = [each.report.retrievers["lexical"].confidence for each in (seen, read)]
        assert asked[query][0] == pytest.approx(asked[query][1] ** 2, abs=1e-3)
    assert 0.1 < asked["brick garden"][1] < 0.9


async def test_an_image_finds_similar_images(album: Corpus, images: ImageSearch) -> None:
    results = await images.search(ImageRequest(image=plain("#d82828"), limit=2))
    assert set(names(results.hits)) == {"rose", "brick"}
    scores = results.hits[0].retrievers["image_to_image"]
    assert scores.rank == 1
    assert scores.distance == pytest.approx(1 - scores.score)


async def test_a_stored_image_finds_similar_images_and_not_itself(
    album: Corpus, images: ImageSearch
) -> None:
    results = await images.search(ImageRequest(image=id_of("rose"), limit=10))
    assert names(results.hits)[0] == "brick"
    assert "rose" not in names(results.hits)


async def test_examples_move_the_query_toward_and_away(album: Corpus, images: ImageSearch) -> None:
    results = await images.search(ImageRequest(like=(id_of("flag"),), limit=10))
    assert names(results.hits)[0] in {"rose", "brick", "sea"}
    less_red = await images.search(
        ImageRequest(like=(id_of("flag"),), unlike=(id_of("rose"),), limit=10)
    )
    assert names(less_red.hits)[0] == "sea"
    assert {"flag", "rose"}.isdisjoint(names(less_red.hits))


async def test_unlike_examples_alone_are_rejected(album: Corpus, images: ImageSearch) -> None:
    with pytest.raises(InvalidArgumentError, match="'unlike' only moves a search away"):
        await images.search(ImageRequest(unlike=(id_of("rose"),)))


async def test_text_and_image_are_combined(album: Corpus, images: ImageSearch) -> None:
    results = await images.search(ImageRequest(query="wall", image=plain(RED), limit=1))
    (hit,) = results.hits
    assert hit.asset.source == "brick"
    assert {"lexical", "image_to_image"} <= hit.retrievers.keys()


async def test_visual_weight_decides_between_appearance_and_text(
    album: Corpus, images: ImageSearch
) -> None:
    for weight, name in ((1.0, "sea"), (0.0, "meadow")):
        results = await images.search(
            ImageRequest(query="meadow", image=plain(BLUE), visual_weight=weight, limit=1)
        )
        assert names(results.hits) == [name]
        assert results.hits[0].score == pytest.approx(1.0)


async def test_a_region_states_the_matching_part_of_the_image(
    corpus: Corpus, images: ImageSearch
) -> None:
    halves = [(plain(RED), (0.0, 0.0, 0.5, 1.0)), (plain(BLUE), (0.5, 0.0, 1.0, 1.0))]
    await corpus.add("flag", picture=split(RED, BLUE), tiles=halves)
    await corpus.add("snow", picture=plain(WHITE), tiles=[(plain(WHITE), (0.0, 0.0, 1.0, 1.0))])
    results = await images.search(ImageRequest(image=plain(BLUE), limit=1))
    (hit,) = results.hits
    assert hit.asset.source == "flag"
    assert hit.region is not None
    assert hit.region.box == (0.5, 0.0, 1.0, 1.0)
    assert hit.retrievers["image_to_region"].rank == 1


async def test_words_of_one_label_match_across_ocr_lines(
    corpus: Corpus, images: ImageSearch
) -> None:
    box = (0.1, 0.1, 0.5, 0.2)
    await corpus.add("both", lines=[("socket LGA1700", box), ("holes 54x90mm", box)])
    await corpus.add("one", lines=[("socket LGA1700", box), ("socket LGA1700", box)])
    await corpus.add("other", lines=[("socket AM4", box)])
    results = await images.search(ImageRequest(query="LGA1700 54 x 90 mm", limit=3))
    assert names(results.hits)[0] == "both"
    passage = results.hits[0].passage
    assert passage is not None
    assert passage.box == pytest.approx(box)


async def test_matching_words_win_over_an_unreliable_encoder(
    corpus: Corpus, images: ImageSearch
) -> None:
    """The test encoder relates no text to images, so its retriever must count little."""
    rng = np.random.default_rng(1)
    for n in range(60):
        pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        noise = Image.fromarray(pixels).resize((4, 4)).resize((64, 64))
        await corpus.add(f"p{n}", picture=noise, caption=f"photograph number{n} of thing{n % 7}")
    await corpus.measure_reliability()
    right = 0
    for n in range(0, 60, 6):
        results = await images.search(ImageRequest(query=f"number{n}", limit=1))
        right += names(results.hits) == [f"p{n}"]
        retrievers = results.report.retrievers
        assert retrievers["text_to_image"].weight < 0.3 * retrievers["lexical"].weight
    assert right == 10


async def test_a_few_captioned_images_do_not_hide_one_without_caption(
    corpus: Corpus, images: ImageSearch
) -> None:
    for n in range(8):
        await corpus.add(f"p{n}", picture=plain(GREEN), caption=f"a meadow with {n + 2} flowers")
    await corpus.add("sea", picture=plain(BLUE))
    results = await images.search(ImageRequest(query="lorry", image=plain(BLUE), limit=1))
    assert results.hits[0].retrievers.keys() >= {"image_to_image", "text_to_image"}
    assert names(results.hits) == ["sea"]


async def test_every_hit_reports_its_retrievers(album: Corpus, images: ImageSearch) -> None:
    results = await images.search(ImageRequest(query="sea", limit=5))
    assert {"text_to_image", "lexical"} == results.report.retrievers.keys()
    for hit in results.hits:
        assert hit.retrievers
        assert all(score.rank >= 1 for score in hit.retrievers.values())
    scores = [hit.score for hit in results.hits]
    assert scores == sorted(scores, reverse=True)
    assert {"encode", "scope", "lexical", "hydrate", "total"} <= results.report.timings_ms.keys()


async def test_captions_are_searched_by_meaning_if_images_have_another_encoder(
    corpus: Corpus, database: Database
) -> None:
    class Another(ColorHistogramEncoder):
        @property
        def identity(self) -> EncoderIdentity:
            return replace(super().identity, name="another")

    await corpus.add("sea", picture=plain(BLUE))
    texts = Another()
    async with database.connection() as connection:
        owner = await collections.ensure(connection, "album")
        space = await embedding_spaces.get_or_create(connection, texts.identity, "passage")
        await embedding_spaces.assign(connection, owner.id, space)
    images = ImageSearch(database, corpus.encoder, texts, signing_key=b"k")
    results = await images.search(ImageRequest(query="sea", limit=5))
    assert {"text_to_image", "lexical", "text_to_passage"} == results.report.retrievers.keys()


async def test_a_report_has_the_order_of_each_retriever_and_the_fused_order(
    album: Corpus, images: ImageSearch
) -> None:
    results = await images.search(ImageRequest(query="sea", limit=1))
    for name, retriever in results.report.retrievers.items():
        assert len(retriever.keys) == retriever.hits, name
    assert results.report.retrievers["lexical"].keys == (id_of("sea"),)
    assert results.report.fused_keys[0] == results.hits[0].asset.id
    assert set(results.report.fused_keys) == set(results.report.retrievers["text_to_image"].keys)
    like = await images.search(ImageRequest(image=id_of("sea")))
    assert id_of("sea") not in like.report.fused_keys


async def test_pages_have_no_repeated_hits(album: Corpus, images: ImageSearch) -> None:
    whole = await images.search(ImageRequest(query="a", limit=5))
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        page = await images.search(ImageRequest(query="a", limit=2, cursor=cursor))
        seen += names(page.hits)
        cursor = page.report.next_cursor
    assert cursor is None
    assert seen == names(whole.hits)


async def test_a_cursor_is_bound_to_its_query_and_principal(
    album: Corpus, images: ImageSearch
) -> None:
    first = await images.search(ImageRequest(query="a", limit=2, principal="alice"))
    cursor = first.report.next_cursor
    assert cursor is not None
    again = await images.search(ImageRequest(query="a", limit=3, principal="alice", cursor=cursor))
    assert len(again.hits) == 3
    tampered = ("A" if cursor[0] != "A" else "B") + cursor[1:]
    for request in (
        ImageRequest(query="b", principal="alice", cursor=cursor),
        ImageRequest(query="a", principal="mallory", cursor=cursor),
        ImageRequest(query="a", principal="alice", cursor=cursor, diversity=0.5),
        ImageRequest(query="a", principal="alice", cursor=tampered),
        ImageRequest(query="a", principal="alice", cursor="not a cursor"),
        ImageRequest(query="a", principal="alice", cursor="é" * 1000),
    ):
        with pytest.raises(InvalidArgumentError, match="was not made for this query"):
            await images.search(request)


async def test_near_duplicates_are_grouped(corpus: Corpus, images: ImageSearch) -> None:
    for n, bits in enumerate((0b1111, 0b1110, -1, -2)):
        await corpus.add(f"p{n}", picture=plain(RED), caption="a rose", perceptual_hash=bits)
    results = await images.search(ImageRequest(query="rose", group_duplicates=True))
    assert len(results.hits) == 2
    shown = {hit.asset.source: hit.duplicates for hit in results.hits}
    for name, others in shown.items():
        partner = {"p0": "p1", "p1": "p0", "p2": "p3", "p3": "p2"}[name]
        assert others == (id_of(partner),)


async def test_diversity_trades_score_for_variety(album: Corpus, images: ImageSearch) -> None:
    alike = await images.search(ImageRequest(image=plain(RED), limit=2))
    varied = await images.search(ImageRequest(image=plain(RED), limit=2, diversity=0.7))
    assert set(names(alike.hits)) == {"rose", "brick"}
    assert names(varied.hits)[0] == names(alike.hits)[0]
    assert names(varied.hits)[1] not in {"rose", "brick"}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ImageRequest(visual_weight=0), "visual_weight 0 searches text only. Give a query"),
        (ImageRequest(query="a", limit=0), "limit is 0. Use 1 to 100"),
        (ImageRequest(query="a", limit=10**9), "limit is 1000000000"),
        (
            ImageRequest(query="a", visual_weight=1.5),
            "visual_weight is 1.5. Use a number from 0 to 1",
        ),
        (ImageRequest(query="a", diversity=-1), "diversity is -1"),
        (ImageRequest(image="0" * 12, visual_weight=0), "visual_weight 0 searches text only"),
        (ImageRequest(like=("0" * 12,) * 17), "like has 17 examples. Use at most 16"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_invalid_request_is_rejected(
    album: Corpus, images: ImageSearch, request_: ImageRequest, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        await images.search(request_)


@pytest.mark.parametrize("id_", ["0" * 12, "nothing", "'; --", "\x00", "A" * 12, ""])
async def test_an_unknown_example_is_rejected(album: Corpus, images: ImageSearch, id_: str) -> None:
    with pytest.raises(UnknownAssetError):
        await images.search(ImageRequest(like=(id_,)))


async def test_collections_are_searched_together_or_alone(
    corpus: Corpus, images: ImageSearch
) -> None:
    await corpus.add("a", collection="first", caption="a rose")
    await corpus.add("b", collection="second", caption="a rose")
    both = await images.search(ImageRequest(query="rose"))
    assert set(names(both.hits)) == {"a", "b"}
    one = await images.search(
        ImageRequest(query="rose", selection=Selection(collections=("second",)))
    )
    assert names(one.hits) == ["b"]


@pytest.mark.parametrize("name", ["nowhere", "'; DROP TABLE asset; --", "\x00", 'a"b'])
async def test_an_unknown_collection_is_rejected_with_the_available_ones(
    album: Corpus, images: ImageSearch, name: str
) -> None:
    with pytest.raises(UnknownNameError, match="Available: 'album'"):
        await images.search(ImageRequest(query="a", selection=Selection(collections=(name,))))


class OtherEncoder(ColorHistogramEncoder):
    """The same encoder with another name."""

    @property
    def identity(self) -> EncoderIdentity:
        return EncoderIdentity("another", "0" * 16, "0" * 16, 48)


async def test_vectors_of_another_encoder_are_not_compared(
    album: Corpus, database: Database
) -> None:
    other = OtherEncoder()
    search = ImageSearch(database, other, other, signing_key=b"k")
    with pytest.raises(SpaceMismatchError, match=r"test-color-histogram.*another"):
        await search.search(ImageRequest(query="sea"))
    await Corpus(database, other).add("theirs", collection="other", caption="the sea")
    results = await search.search(ImageRequest(query="sea"))
    assert names(results.hits) == ["theirs"]
    assert results.report.notes == (
        "Not searched, because another encoder made their vectors: 'album'.",
    )
    with pytest.raises(SpaceMismatchError):
        await search.search(ImageRequest(query="a", selection=Selection(collections=("album",))))


async def test_a_search_without_images_returns_no_hits(
    database: Database, images: ImageSearch
) -> None:
    assert (await images.search(ImageRequest(query="sea"))).hits == ()
    async with database.connection() as connection:
        await collections.ensure(connection, "empty")
    results = await images.search(
        ImageRequest(query="sea", selection=Selection(collections=("empty",)))
    )
    assert results.hits == ()
    assert results.report.next_cursor is None


async def test_each_search_is_logged_with_its_results(
    album: Corpus, images: ImageSearch, database: Database
) -> None:
    results = await images.search(
        ImageRequest(
            query="sea\x00",
            image=plain(BLUE),
            selection=Selection(collections=("album",), filters={"kind": "image"}),
            principal="alice",
        )
    )
    async with database.connection() as connection:
        row = await (
            await connection.execute(
                "SELECT principal, tool, collection, query, arguments, timings_ms, total_ms, "
                "result_count, results FROM retrieval_log"
            )
        ).fetchone()
    assert row is not None
    assert row[:4] == ("alice", "search_images", "album", "sea")
    assert row[4]["selection"]["filters"] == {"kind": "image"}
    assert row[4]["image"].startswith("image 64x64")
    assert row[5]["total"] == pytest.approx(row[6], abs=0.01)
    assert row[7] == len(results.hits)
    assert [each["asset"] for each in row[8]] == [hit.asset.id for hit in results.hits]
    assert json.dumps(row[4])


async def test_a_failed_log_does_not_fail_the_search(
    album: Corpus, images: ImageSearch, database: Database
) -> None:
    async with database.connection() as connection:
        await connection.execute("ALTER TABLE retrieval_log ADD CHECK (false)")
    assert (await images.search(ImageRequest(query="sea"))).hits


async def test_a_search_reads_the_stored_reliability_of_each_collection(
    corpus: Corpus, images: ImageSearch, database: Database
) -> None:
    """Unrelated captions measure chance; what was not measured counts as reliable."""
    for n in range(20):
        await corpus.add(f"lie{n}", collection="lies", picture=colors(n), caption=f"word{n}")
        await corpus.add(f"bare{n}", collection="bare", picture=colors(n))
    await corpus.measure_reliability("lies")
    results = await images.search(ImageRequest(query="giraffe", limit=40))
    threshold = results.report.retrievers["text_to_image"].threshold
    assert threshold is not None
    assert {hit.asset.collection for hit in results.hits} == {"lies", "bare"}
    (note,) = [each for each in results.report.notes if "sightline setup" in each]
    assert note.startswith("Words do not find what the pictures of 'lies' show")
    by_image = await images.search(ImageRequest(image=colors(3), limit=2))
    assert not any("sightline setup" in each for each in by_image.report.notes)
    for hit in results.hits:
        stands_out = hit.retrievers["text_to_image"].score >= threshold
        assert hit.weak == (hit.asset.collection == "lies" or not stands_out)
    async with database.connection() as connection:
        query = "SELECT weak_count, results FROM retrieval_log"
        row = await (await connection.execute(query)).fetchone()
    assert row is not None
    assert [each.get("weak", False) for each in row[1]] == [hit.weak for hit in results.hits]
    assert 0 < row[0] == sum(hit.weak for hit in results.hits)


async def test_pages_may_be_unreliable_beside_reliable_images(
    corpus: Corpus, images: ImageSearch
) -> None:
    box = (0.1, 0.1, 0.5, 0.2)
    for n in range(20):
        await corpus.add(f"image{n}", picture=colors(n))
        lines = [(f"word{n}", box)]
        await corpus.add(f"page{n}", kind="page", page=1, picture=colors(n), lines=lines)
    await corpus.measure_reliability()
    results = await images.search(ImageRequest(query="giraffe", limit=40))
    assert len(results.hits) == 40
    pages = [hit for hit in results.hits if hit.asset.kind == "page"]
    assert all(hit.weak and hit.score == 0 for hit in pages)
    # The best image is as similar as the page that looks the same.
    assert max(hit.score for hit in results.hits if hit.asset.kind == "image") > 0
    # An image is searched by its vector, which needs no text.
    by_image = await images.search(ImageRequest(image=colors(3), limit=2))
    assert {hit.asset.source for hit in by_image.hits} == {"image3", "page3"}
    assert not any(hit.weak for hit in by_image.hits)


async def test_a_new_measurement_of_an_unmeasured_collection_counts_at_once(
    corpus: Corpus, images: ImageSearch
) -> None:
    for n in range(30):
        await corpus.add(f"p{n}", picture=colors(n), caption=f"word{n}")
    request = ImageRequest(query="a giraffe beside a river under tall trees", limit=30)
    before = (await images.search(request)).report.retrievers["text_to_image"]
    assert before.confidence > 0
    await corpus.measure_reliability()
    after = await images.search(request)
    assert after.report.retrievers["text_to_image"].confidence == 0
    assert all(hit.weak for hit in after.hits)
