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
from sightline.storage.retrieval.filters.filter_schema import ASSETS
from sightline.storage.retrieval.filters.search_scope import KeyCatalog, resolve
from sightline.storage.retrieval.retrievers.encoder_reliability import TrustLedger
from sightline.storage.retrieval.search import ImageSearch, PassageSearch
from sightline.storage.retrieval.search_types import (
    ImageHit,
    ImageRequest,
    PassageRequest,
    Selection,
)
from tests.support.corpus import Corpus, id_of
from tests.support.encoders import ColourHistogramEncoder

RED, GREEN, BLUE, WHITE = ("#d02020", "#20c040", "#2030d0", "#f8f8f8")


def plain(colour: str) -> Image.Image:
    return Image.new("RGB", (64, 64), colour)


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


async def test_words_find_a_picture_by_its_caption(album: Corpus, images: ImageSearch) -> None:
    found = await images.search(ImageRequest(query="brick walls"))
    first = found.hits[0]
    assert first.asset.source == "brick"
    assert first.branches["words"].rank == 1
    assert first.passage is not None
    assert first.passage.text == "an old brick wall"
    assert first.passage.asset_id == first.asset.id


async def test_chinese_finds_a_picture_by_its_caption(album: Corpus, images: ImageSearch) -> None:
    for query in ("草地", "春天", "天的草", "草"):
        found = await images.search(ImageRequest(query=query))
        assert found.hits[0].asset.source == "meadow", query


async def test_half_of_the_words_is_less_than_half_an_answer_where_pictures_are_asked_for(
    album: Corpus, images: ImageSearch, database: Database
) -> None:
    passages = PassageSearch(database, None, signing_key=b"k")
    asked = {}
    for query in ("brick garden", "a rose in the garden"):
        seen = await images.search(ImageRequest(query=query))
        read = await passages.search(PassageRequest(query=query))
        asked[query] = [each.report.branches["words"].evidence for each in (seen, read)]
        assert asked[query][0] == pytest.approx(asked[query][1] ** 2, abs=1e-3)
    assert 0.1 < asked["brick garden"][1] < 0.9


async def test_a_picture_finds_pictures_that_look_alike(album: Corpus, images: ImageSearch) -> None:
    found = await images.search(ImageRequest(picture=plain("#d82828"), limit=2))
    assert set(names(found.hits)) == {"rose", "brick"}
    scores = found.hits[0].branches["picture_to_picture"]
    assert scores.rank == 1
    assert scores.distance == pytest.approx(1 - scores.score)


async def test_a_stored_picture_finds_its_like_and_not_itself(
    album: Corpus, images: ImageSearch
) -> None:
    found = await images.search(ImageRequest(picture=id_of("rose"), limit=10))
    assert names(found.hits)[0] == "brick"
    assert "rose" not in names(found.hits)


async def test_examples_draw_near_and_push_away(album: Corpus, images: ImageSearch) -> None:
    found = await images.search(ImageRequest(like=(id_of("flag"),), limit=10))
    assert names(found.hits)[0] in {"rose", "brick", "sea"}
    less_red = await images.search(
        ImageRequest(like=(id_of("flag"),), unlike=(id_of("rose"),), limit=10)
    )
    assert names(less_red.hits)[0] == "sea"
    assert {"flag", "rose"}.isdisjoint(names(less_red.hits))


async def test_unlike_alone_is_no_question(album: Corpus, images: ImageSearch) -> None:
    with pytest.raises(InvalidArgumentError, match="nothing to look for"):
        await images.search(ImageRequest(unlike=(id_of("rose"),)))


async def test_words_and_a_picture_together_beat_either(album: Corpus, images: ImageSearch) -> None:
    found = await images.search(ImageRequest(query="wall", picture=plain(RED), limit=1))
    (hit,) = found.hits
    assert hit.asset.source == "brick"
    assert {"words", "picture_to_picture"} <= hit.branches.keys()


async def test_visual_weight_decides_between_looks_and_words(
    album: Corpus, images: ImageSearch
) -> None:
    for weight, name in ((1.0, "sea"), (0.0, "meadow")):
        found = await images.search(
            ImageRequest(query="meadow", picture=plain(BLUE), visual_weight=weight, limit=1)
        )
        assert names(found.hits) == [name]
        assert found.hits[0].score == pytest.approx(1.0)


async def test_a_region_says_where_in_the_picture(corpus: Corpus, images: ImageSearch) -> None:
    halves = [(plain(RED), (0.0, 0.0, 0.5, 1.0)), (plain(BLUE), (0.5, 0.0, 1.0, 1.0))]
    await corpus.add("flag", picture=split(RED, BLUE), tiles=halves)
    await corpus.add("snow", picture=plain(WHITE), tiles=[(plain(WHITE), (0.0, 0.0, 1.0, 1.0))])
    found = await images.search(ImageRequest(picture=plain(BLUE), limit=1))
    (hit,) = found.hits
    assert hit.asset.source == "flag"
    assert hit.region is not None
    assert hit.region.box == (0.5, 0.0, 1.0, 1.0)
    assert hit.branches["picture_to_region"].rank == 1


