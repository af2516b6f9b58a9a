"""Tasks as an agent meets them, with tools only.

Each test plays the calls of a competent agent, which knows the descriptions of the tools and the
results of its earlier calls, and checks the answer, the number of calls and the size of the
results. ``python -m benchmarks agent_tasks`` prints the figures.
"""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.acceptance import agent_material as material
from tests.acceptance.agent_session import Agent, Library, play, serve_library

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Start = Callable[..., AbstractAsyncContextManager[Agent]]
Hit = dict[str, Any]


@pytest.fixture(scope="module")
def library() -> Iterator[Library]:
    with (
        tempfile.TemporaryDirectory(prefix="sightline-tasks-") as folder,
        serve_library(Path(folder)) as served,
    ):
        yield served


@pytest.fixture
def start(library: Library, record_property: Callable[[str, object], None]) -> Start:
    """Connect an agent with a budget of calls and tokens."""
    return partial(play, library, record_property)


def files(hits: list[Hit]) -> list[str]:
    """Return the names of the files of hits."""
    return [Path(hit["source"]).name for hit in hits]


def strong(hits: list[Hit]) -> list[Hit]:
    return [hit for hit in hits if not hit.get("weak")]


def says_not_found(result: dict[str, Any]) -> bool:
    """Whether a result says that nothing was found, and every hit of it does."""
    return not strong(result["hits"]) and any("not found" in each for each in result["notes"])


async def test_task_01_find_the_picture_of_garlic(start: Start) -> None:
    async with start(max_calls=1, max_tokens=400) as agent:
        found = await agent.call("search_images", query="garlic")
        assert files(strong(found["hits"])) == [material.product_file("Garlic")]


async def test_task_02_which_receipt_totals_593_10_and_where(
    start: Start, library: Library
) -> None:
    async with start(max_calls=1, max_tokens=150) as agent:
        found = await agent.call("search_text", query='"593.10"')
        (hit,) = found["hits"]
        assert files([hit]) == [material.receipt_name(1)]
        np.testing.assert_allclose(hit["box"], library.material.totals[1], atol=0.015)


async def test_task_03_all_receipts_that_total_18_00(start: Start) -> None:
    async with start(max_calls=1, max_tokens=350) as agent:
        found = await agent.call("search_text", query='total "RM 18.00"', collection="receipts")
        # Another receipt totals 118.00.
        expected = {
            material.receipt_name(number)
            for number, (_, _, total) in enumerate(material.RECEIPTS)
            if total == "18.00"
        }
        assert len(expected) == 3
        assert set(files(found["hits"])) == expected
        assert len({hit["asset"] for hit in found["hits"]}) == 3


async def test_task_04_what_does_page_7_say(start: Start) -> None:
    async with start(max_calls=1, max_tokens=100) as agent:
        read = await agent.call("read_text", source=material.HANDBOOK, pages="7")
        (part,) = read["parts"]
        assert part["page"] == 7
        for words in material.CHAPTERS[6]:
            assert words in part["text"]


@pytest.mark.parametrize("tool", ["search_images", "search_text"])
async def test_task_05_compare_two_part_numbers(start: Start, tool: str) -> None:
    async with start(max_calls=1, max_tokens=450) as agent:
        found = await agent.call(tool, query="TH-8254 and PY-2680")
        first = found["hits"][:2]
        assert strong(found["hits"]) == first
        assert set(files(first)) == {"sheet-02.jpg", "sheet-05.jpg"}


async def test_task_06_white_vehicles_before_5_pm(start: Start, library: Library) -> None:
    async with start(max_calls=2, max_tokens=1_400) as agent:
        listed = await agent.call("list_collections")
        # The agent knows the name of no key before.
        assert "17:00" in listed["filter_keys"]["time_of_day"]
        found = await agent.call(
            "search_images",
            query="white vehicle",
            collection="album",
            filters={"time_of_day": {"lt": "17:00"}},
        )
        hits = found["hits"]
        assert all(hit["captured_at"][11:16] < "17:00" for hit in hits)
        expected = {
            row["file_name"]
            for row in library.material.album
            if "white" in {color for color, _ in row["vehicles"]}
            and row["captured_at"][11:16] < "17:00"
        }
        assert len(expected) == 3
        assert set(files(hits[:3])) == expected


