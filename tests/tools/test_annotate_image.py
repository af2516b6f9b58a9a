"""Tests of annotate_image and save_annotation."""

from __future__ import annotations

import base64
import io
import json
from functools import partial
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp.types import BlobResourceContents
from PIL import Image, ImageChops, ImageDraw

from sightline.server.models.vision_language.vlm_client import VlmClient
from sightline.storage.ingest.decode.render.overlays import BoxOverlay
from sightline.tools.shared.overlay_uri import MAX_OVERLAYS, overlay_code, overlay_uri
from tests.support.color_detector import ColorDetector
from tests.support.corpus import Corpus
from tests.support.results import json_of
from tests.support.scripted_vlm import scripted
from tests.tools.toolbox import ToolEnvironment, is_near_color, open_image

GARLIC = "album/shop/garlic.png"
LARGE = "album/site/large.jpg"
BOX = [0.25, 0.25, 0.75, 0.75]


def endpoint_that_says(answers: dict[str, str]) -> VlmClient:
    """A client of an endpoint whose answer depends on the phrase in the prompt."""
    return scripted(lambda prompt: next(a for phrase, a in answers.items() if phrase in prompt))


@pytest.mark.parametrize("style", ["box", "corners", "shade"])
async def test_given_boxes_come_back_in_shares_and_pixels_and_drawn(
    environment: ToolEnvironment, style: str
) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())[LARGE]
        _, (plain,) = await tools.call_with_images("view_image", asset=asset)
        result, (drawn,) = await tools.call_with_images(
            "annotate_image", asset=asset, boxes=[{"box": BOX, "label": "middle"}], style=style
        )
    assert result["boxes"] == [
        {"label": "middle", "box": BOX, "pixels": [600, 400, 1800, 1200], "origin": "given"}
    ]
    assert drawn.size == plain.size
    centre, corner = (512, 341), (20, 600)
    assert is_near_color(drawn.getpixel(corner), plain.getpixel(corner))  # type: ignore[arg-type]
    assert is_near_color(drawn.getpixel(centre), plain.getpixel(centre)) == (style != "shade")  # type: ignore[arg-type]


async def test_what_was_drawn_can_be_read_again_at_its_address_without_being_stored(
    environment: ToolEnvironment,
) -> None:
    boxes = [{"box": BOX, "label": "白色货车"}, {"box": [0, 0, 0.1, 0.1], "label": "a/b?c"}]
    async with environment.serve() as tools:
        asset = (await tools.ids())[GARLIC]
        result, (drawn,) = await tools.call_with_images("annotate_image", asset=asset, boxes=boxes)
        alone, nothing = await tools.call_with_images(
            "annotate_image", asset=asset, boxes=boxes, inline=False, style="shade"
        )
        (content,) = (await tools.client.read_resource(result["uri"])).contents
        (shaded,) = (await tools.client.read_resource(alone["uri"])).contents
        listed = await tools.client.list_resource_templates()
    assert isinstance(content, BlobResourceContents)
    assert isinstance(shaded, BlobResourceContents)
    assert (
        ImageChops.difference(open_image(base64.b64decode(content.blob)), drawn).getbbox() is None
    )
    assert content.blob != shaded.blob
    assert (nothing, "shown_size" in alone) == ([], False)
    assert alone["boxes"] == result["boxes"]
    assert "sightline://asset/{asset}/drawn/{boxes}" in {
        each.uri_template for each in listed.resource_templates
    }


@pytest.mark.parametrize(
    "code",
    [
        "x",
        "!!!",
        "W10",  # []
        "WyJib3giLFtbMCwwLDEsMiwieCJdXV0",  # ["box",[[0,0,1,2,"x"]]]
        "WyJib3giLFtbMCwwLE5hTiwxLCJ4Il1dXQ",  # a box with a NaN
        "WyJkb3RzIixbXV0",  # a style that there is not
        "A" * 59_000,
    ],
)
async def test_an_invalid_overlay_uri_is_rejected(environment: ToolEnvironment, code: str) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())[GARLIC]
        with pytest.raises(MCPError, match=r"contains no valid boxes|not inside"):
            await tools.client.read_resource(f"sightline://asset/{asset}/drawn/{code}")


@pytest.mark.parametrize(
    ("boxes", "label"), [(MAX_OVERLAYS + 1, "x"), (1, "x" * 61)], ids=["boxes", "label"]
)
async def test_a_uri_with_more_than_annotate_image_draws_is_refused(
    environment: ToolEnvironment, boxes: int, label: str
) -> None:
    text = json.dumps(["box", [[0, 0, 1, 1, label]] * boxes])
    code = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    async with environment.serve() as tools:
        asset = (await tools.ids())[GARLIC]
        most = overlay_code([BoxOverlay((0, 0, 1, 1), "x" * 60)] * MAX_OVERLAYS, "box")
        assert most is not None
        await tools.client.read_resource(overlay_uri(asset, most))
        with pytest.raises(MCPError, match=r"no valid boxes, or more than 210"):
            await tools.client.read_resource(f"sightline://asset/{asset}/drawn/{code}")


