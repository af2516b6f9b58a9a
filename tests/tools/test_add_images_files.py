"""add_images lists the files of the call with the ids of their assets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from reportlab.pdfgen.canvas import Canvas

from sightline.tools import add_images
from tests.support.media import pdf
from tests.support.sample_images import fill, jpeg
from tests.tools.toolbox import ToolEnvironment, data_url


def upload(seed: int, **said: Any) -> dict[str, Any]:
    return {"name": f"{seed}.jpg", "data": data_url(jpeg(seed), "image/jpeg"), **said}


def listed(result: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
    return {each["name"]: (each["status"], each.get("assets", [])) for each in result["files"]}


async def test_files_are_listed_with_new_and_existing_assets(
    empty_environment: ToolEnvironment,
) -> None:
    broken = {"name": "broken.jpg", "data": data_url(b"\xff\xd8 nothing")}
    async with empty_environment.serve() as tools:

        async def add(*uploads: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
            return listed(await tools.call("add_images", collection="lots", uploads=list(uploads)))

        first = await add(upload(1), {**upload(1), "name": "again.jpg"}, upload(2), broken)
        ids = await tools.ids()
        one, two = [ids["1.jpg"]], [ids["2.jpg"]]
        assert first == {
            "1.jpg": ("added", one),
            "again.jpg": ("duplicate", one),
            "2.jpg": ("added", two),
            "broken.jpg": ("failed", []),
        }
        second = await add(upload(1), upload(2, caption="new"), upload(3))
        three = [(await tools.ids())["3.jpg"]]
    assert second == {
        "1.jpg": ("unchanged", one),
        "2.jpg": ("updated", two),
        "3.jpg": ("added", three),
    }


async def test_a_replaced_file_has_the_id_of_its_new_asset(
    empty_environment: ToolEnvironment, tmp_path: Path
) -> None:
    (path,) = fill(tmp_path, 1)
    async with empty_environment.replace(roots=(tmp_path,)).serve() as tools:
        old = await tools.call("add_images", collection="lots", paths=[str(path)])
        path.write_bytes(jpeg(7))
        new = await tools.call("add_images", collection="lots", paths=[str(path)])
        ids = await tools.ids()
    assert listed(new) == {str(path): ("added", [ids[str(path)]])}
    assert listed(old) != listed(new)


async def test_the_pages_of_a_document_are_listed_in_order_up_to_a_limit(
    empty_environment: ToolEnvironment, tmp_path: Path
) -> None:
    def draw(page: Canvas) -> None:
        page.drawString(50, 50, "a page")

    (tmp_path / "report.pdf").write_bytes(pdf(*[draw] * 22))
    async with empty_environment.replace(roots=(tmp_path,)).serve() as tools:
        added = await tools.call("add_images", collection="lots", paths=[str(tmp_path)])
        (file,) = added["files"]
        pages = [
            (await tools.call_with_images("view_image", asset=id_))[0]["asset"]["page"]
            for id_ in (file["assets"][0], file["assets"][1], file["assets"][19])
        ]
    assert pages == [1, 2, 20]
    assert (len(file["assets"]), file["more_assets"]) == (20, 2)


async def test_the_number_of_files_and_ids_is_limited(
    empty_environment: ToolEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(add_images, "MAX_FILES", 4)
    monkeypatch.setattr(add_images, "_MAX_IDS", 3)
    fill(tmp_path, 6)
    async with empty_environment.replace(roots=(tmp_path,)).serve() as tools:
        added = await tools.call("add_images", collection="lots", paths=[str(tmp_path)])
    assert (added["added"], added["more_files"]) == (6, 2)
    assert [len(each.get("assets", [])) for each in added["files"]] == [1, 1, 1, 0]
    assert added["files"][3]["more_assets"] == 1