async def test_task_07_near_duplicates_in_a_collection(start: Start) -> None:
    async with start(max_calls=1, max_tokens=250) as agent:
        found = await agent.call("find_duplicates", collection="album")
        groups = [set(files(group["images"])) for group in found["groups"]]
        assert groups == [
            {material.album_name(5), "copy-a.jpg", "copy-b.jpg"},
            {material.album_name(28), "copy-c.jpg"},
        ]


async def test_task_08_more_like_this_but_not_like_that(start: Start, library: Library) -> None:
    album = library.material.album
    families = {row["file_name"]: row["family"] for row in album}
    families |= {name: album[number]["family"] for name, number in material.COPIES.items()}
    async with start(max_calls=4, max_tokens=1_300) as agent:
        search = partial(agent.call, "search_images", collection="album")
        bedroom = await search(query="a bedroom", limit=1)
        flowcharts = await search(query="a flowchart", limit=2)
        like = [hit["asset"] for hit in (bedroom["hits"][0], flowcharts["hits"][0])]
        both = await search(like=like, limit=8)
        assert "flowchart" in {families[name] for name in files(both["hits"])}
        # The agent sees that it does not want flowcharts.
        rooms = await search(like=like, unlike=[flowcharts["hits"][1]["asset"]])
        assert {families[name] for name in files(rooms["hits"])} == {"room"}


async def test_task_09_how_many_receipts_of_one_company(start: Start) -> None:
    async with start(max_calls=1, max_tokens=350) as agent:
        found = await agent.call(
            "search_text", query='"NORTHSIDE BAKERY"', collection="receipts", limit=20
        )
        companies = [company for company, _, _ in material.RECEIPTS]
        assert len({hit["asset"] for hit in found["hits"]}) == companies.count("NORTHSIDE BAKERY")
        assert "next_cursor" not in found


async def test_task_10_how_many_products_in_a_department(start: Start) -> None:
    async with start(max_calls=1, max_tokens=100) as agent:
        counted = await agent.call("count", collection="groceries", by="department")
        fruit = [each for each in counted["values"] if each["value"].lower() == "fruit"]
        assert len(fruit) == 3  # Fruit, fruit and FRUIT
        assert sum(each["count"] for each in fruit) == 5


async def test_task_11_white_cars_in_chinese(start: Start, library: Library) -> None:
    async with start(max_calls=1, max_tokens=400) as agent:
        found = await agent.call("search_images", query="白色的车", collection="album")
        colors = {
            row["file_name"]: {color for color, _ in row["vehicles"]}
            for row in library.material.album
        }
        assert all("white" in colors[name] for name in files(found["hits"][:3]))


async def test_task_12_page_through_20_results(start: Start) -> None:
    async with start(max_calls=4, max_tokens=1_600) as agent:
        arguments = {"query": "a vehicle in front of a house", "collection": "album"}
        seen: list[str] = []
        cursor = ""
        for _ in range(4):
            page = await agent.call("search_images", cursor=cursor, **arguments)
            seen += [hit["asset"] for hit in page["hits"]]
            cursor = page["next_cursor"]
        assert len(seen) == len(set(seen)) == 20


async def test_task_13_a_giraffe_among_receipts(start: Start) -> None:
    async with start(max_calls=1, max_tokens=350) as agent:
        found = await agent.call("search_images", query="a giraffe", collection="receipts")
        assert says_not_found(found)


async def test_task_14_the_wifi_password_which_is_nowhere(start: Start) -> None:
    async with start(max_calls=1, max_tokens=450) as agent:
        found = await agent.call("search_text", query="What is the wifi password?")
        assert says_not_found(found)


async def test_task_15_a_value_in_a_filled_in_form(start: Start) -> None:
    async with start(max_calls=1, max_tokens=100) as agent:
        read = await agent.call("read_text", source=material.FORM)
        assert material.FORM_VALUE in read["parts"][0]["text"]


async def test_task_16_what_does_the_handwriting_say(start: Start) -> None:
    from rapidocr import RapidOCR

    async with start(max_calls=3, max_tokens=550) as agent:
        found = await agent.call("search_images", query="handwritten note", limit=3)
        note = found["hits"][0]
        assert files([note]) == [material.NOTE]
        _, (whole,) = await agent.look("view_image", asset=note["asset"])
        # The agent sees the yellow note on the picture.
        pixels = np.asarray(whole.convert("RGB"), np.int16)
        rows, columns = np.nonzero((abs(pixels - material.NOTE_COLOR) < 20).all(axis=2))
        corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        crop = [float(edge / whole.size[i % 2]) for i, edge in enumerate(corners)]
        np.testing.assert_allclose(crop, material.NOTE_BOX, atol=0.01)
        _, (enlarged,) = await agent.look("view_image", asset=note["asset"], crop=crop)
        assert enlarged.width >= 700  # of 336 pixels and a margin
        read = RapidOCR()(np.asarray(enlarged.convert("RGB"))[:, :, ::-1])
        assert material.NOTE_TEXT.replace(" ", "") in "".join(read.txts).replace(" ", "")