async def test_a_model_that_finds_very_many_boxes_gets_twenty_drawn(
    environment: ToolEnvironment,
) -> None:
    reply = json.dumps(
        [{"bbox_2d": [n, n, n + 100, n + 100], "label": "x" * 150} for n in range(60)]
    )
    async with (
        endpoint_that_says({"bulb": reply}) as model,
        environment.replace(vlm=model).serve() as tools,
    ):
        asset = (await tools.ids())[GARLIC]
        result = await tools.client.call_tool(
            "annotate_image", {"asset": asset, "phrases": ["the bulb"]}
        )
    found = json_of(result)
    assert len(found["boxes"]) == 20
    assert max(len(each["label"]) for each in found["boxes"]) <= 120
    assert "the model gave 60 boxes; the first 20 are drawn" in found["phrases"][0]["notes"]


async def test_phrases_are_found_by_the_model_and_missing_ones_reported(
    environment: ToolEnvironment,
) -> None:
    answers = {
        "the bulb": '[{"bbox_2d": [250, 100, 750, 900], "label": "bulb"}]',
        "a giraffe": "none",
        "the cloth": "It is somewhere below.",
    }
    async with (
        endpoint_that_says(answers) as model,
        environment.replace(vlm=model).serve() as tools,
    ):
        asset = (await tools.ids())[GARLIC]
        found, _ = await tools.call_with_images("annotate_image", asset=asset, phrases=["the bulb"])
        absent, _ = await tools.call_with_images(
            "annotate_image", asset=asset, phrases=["a giraffe"]
        )
        lost, _ = await tools.call_with_images("annotate_image", asset=asset, phrases=["the cloth"])
    assert found["model"] == "qwen3-vl"
    (box,) = found["boxes"]
    assert box["origin"] == "model"
    assert box["box"] == pytest.approx([0.25, 0.1, 0.75, 0.9], abs=0.01)
    assert [each["status"] for each in found["phrases"]] == ["found"]
    assert absent["boxes"] == []
    assert absent["phrases"][0]["status"] == "absent"
    assert lost["boxes"] == []
    assert lost["phrases"][0]["status"] == "unreadable"


async def test_a_phrase_of_blanks_asks_no_model(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())[GARLIC]
        drawn, _ = await tools.call_with_images(
            "annotate_image", asset=asset, boxes=[{"box": BOX}], phrases=["  "]
        )
        said = await tools.call_error("annotate_image", asset=asset, phrases=["  "])
    assert len(drawn["boxes"]) == 1
    assert "phrases" not in drawn
    assert "Nothing to draw" in said


async def test_without_a_model_phrases_are_refused_with_what_to_do(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())[GARLIC]
        said = await tools.call_error("annotate_image", asset=asset, phrases=["the bulb"])
    assert "SIGHTLINE_VLM__BASE_URL" in said


async def test_without_a_model_quoted_phrases_and_boxes_are_drawn_and_others_reported(
    empty_environment: ToolEnvironment,
) -> None:
    async with empty_environment.serve() as tools:
        corpus = Corpus(tools.database, empty_environment.encoder)
        receipt = await corpus.add("bill.jpg")
        async with tools.database.connection() as connection:
            await connection.execute(
                "INSERT INTO region (asset_id, kind, ordinal, label, x0, y0, x1, y1) "
                "VALUES (%s, 'ocr_line', 0, 'Total 30.90', 0.1, 0.5, 0.9, 0.6)",
                [receipt],
            )
        draw = partial(tools.call, "annotate_image", asset=receipt, inline=False)
        quoted = await draw(phrases=['"Total 30.90"', "the logo", "a stamp"])
        given = await draw(phrases=["the logo"], boxes=[{"box": BOX}])
        said = await tools.call_error("annotate_image", asset=receipt, phrases=["the logo"])
    assert [each["origin"] for each in quoted["boxes"]] == ["text"]
    assert [each["status"] for each in quoted["phrases"]] == ["found", "no_model"]
    assert quoted["phrases"][1]["phrase"] == "the logo, a stamp"
    assert "SIGHTLINE_VLM__BASE_URL" in quoted["phrases"][1]["notes"][0]
    assert "model" not in quoted
    assert [each["origin"] for each in given["boxes"]] == ["given"]
    assert [each["status"] for each in given["phrases"]] == ["no_model"]
    assert "quotation marks" in said


