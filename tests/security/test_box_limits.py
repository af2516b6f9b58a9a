"""Too many boxes are refused; the others are drawn in a worker process in linear time."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from sightline.storage.ingest.decode.render import view
from sightline.tools.shared.overlay_uri import MAX_OVERLAYS
from sightline.tools.shared.tool_results import MAX_RESULT_BYTES
from tests.security.two_principals import ALICE, House, call_json, read
from tests.support.sample_images import encoded, picture
from tests.tools.toolbox import data_url

SAVED = 3_000


def drawn_uri(asset: str, count: int) -> str:
    boxes = [[n / count / 2, 0.1, n / count / 2 + 0.3, 0.9, f"part {n}"] for n in range(count)]
    code = base64.urlsafe_b64encode(json.dumps(["box", boxes]).encode()).decode().rstrip("=")
    return f"sightline://asset/{asset}/drawn/{code}"


@pytest.fixture
def no_drawing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if the server process draws; its workers are other processes."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("drawn in the server process")

    for name in ("draw", "draw_in_crop", "load_view"):
        monkeypatch.setattr(view, name, refuse)


@pytest.mark.usefixtures("no_drawing_here")
async def test_images_are_drawn_on_in_worker_processes(house: House) -> None:
    asset = house.assets[ALICE][0]
    boxes = [{"box": [0.1, 0.1, 0.9, 0.9], "label": "x"}]
    async with house.client("alice") as alice:
        await call_json(alice, "annotate_image", asset=asset, boxes=boxes)
        await call_json(alice, "view_image", asset=asset, annotated=True, crop=[0, 0, 0.5, 0.5])
        for uri in (
            drawn_uri(asset, MAX_OVERLAYS),
            f"sightline://asset/{asset}",
            f"sightline://asset/{asset}/annotated/{house.annotations[ALICE]}",
        ):
            assert "image/jpeg" in await read(alice, uri)


@pytest.mark.parametrize("count", [MAX_OVERLAYS + 1, 400])
async def test_a_uri_with_more_boxes_than_a_tool_draws_is_refused(house: House, count: int) -> None:
    async with house.client("alice") as alice:
        said = await read(alice, drawn_uri(house.assets[ALICE][0], count))
    assert f"no valid boxes, or more than {MAX_OVERLAYS}" in said


async def test_thousands_of_annotations_neither_flood_results_nor_drawing(
    house: House, vault: str
) -> None:
    async with house.client("carol") as carol:
        await call_json(
            carol,
            "add_images",
            collection=vault,
            uploads=[{"name": "crowded.png", "data": data_url(encoded(picture(77), "PNG"))}],
        )
        ((asset,),) = house.rows(
            "SELECT asset.id FROM sightline.asset JOIN sightline.source ON source.id = source_id "
            "WHERE source.name = 'crowded.png'"
        )
        house.rows(
            "INSERT INTO sightline.annotation "
            "(asset_id, label, x0, y0, x1, y1, origin, author, note) "
            "SELECT %s, repeat('é', 120), 0.1, 0.1, 0.9, 0.9, 'person', n / 1000, "
            "repeat('é', 2000) FROM generate_series(0, %s) AS n",
            asset,
            SAVED - 1,
        )
        shown = await call_json(carol, "view_image", asset=asset, annotated=True)
        found = await call_json(
            carol, "search_images", query="crowded", limit=50, detail="detailed"
        )
        boxes = [{"box": [0, 0, 1, 1], "label": "x"}]
        saved = await call_json(carol, "save_annotation", asset=asset, boxes=boxes, origin="person")
        again = await call_json(carol, "view_image", asset=asset, annotated=True)
    assert (len(shown["annotations"]), shown["annotations_not_drawn"]) == (100, SAVED - 100)
    hit = next(each for each in found["hits"] if each["asset"] == asset)
    assert (len(hit["annotations"]), hit["annotation_count"]) == (20, SAVED)
    for result in (shown, found):
        assert len(json.dumps(result, ensure_ascii=False).encode()) < MAX_RESULT_BYTES // 3
    assert again["annotations"][-1]["id"] == saved["annotations"][0]  # the newest are shown