async def test_task_17_when_does_a_car_come_in_the_film(start: Start) -> None:
    async with start(max_calls=1, max_tokens=250) as agent:
        found = await agent.call("search_images", query="a car", collection="film")
        first = found["hits"][0]
        assert first["kind"] == "frame"
        begin, end = material.CAR_SECONDS
        assert begin <= first["seconds"] < end


async def test_task_18_photos_before_2010_without_words(start: Start) -> None:
    async with start(max_calls=1, max_tokens=300) as agent:
        found = await agent.call("search_images", captured_before="2010-01-01")
        assert found["total"] == len(material.OLD)
        assert set(files(found["hits"])) == {material.album_name(number) for number in material.OLD}
        assert all(hit["captured_at"].startswith("2008") for hit in found["hits"])


async def test_task_19_upload_mark_look_again_and_delete(start: Start) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (300, 200), (250, 250, 250)).save(picture, "PNG")
    upload = {"name": "wall.png", "data": base64.b64encode(picture.getvalue()).decode()}
    async with start(max_calls=4, max_tokens=350) as agent:
        added = await agent.call("add_images", collection="uploads", uploads=[upload])
        (asset,) = added["files"][0]["assets"]
        box = [0.25, 0.25, 0.75, 0.75]
        boxes = [{"box": box, "label": "crack"}]
        await agent.call("save_annotation", asset=asset, boxes=boxes, origin="person")
        viewed, (drawn,) = await agent.look("view_image", asset=asset, annotated=True)
        assert [(each["label"], each["box"]) for each in viewed["annotations"]] == [("crack", box)]
        edge = np.asarray(drawn.convert("RGB"), np.int16)[drawn.height // 2, : drawn.width // 2]
        marked = np.flatnonzero(abs(edge - 250).max(axis=1) > 60) / drawn.width
        assert marked.min() > 0.2
        assert marked.max() < 0.3
        deleted = await agent.call("delete_assets", assets=[asset])
        assert (deleted["deleted"], deleted["assets"], deleted["annotations"]) == (True, 1, 1)


async def test_task_20_the_hole_spacing_of_a_named_heat_sink(
    start: Start, library: Library
) -> None:
    async with start(max_calls=1, max_tokens=450) as agent:
        found = await agent.call("search_text", query="What is the hole spacing of TH-8254?")
        (hit,) = strong(found["hits"])
        caption = library.material.drawings[2]["caption"]
        assert "TH-8254" in caption
        assert hit["text"] == caption  # "... four holes 72 by 72 mm apart"


@pytest.mark.parametrize(
    "query", ["price of the oat milk", "How much does the oat milk cost?", "燕麦奶 oat milk 多少钱"]
)
async def test_task_21_the_price_of_a_named_product(start: Start, query: str) -> None:
    async with start(max_calls=1, max_tokens=450) as agent:
        found = await agent.call(
            "search_images", query=query, collection="groceries", detail="detailed", limit=3
        )
        first = found["hits"][0]
        assert not first.get("weak")
        assert (first["metadata"]["product"], first["metadata"]["price"]) == ("Oat milk", 2.35)


async def test_task_22_the_answer_is_in_the_caption_of_another_picture(
    start: Start, library: Library
) -> None:
    question = "Who owns the purple bicycle?"
    async with start(max_calls=2, max_tokens=1_200) as agent:
        found = await agent.call("search_images", query=question, collection="album", limit=3)
        # The best match shows the bicycle, and its caption names no owner.
        best = found["hits"][0]
        shown = {row["file_name"]: row["vehicles"] for row in library.material.album}
        assert ("purple", "bicycle") in shown[files([best])[0]]
        assert material.OWNER not in best["caption"]
        answered = await agent.call("answer_question", question=question, collection="album")
        evidence = [each.get("text", "") for each in answered["evidence"]]
        assert material.OWNED in evidence