async def test_without_a_vlm_the_detector_locates_phrases_and_says_how_sure_it_is(
    empty_environment: ToolEnvironment,
) -> None:
    picture = Image.new("RGB", (200, 100), "gray")
    ImageDraw.Draw(picture).rectangle((50, 25, 99, 99), "red")
    file = io.BytesIO()
    picture.save(file, "PNG")
    upload = {"name": "sign.png", "data": base64.b64encode(file.getvalue()).decode()}
    async with empty_environment.replace(detector=ColorDetector()).serve() as tools:
        await tools.call("add_images", collection="album", uploads=[upload])
        asset = (await tools.ids())["sign.png"]
        result, (drawn,) = await tools.call_with_images(
            "annotate_image", asset=asset, phrases=["the red sign", "a blue sign"]
        )
    assert result["boxes"] == [
        {
            "label": "the red sign",
            "box": [0.25, 0.25, 0.5, 1.0],
            "pixels": [50, 25, 100, 100],
            "origin": "detector",
            "model": "test-colors",
            "score": 1.0,
        }
    ]
    statuses = {each["phrase"]: each["status"] for each in result["phrases"]}
    assert statuses == {"the red sign": "found", "a blue sign": "absent"}
    assert result["model"] == "test-colors"
    assert not is_near_color(drawn.getpixel((50, 60)), (255, 0, 0))  # type: ignore[arg-type]


async def test_a_vlm_that_draws_boxes_is_asked_before_the_detector(
    environment: ToolEnvironment,
) -> None:
    reply = {"bulb": '[{"bbox_2d": [250, 100, 750, 900], "label": "bulb"}]'}
    async with (
        endpoint_that_says(reply) as model,
        environment.replace(vlm=model, detector=ColorDetector(broken="not asked")).serve() as tools,
    ):
        asset = (await tools.ids())[GARLIC]
        result, _ = await tools.call_with_images(
            "annotate_image", asset=asset, phrases=["the bulb"]
        )
    (box,) = result["boxes"]
    assert (box["origin"], box["model"], "score" in box) == ("model", model.model, False)


async def test_saved_annotations_are_listed_drawn_and_gone_with_their_asset(
    environment_copy: ToolEnvironment,
) -> None:
    async with environment_copy.serve() as tools:
        asset = (await tools.ids())[LARGE]
        saved = await tools.call(
            "save_annotation",
            asset=asset,
            boxes=[{"box": BOX, "label": "白色货车"}, {"box": [0, 0, 0.1, 0.1], "label": "van"}],
            origin="model",
            model="qwen3-vl",
            score=0.75,
            note="by the gate",
        )
        _, (plain,) = await tools.call_with_images("view_image", asset=asset)
        result, (drawn,) = await tools.call_with_images("view_image", asset=asset, annotated=True)
        read = await tools.client.read_resource(saved["uris"][0])
        await tools.call("delete_assets", assets=[asset])
        async with tools.database.connection() as connection:
            cursor = await connection.execute("SELECT count(*) FROM annotation")
            assert await cursor.fetchall() == [(0,)]
    first, second = result["annotations"]
    assert [first["id"], second["id"]] == saved["annotations"]
    assert first["label"] == "白色货车"
    assert first["box"] == pytest.approx(BOX)
    assert (first["origin"], first["model"], first["score"]) == ("model", "qwen3-vl", 0.75)
    assert first["note"] == "by the gate"
    assert ImageChops.difference(plain, drawn).getbbox() is not None
    (content,) = read.contents
    assert isinstance(content, BlobResourceContents)
    assert open_image(base64.b64decode(content.blob)).format == "JPEG"


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("annotate_image", {}, "Nothing to draw"),
        ("annotate_image", {"boxes": [{"box": [0.5, 0, 0.4, 1]}]}, "[0.5, 0.0, 0.4, 1.0]"),
        ("annotate_image", {"boxes": [{"box": [0, 0, 2, 1]}]}, "not inside the image"),
        ("annotate_image", {"boxes": [{"box": [0, 0, 1]}]}, "boxes"),
        ("save_annotation", {"boxes": [{"box": BOX}], "origin": "person"}, "has no label"),
        (
            "save_annotation",
            {"boxes": [{"box": BOX, "label": "x"}], "origin": "model"},
            "Name the model",
        ),
        ("save_annotation", {"boxes": [{"box": BOX, "label": "x"}], "origin": "cat"}, "person"),
    ],
)
async def test_wrong_boxes_are_named(
    environment: ToolEnvironment, tool: str, arguments: dict[str, Any], said: str
) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())[GARLIC]
        assert said in await tools.call_error(tool, asset=asset, **arguments)


