"""Tests of search_images."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.support.sample_images import encoded
from tests.tools.album import BLACK, GREEN, PICTURES, RED, SHOP, quarters
from tests.tools.toolbox import ToolClient, ToolEnvironment, data_url


def sources(result: dict[str, object]) -> list[str]:
    hits = result["hits"]
    assert isinstance(hits, list)
    return [hit["source"] for hit in hits]


async def test_words_find_an_image_by_its_caption(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        result = await tools.call("search_images", query="garlic on a green cloth")
    first = result["hits"][0]
    assert first["number"] == 1
    assert first["source"] == "album/shop/garlic.png"
    assert result["collection"] == "album"
    assert first["caption"] == "A bulb of garlic on a green cloth"
    assert [hit["number"] for hit in result["hits"]] == [1, 2, 3, 4, 5]


async def test_a_concise_hit_has_nothing_that_the_result_or_the_caption_repeats(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        concise = await tools.call("search_images", query="garlic on a green cloth", limit=1)
        detailed = await tools.call(
            "search_images", query="garlic on a green cloth", limit=1, detail="detailed"
        )
    left_out = detailed["hits"][0].keys() - concise["hits"][0].keys()
    assert left_out >= {"collection", "size", "metadata", "text", "retrievers"}
    assert detailed["hits"][0]["size"] == [96, 64]
    assert detailed["hits"][0]["text"]["kind"] == "caption"
    assert set(concise["timings_ms"]) == {"total"}
    assert {"total", "encode"} <= set(detailed["timings_ms"])


async def test_chinese_words_find_an_image(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        result = await tools.call("search_images", query="大蒜")
    assert sources(result)[0] == "album/shop/大蒜.png"


async def test_hits_carry_scores_distances_thresholds_and_times(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        ids = await tools.ids()
        result = await tools.call("search_images", image=ids["album/shop/tomato.png"])
    scores = [hit["score"] for hit in result["hits"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= hit["distance"] <= 2 for hit in result["hits"])
    assert set(result["thresholds"]) == {"image_to_image"}
    assert all(milliseconds >= 0 for milliseconds in result["timings_ms"].values())


async def test_an_asset_finds_similar_images_and_not_itself(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        ids = await tools.ids()
        result = await tools.call("search_images", image=ids["album/shop/tomato.png"], limit=1)
    assert sources(result) == ["album/shop/pepper.png"]


async def test_an_uploaded_image_finds_itself_at_distance_zero(
    environment: ToolEnvironment,
) -> None:
    picture = encoded(quarters(SHOP[3].quarters, (96, 64)), "PNG")
    async with environment.serve() as tools:
        result = await tools.call("search_images", image=data_url(picture), limit=2)
    assert sources(result)[0] == "album/shop/pepper.png"
    assert result["hits"][0]["distance"] == pytest.approx(0, abs=1e-3)


async def test_an_image_can_be_a_path_under_an_allowed_root(
    environment: ToolEnvironment, tmp_path: Path
) -> None:
    (tmp_path / "roots").mkdir()
    path = tmp_path / "roots" / "wanted.png"
    quarters((RED, RED, GREEN, BLACK), (96, 64)).save(path)
    async with environment.replace(roots=(tmp_path / "roots",)).serve() as tools:
        result = await tools.call("search_images", image=str(path), limit=1)
    assert sources(result) == ["album/shop/pepper.png"]


async def test_like_and_unlike_examples_change_the_order(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        ids = await tools.ids()
        like, unlike = ids["album/shop/tomato.png"], ids["album/shop/pepper.png"]
        pulled = await tools.call("search_images", like=[like], limit=8)
        pushed = await tools.call("search_images", like=[like], unlike=[unlike], limit=8)
    assert sources(pulled)[0] == "album/shop/pepper.png"
    assert "album/shop/pepper.png" not in sources(pushed)
    assert "album/shop/tomato.png" not in sources(pushed)


async def test_words_and_an_image_can_be_combined(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        ids = await tools.ids()
        result = await tools.call(
            "search_images",
            query="grapes",
            image=ids["album/shop/tomato.png"],
            detail="detailed",
            limit=8,
        )
    by_source = {hit["source"]: hit for hit in result["hits"]}
    assert "lexical" in by_source["album/shop/grape.png"]["retrievers"]
    assert "image_to_image" in by_source["album/shop/pepper.png"]["retrievers"]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"product": "Garlic"}, {"garlic"}),
        ({"product": ["Garlic", "Onion"]}, {"garlic", "onion"}),
        ({"price": {"gte": 4}}, {"plum", "grape", "大蒜"}),
        ({"price": {"gt": 2, "lt": 3}}, {"pepper"}),
        ({"organic": True, "price": {"lt": 3}}, {"garlic"}),
        ({"or": [{"product": "Salt"}, {"price": {"gt": 8}}]}, {"salt", "大蒜"}),
        ({"not": {"price": {"lt": 5}}, "price": {"is_empty": False}}, {"grape", "大蒜"}),
        ({"product": {"text_match_insensitive": "ONI"}}, {"onion"}),
        ({"product": "大蒜"}, {"大蒜"}),
        ({"product": "Nothing of that name"}, set()),
    ],
)
async def test_filters_keep_what_matches(
    environment: ToolEnvironment, filters: dict[str, object], names: set[str]
) -> None:
    async with environment.serve() as tools:
        result = await tools.call("search_images", query="food", filters=filters, limit=20)
    assert set(sources(result)) == {f"album/shop/{name}.png" for name in names}


@pytest.mark.parametrize(
    ("bounds", "found"),
    [
        ({"captured_after": "2026-05-01"}, True),
        ({"captured_after": "2026-05-01T16:40"}, True),
        ({"captured_after": "2026-05-01T16:41"}, False),
        ({"captured_before": "2026-05-01T17:00"}, True),
        ({"captured_before": "2026-05-01T16:40"}, False),
        ({"captured_after": "2026-05-01T14:30:00Z", "captured_before": "2026-05-01T15:00Z"}, True),
        ({"captured_after": "2026-05-02", "captured_before": "2026-05-03"}, False),
    ],
)
async def test_time_bounds_read_the_clock_of_the_place(
    environment: ToolEnvironment, bounds: dict[str, str], found: bool
) -> None:
    async with environment.serve() as tools:
        result = await tools.call("search_images", query="a gate", **bounds)
    assert sources(result) == (["album/site/gate.jpg"] if found else [])


async def test_the_time_of_a_hit_is_what_the_camera_showed(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        result = await tools.call("search_images", query="x", captured_after="2026-01-01")
    assert result["hits"][0]["captured_at"] == "2026-05-01T16:40:00"


async def test_a_contact_sheet_shows_every_hit_in_one_image(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        like = (await tools.ids())["album/shop/tomato.png"]
        _, none = await tools.call_with_images("search_images", image=like)
        _, one = await tools.call_with_images(
            "search_images", query="garlic", filters={"product": "Garlic"}, contact_sheet=True
        )
        result, several = await tools.call_with_images(
            "search_images", image=like, limit=8, contact_sheet=True
        )
        nothing = await tools.call(
            "search_images", query="x", filters={"product": "Nothing"}, contact_sheet=True
        )
    assert none == []
    (small,), (large,) = one, several
    assert len(result["hits"]) == 8
    assert nothing["hits"] == []
    assert max(large.size) <= 1568
    assert large.width * large.height > 4 * small.width * small.height


async def test_a_listing_has_no_scores(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        images = await tools.call("search_images", filters={"product": "Garlic"})
        texts = await tools.call("search_text", filters={"product": "Garlic"})
    assert images["total"] == len(images["hits"]) == 1
    assert texts["hits"]
    assert [hit for hit in images["hits"] + texts["hits"] if "score" in hit] == []


async def test_pages_do_not_overlap_and_end(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        ids = await tools.ids()
        arguments = {"image": ids["album/shop/tomato.png"], "limit": 12}
        pages = [await tools.call("search_images", **arguments)]
        while cursor := pages[-1].get("next_cursor"):
            pages.append(await tools.call("search_images", **arguments, cursor=cursor))
        whole = await tools.call("search_images", **{**arguments, "limit": 50})
    seen = [source for page in pages for source in sources(page)]
    assert [len(page["hits"]) for page in pages] == [12, 12, PICTURES - 1 - 24]
    assert seen == sources(whole)
    assert len(set(seen)) == PICTURES - 1


async def test_detail_adds_metadata_and_branches_that_a_short_answer_leaves_out(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        concise = await tools.call("search_images", query="garlic", limit=1)
        detailed = await tools.call("search_images", query="garlic", limit=1, detail="detailed")
    assert not {"metadata", "retrievers"} & set(concise["hits"][0])
    assert detailed["hits"][0]["metadata"] == {"product": "Garlic", "price": 1.5, "organic": True}
    assert detailed["hits"][0]["retrievers"]["lexical"]["rank"] == 1


async def test_a_query_that_is_written_like_json_stays_words(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        for query in ("null", "true", "42", '["garlic"]', '{"a": 1}'):
            await tools.call("search_images", query=query, limit=1)


async def test_null_means_left_out(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        left_out = await tools.call("search_images", query="garlic")
        given = await tools.call(
            "search_images",
            query="garlic",
            image=None,
            like=None,
            collection=None,
            filters=None,
            captured_after=None,
            visual_weight=None,
            cursor=None,
        )
    assert sources(given) == sources(left_out)


async def test_an_empty_place_answers_that_there_is_nothing(
    empty_environment: ToolEnvironment,
) -> None:
    async with empty_environment.serve() as tools:
        result = await tools.call("search_images", query="garlic")
    assert result["hits"] == []


async def test_an_answer_of_five_hits_is_short_enough_for_a_model(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        result = await tools.client.call_tool("search_images", {"query": "garlic and onions"})
    text = result.content[0]
    assert text.type == "text"
    assert len(text.text) / 4 < 2_000  # about four characters to a token


async def test_searches_are_logged(environment_copy: ToolEnvironment) -> None:
    async with environment_copy.serve() as tools:
        await tools.call("search_images", query="garlic", collection="album")
        rows = await _log(tools)
    assert rows == [("search_images", "album", "garlic", 5)]


async def _log(tools: ToolClient) -> list[tuple[object, ...]]:
    async with tools.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT tool, collection, query, result_count FROM retrieval_log "
            "ORDER BY created_at DESC LIMIT 1"
        )
        return await cursor.fetchall()


async def test_a_transparent_upload_is_seen_on_white(environment: ToolEnvironment) -> None:
    clear = encoded(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "PNG")
    async with environment.serve() as tools:
        result = await tools.call("search_images", image=data_url(clear), limit=1)
    assert sources(result) == ["album/shop/garlic.png"]


async def test_a_region_searches_by_that_part_of_an_asset_and_leaves_the_asset_out(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        ids = await tools.ids()
        large = ids["album/site/large.jpg"]  # red, green, blue and yellow quarters
        by_blue, by_red = [
            await tools.call("search_images", image=large, region=region, limit=4)
            for region in ([0.02, 0.52, 0.48, 0.98], [0.0, 0.0, 0.5, 0.5])
        ]
    assert set(sources(by_blue)[:2]) == {"album/shop/plum.png", "album/shop/grape.png"}
    assert "album/shop/tomato.png" in sources(by_red)[:2]
    assert "album/shop/plum.png" not in sources(by_red)
    assert "album/site/large.jpg" not in sources(by_blue) + sources(by_red)


async def test_a_region_cuts_an_upload_and_a_file_and_pages_on(
    environment: ToolEnvironment, tmp_path: Path
) -> None:
    wanted, other = SHOP[3].quarters, (BLACK, BLACK, BLACK, BLACK)
    sheet = Image.new("RGB", (192, 64))
    sheet.paste(quarters(other, (96, 64)), (0, 0))
    sheet.paste(quarters(wanted, (96, 64)), (96, 0))
    sheet.save(tmp_path / "sheet.png")
    upload = data_url(encoded(sheet, "PNG"))
    right = [0.5, 0, 1, 1]
    async with environment.replace(roots=(tmp_path,)).serve() as tools:
        for image in (upload, str(tmp_path / "sheet.png")):
            result = await tools.call("search_images", image=image, region=right, limit=2)
            assert sources(result)[0] == "album/shop/pepper.png"
            assert result["hits"][0]["distance"] == pytest.approx(0, abs=1e-3)
        cursor = result["next_cursor"]
        more = await tools.call("search_images", image=image, region=right, cursor=cursor)
        assert not set(sources(more)) & set(sources(result))
        said = await tools.call_error(
            "search_images", image=image, region=[0, 0, 0.5, 1], cursor=cursor
        )
    assert "was not made for this query" in said


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ([0.5, 0.5, 0.5, 0.9], "is not inside the image"),
        ([0.2, 0.2, 1.2, 0.9], "0 <= x0 < x1 <= 1"),
        ([10, 10, 200, 100], "is not inside the image"),
        ([0.1, 0.1, 0.12, 0.9], "3 x 52 pixels of an image of 96 x 64"),
        ([0.1, 0.1, 0.9], "at least 4 items"),
    ],
)
async def test_an_invalid_region_is_rejected_with_its_value(
    environment: ToolEnvironment, region: list[float], said: str
) -> None:
    async with environment.serve() as tools:
        ids = await tools.ids()
        image = ids["album/shop/tomato.png"]
        assert said in await tools.call_error("search_images", image=image, region=region)


async def test_a_region_needs_an_image(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        said = await tools.call_error("search_images", query="garlic", region=[0, 0, 0.5, 0.5])
        assert "Give `image` as well" in said
        said = await tools.call_error(
            "search_images", image="aaaaaaaaaaaa", region=[0, 0, 0.5, 0.5]
        )
        assert "Unknown asset 'aaaaaaaaaaaa'" in said