async def test_words_of_one_label_are_found_over_its_lines(
    corpus: Corpus, images: ImageSearch
) -> None:
    box = (0.1, 0.1, 0.5, 0.2)
    await corpus.add("both", lines=[("socket LGA1700", box), ("holes 54x90mm", box)])
    await corpus.add("one", lines=[("socket LGA1700", box), ("socket LGA1700", box)])
    await corpus.add("other", lines=[("socket AM4", box)])
    found = await images.search(ImageRequest(query="LGA1700 54 x 90 mm", limit=3))
    assert names(found.hits)[0] == "both"
    passage = found.hits[0].passage
    assert passage is not None
    assert passage.box == pytest.approx(box)


async def test_words_that_match_win_over_an_encoder_that_knows_nothing(
    corpus: Corpus, images: ImageSearch
) -> None:
    """The tests' encoder relates no words to pictures: its branch has to count for little."""
    rng = np.random.default_rng(1)
    for n in range(60):
        pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        noise = Image.fromarray(pixels).resize((4, 4)).resize((64, 64))
        await corpus.add(f"p{n}", picture=noise, caption=f"photograph number{n} of thing{n % 7}")
    right = 0
    for n in range(0, 60, 6):
        found = await images.search(ImageRequest(query=f"number{n}", limit=1))
        right += names(found.hits) == [f"p{n}"]
        branches = found.report.branches
        assert branches["text_to_picture"].weight < 0.3 * branches["words"].weight
    assert right == 10


async def test_a_few_pictures_with_captions_do_not_hide_the_one_without(
    corpus: Corpus, images: ImageSearch
) -> None:
    """Of so few, each branch finds all that it can: to be found twice says nothing."""
    for n in range(8):
        await corpus.add(f"p{n}", picture=plain(GREEN), caption=f"a meadow with {n + 2} flowers")
    await corpus.add("sea", picture=plain(BLUE))
    found = await images.search(ImageRequest(query="lorry", picture=plain(BLUE), limit=1))
    assert found.hits[0].branches.keys() >= {"picture_to_picture", "text_to_picture"}
    assert names(found.hits) == ["sea"]


async def test_every_hit_says_why(album: Corpus, images: ImageSearch) -> None:
    found = await images.search(ImageRequest(query="sea", limit=5))
    assert {"text_to_picture", "words"} == found.report.branches.keys()
    for hit in found.hits:
        assert hit.branches
        assert all(score.rank >= 1 for score in hit.branches.values())
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)
    assert {"encode", "scope", "words", "finish", "total"} <= found.report.timings_ms.keys()


async def test_captions_are_asked_by_meaning_where_their_encoder_is_not_that_of_pictures(
    corpus: Corpus, database: Database
) -> None:
    """Where it is, a caption's vector would say again what the picture's has said."""

    class Another(ColourHistogramEncoder):
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
    found = await images.search(ImageRequest(query="sea", limit=5))
    assert {"text_to_picture", "words", "text_to_passage"} == found.report.branches.keys()


async def test_a_report_has_the_order_of_each_branch_and_the_fused_one(
    album: Corpus, images: ImageSearch
) -> None:
    found = await images.search(ImageRequest(query="sea", limit=1))
    for name, branch in found.report.branches.items():
        assert len(branch.keys) == branch.hits, name
    assert found.report.branches["words"].keys == (id_of("sea"),)
    assert found.report.fused[0] == found.hits[0].asset.id
    assert set(found.report.fused) == set(found.report.branches["text_to_picture"].keys)
    like = await images.search(ImageRequest(picture=id_of("sea")))
    assert id_of("sea") not in like.report.fused


async def test_pages_follow_each_other_without_repeats(album: Corpus, images: ImageSearch) -> None:
    whole = await images.search(ImageRequest(query="a", limit=5))
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        page = await images.search(ImageRequest(query="a", limit=2, cursor=cursor))
        seen += names(page.hits)
        cursor = page.report.next_cursor
    assert cursor is None
    assert seen == names(whole.hits)