@pytest.mark.parametrize("annotation", ["x", "999999", "99999999999999999999999"])
async def test_an_unknown_annotation_is_rejected(
    environment: ToolEnvironment, annotation: str
) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())[GARLIC]
        with pytest.raises(Exception, match=annotation):
            await tools.client.read_resource(f"sightline://asset/{asset}/annotated/{annotation}")


async def test_a_detailed_search_lists_saved_boxes(environment_copy: ToolEnvironment) -> None:
    async with environment_copy.serve() as tools:
        asset = (await tools.ids())[GARLIC]
        boxes = [{"box": BOX, "label": "大蒜"}]
        await tools.call("save_annotation", asset=asset, boxes=boxes, origin="person")
        query = {"query": "a bulb of garlic on a green cloth", "limit": 2}
        detailed = await tools.call("search_images", **query, detail="detailed")
        concise = await tools.call("search_images", **query)
    first, second = detailed["hits"]
    assert first["asset"] == asset
    (saved,) = first["annotations"]
    assert first["annotation_count"] == 1
    assert (saved["label"], saved["box"], saved["origin"]) == ("大蒜", BOX, "person")
    assert "annotations" not in second
    assert "annotations" not in concise["hits"][0]


async def test_the_number_of_annotations_is_limited_and_own_ones_can_be_replaced(
    environment_copy: ToolEnvironment,
) -> None:
    boxes = [{"box": BOX, "label": f"part {number}"} for number in range(50)]
    async with environment_copy.serve() as tools:
        asset = (await tools.ids())[GARLIC]
        async with tools.database.connection() as connection:
            await connection.execute(
                "INSERT INTO annotation (asset_id, label, x0, y0, x1, y1, origin, author) "
                "SELECT %(asset)s, 'x', 0, 0, 1, 1, 'person', 'bob' FROM generate_series(1, 999)",
                {"asset": asset},
            )
        save = partial(tools.call, "save_annotation", asset=asset, boxes=boxes, origin="person")
        for _ in range(1000 // 50):
            await save()
        refused = await tools.call_error(
            "save_annotation", asset=asset, boxes=boxes[:1], origin="person"
        )
        await save(replace=True)
        async with tools.database.connection() as connection:
            cursor = await connection.execute(
                "SELECT author, count(*) FROM annotation GROUP BY author ORDER BY author"
            )
            kept = await cursor.fetchall()
    assert "You have 1,000 annotations" in refused
    assert "replace=true" in refused
    assert kept == [("bob", 999), (None, 50)]


async def test_own_boxes_and_those_of_models_can_be_deleted(
    environment_copy: ToolEnvironment,
) -> None:
    async with environment_copy.serve() as tools:
        ids = await tools.ids()
        asset = ids[GARLIC]
        save = partial(tools.call, "save_annotation", asset=asset, origin="person")
        own = (await save(boxes=[{"box": BOX, "label": "own"}]))["annotations"]
        another = next(each for each in ids.values() if each != asset)
        (elsewhere,) = (await save(asset=another, boxes=[{"box": BOX, "label": "own"}]))[
            "annotations"
        ]
        async with tools.database.connection() as connection:
            cursor = await connection.execute(
                "INSERT INTO annotation (asset_id, label, x0, y0, x1, y1, origin, author, model)"
                " VALUES (%(asset)s, 'theirs', 0, 0, 1, 1, 'person', 'bob', NULL),"
                " (%(asset)s, 'found', 0, 0, 1, 1, 'detector', NULL, 'd') RETURNING id",
                {"asset": asset},
            )
            (theirs,), (found,) = await cursor.fetchall()
        view = partial(tools.call, "view_image", asset=asset, annotated=True, inline=False)
        listed = (await view())["annotations"]
        refused = await tools.call_error(
            "save_annotation", asset=asset, boxes=[], origin="person", delete=[*own, theirs]
        )
        for wrong in (elsewhere, -1, 10**30):
            message = await tools.call_error(
                "save_annotation", asset=asset, boxes=[], origin="person", delete=[*own, wrong]
            )
            assert f"The annotation {wrong} cannot be deleted" in message
        kept = (await view())["annotations"]
        await save(boxes=[{"box": BOX, "label": "new"}], delete=[*own, found])
        left = (await view())["annotations"]
    assert {each["label"]: each.get("mine", False) for each in listed} == {
        "own": True,
        "theirs": False,
        "found": False,
    }
    assert all(each["created_at"] for each in listed)
    assert f"The annotation {theirs} cannot be deleted" in refused
    assert kept == listed  # nothing was deleted
    assert [each["label"] for each in left] == ["theirs", "new"]


async def test_a_save_without_boxes_needs_something_to_delete(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())[GARLIC]
        said = await tools.call_error("save_annotation", asset=asset, boxes=[], origin="person")
    assert "boxes is empty" in said