async def test_a_cursor_belongs_to_its_query_and_its_caller(
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


async def test_near_duplicates_are_shown_once(corpus: Corpus, images: ImageSearch) -> None:
    for n, bits in enumerate((0b1111, 0b1110, -1, -2)):
        await corpus.add(f"p{n}", picture=plain(RED), caption="a rose", perceptual_hash=bits)
    found = await images.search(ImageRequest(query="rose", group_duplicates=True))
    assert len(found.hits) == 2
    shown = {hit.asset.source: hit.duplicates for hit in found.hits}
    for name, others in shown.items():
        partner = {"p0": "p1", "p1": "p0", "p2": "p3", "p3": "p2"}[name]
        assert others == (id_of(partner),)


async def test_diversity_trades_score_for_variety(album: Corpus, images: ImageSearch) -> None:
    alike = await images.search(ImageRequest(picture=plain(RED), limit=2))
    varied = await images.search(ImageRequest(picture=plain(RED), limit=2, diversity=0.7))
    assert set(names(alike.hits)) == {"rose", "brick"}
    assert names(varied.hits)[0] == names(alike.hits)[0]
    assert names(varied.hits)[1] not in {"rose", "brick"}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ImageRequest(), "nothing to look for; give words, a picture"),
        (ImageRequest(query="a", limit=0), "limit is 0; use 1 to 100"),
        (ImageRequest(query="a", limit=10**9), "limit is 1000000000"),
        (ImageRequest(query="a", visual_weight=1.5), "visual_weight is 1.5; use 0 to 1"),
        (ImageRequest(query="a", diversity=-1), "diversity is -1"),
        (ImageRequest(picture="0" * 12, visual_weight=0), "visual_weight is 0, which leaves"),
        (ImageRequest(like=("0" * 12,) * 17), "like has 17 examples; give at most 16"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_request_that_makes_no_sense_is_refused(
    album: Corpus, images: ImageSearch, request_: ImageRequest, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        await images.search(request_)


@pytest.mark.parametrize("id_", ["0" * 12, "nothing", "'; --", "\x00", "A" * 12, ""])
async def test_an_example_that_does_not_exist_is_named(
    album: Corpus, images: ImageSearch, id_: str
) -> None:
    with pytest.raises(UnknownAssetError):
        await images.search(ImageRequest(like=(id_,)))


async def test_collections_are_kept_apart_and_searched_together(
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
async def test_an_unknown_collection_is_refused_with_those_that_there_are(
    album: Corpus, images: ImageSearch, name: str
) -> None:
    with pytest.raises(UnknownNameError, match="there are: 'album'"):
        await images.search(ImageRequest(query="a", selection=Selection(collections=(name,))))


class OtherEncoder(ColourHistogramEncoder):
    """The same in all but name."""

    @property
    def identity(self) -> EncoderIdentity:
        return EncoderIdentity("another", "0" * 16, "0" * 16, 48)


async def test_vectors_of_another_encoder_are_never_compared(
    album: Corpus, database: Database
) -> None:
    other = OtherEncoder()
    search = ImageSearch(database, other, other, signing_key=b"k")
    with pytest.raises(SpaceMismatchError, match=r"test-colour-histogram.*another"):
        await search.search(ImageRequest(query="sea"))
    await Corpus(database, other).add("theirs", collection="other", caption="the sea")
    found = await search.search(ImageRequest(query="sea"))
    assert names(found.hits) == ["theirs"]
    assert found.report.notes == (
        "not searched, for their vectors were made by another encoder: 'album'",
    )
    with pytest.raises(SpaceMismatchError):
        await search.search(ImageRequest(query="a", selection=Selection(collections=("album",))))


async def test_nothing_to_search_is_no_error(database: Database, images: ImageSearch) -> None:
    assert (await images.search(ImageRequest(query="sea"))).hits == ()
    async with database.connection() as connection:
        await collections.create(connection, "empty")
    found = await images.search(
        ImageRequest(query="sea", selection=Selection(collections=("empty",)))
    )
    assert found.hits == ()
    assert found.report.next_cursor is None


async def test_each_search_is_logged_with_what_it_found(
    album: Corpus, images: ImageSearch, database: Database
) -> None:
    found = await images.search(
        ImageRequest(
            query="sea\x00",
            picture=plain(BLUE),
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
    assert row[4]["picture"].startswith("picture 64x64")
    assert row[5]["total"] == pytest.approx(row[6], abs=0.01)
    assert row[7] == len(found.hits)
    assert [each["asset"] for each in row[8]] == [hit.asset.id for hit in found.hits]
    assert json.dumps(row[4])


async def test_a_log_that_cannot_be_written_fails_no_search(
    album: Corpus, images: ImageSearch, database: Database
) -> None:
    async with database.connection() as connection:
        await connection.execute("ALTER TABLE retrieval_log ADD CHECK (false)")
    assert (await images.search(ImageRequest(query="sea"))).hits


async def test_trust_is_measured_in_each_collection(
    corpus: Corpus, images: ImageSearch, database: Database
) -> None:
    """Captions that say nothing of their pictures give none; no captions say nothing at all."""
    for n in range(20):
        await corpus.add(f"lie{n}", collection="lies", picture=plain(RED), caption=f"word{n}")
        await corpus.add(f"bare{n}", collection="bare", picture=plain(RED))
    async with database.connection() as connection:
        scope = await resolve(
            connection,
            Selection(),
            {"asset": corpus.encoder.identity, "passage": corpus.encoder.identity},
            ASSETS,
            KeyCatalog(),
        )
        trust = await TrustLedger().of(connection, scope)
    assert {scope.collections[key]: value for key, value in trust.items()} == {"lies": 0.0}
