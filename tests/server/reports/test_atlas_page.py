"""The map of a collection: layout, contents of the page, browser behavior."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from sightline.server.reports import atlas_page
from sightline.storage.analytics import atlas_data, cluster_analysis
from sightline.storage.analytics.atlas_data import CollectionMap, MapColumn
from sightline.storage.db.pool import Database
from sightline.storage.errors import ConfigurationError, InvalidArgumentError, UnknownNameError
from sightline.storage.records import assets
from sightline.storage.records.collections import ensure
from tests.storage.analytics.conftest import asset_id, fill
from tests.support import browser

HOSTILE = "</script><script>hacked=1</script><img src=x onerror=hacked=1>\u2028%data%&amp;"
COUNT = 5_200
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def jpeg(colour: tuple[int, int, int] = (200, 30, 40)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (320, 200), colour).save(file, "JPEG")
    return file.getvalue()


def a_map(count: int = COUNT) -> CollectionMap:
    points = np.random.default_rng(2).random((count, 2)).astype(np.float32)
    points[:2] = [[0.1, 0.5], [0.9, 0.5]]
    return CollectionMap(
        HOSTILE,
        f"encoder {HOSTILE}",
        "pca",
        count,
        [f"{n:012d}" for n in range(count)],
        points,
        [HOSTILE if n % 2 else f"{n}.jpg" for n in range(count)],
        [HOSTILE if n < 100 else f"picture {n}" for n in range(count)],
        [
            MapColumn(HOSTILE, [HOSTILE if n % 3 else None for n in range(count)]),
            MapColumn("price", [None if n == 1 else n / 7 for n in range(count)], scale=True),
            MapColumn("many", [f"value {n % 20}" for n in range(count)]),
        ],
    )


def test_main_axes_keep_what_varies_most() -> None:
    angles = np.linspace(0, 1, 50)
    arc = np.stack([np.cos(angles), np.sin(angles), np.full(50, 0.01)], axis=1)
    points = atlas_data.project(arc, "pca")
    assert points.shape == (50, 2)
    assert points.dtype == np.float32
    assert np.all(np.diff(points[:, 0]) > 0) or np.all(np.diff(points[:, 0]) < 0)
    assert points.min() >= 0
    assert points.max() <= 1
    assert np.array_equal(points, atlas_data.project(arc, "pca"))


@pytest.mark.parametrize("rows", [np.ones((1, 4)), np.ones((7, 3)), np.eye(2), np.ones((3, 1))])
def test_few_or_equal_vectors_have_places_too(rows: np.ndarray) -> None:
    points = atlas_data.project(rows, "pca")
    assert points.shape == (len(rows), 2)
    assert np.isfinite(points).all()


@pytest.mark.skipif(find_spec("umap") is None, reason="the extra atlas is not installed")
def test_umap_keeps_neighbours_together() -> None:
    rng = np.random.default_rng(1)
    centres = np.eye(16)[:4]
    vectors = np.repeat(centres, 40, axis=0) + 0.05 * rng.normal(size=(160, 16))
    points = atlas_data.project(vectors, atlas_data.choose_projection(None, 160))
    of = np.repeat(np.arange(4), 40)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + 9 * np.eye(160)
    assert (of[apart.argmin(axis=1)] == of).mean() > 0.95


@pytest.mark.skipif(find_spec("umap") is not None, reason="the extra atlas is installed")
def test_without_umap_the_main_axes_are_taken_and_umap_by_name_is_refused() -> None:
    assert atlas_data.choose_projection(None, 10_000) == "pca"
    with pytest.raises(ConfigurationError, match=r"pip install 'sightline-mcp\[atlas\]'"):
        atlas_data.choose_projection("umap", 10_000)


async def test_a_collection_is_laid_out_with_what_it_is_coloured_by(database: Database) -> None:
    await fill(database)
    await cluster_analysis.cluster_collections(database, names=["album"], k=3)
    found = await atlas_data.build_map(database, "album", method="pca")
    assert found.ids[0] == asset_id("album", 0)
    assert (len(found.ids), found.total, found.points.shape) == (29, 29, (29, 2))
    assert found.titles[0] == "album0000000.jpg"
    assert [column.name for column in found.columns] == [
        "product", "cluster", "kind", "captured_at",
    ]  # fmt: skip
    product, cluster, _, captured = found.columns
    assert list(product.values[:2]) == ["Onion", "Garlic"]
    assert {str(value)[:8] for value in cluster.values} == {"cluster "}
    assert captured.scale
    assert captured.values[0] == datetime(2026, 1, 15, tzinfo=UTC).timestamp()
    some = await atlas_data.build_map(
        database, "album", method="pca", color="cluster", max_points=10
    )
    assert (len(some.ids), some.total, some.columns[0].name) == (10, 29, "cluster")
    async with database.connection() as connection:
        assert len(await assets.thumbnails(connection, some.ids)) == 10


async def test_positions_are_those_of_the_map(database: Database) -> None:
    await fill(database)
    await cluster_analysis.cluster_collections(database, names=["album"], k=3)
    expected = await atlas_data.build_map(database, "album", method="pca")
    found = await atlas_data.build_positions(database, "album", batch_rows=8)
    assert found.total == 29
    assert sorted(found.ids) == [*expected.ids]
    order = np.argsort(found.ids)
    assert np.abs(found.points[order] / 65_535 - expected.points).max() < 0.001
    (cluster,) = (column for column in expected.columns if column.name == "cluster")
    assert [f"cluster {found.clusters[index]}" for index in order] == [*cluster.values]


async def test_a_sample_decides_the_axes(database: Database) -> None:
    await fill(database)
    whole = await atlas_data.build_positions(database, "album")
    found = await atlas_data.build_positions(database, "album", batch_rows=5, axes_rows=10)
    assert found.ids == whole.ids
    assert found.points.shape == (29, 2)
    assert (found.points.min(), found.points.max()) == (0, 65_535)
    assert not np.array_equal(found.points, whole.points)
    assert not found.clusters.any()


async def test_what_cannot_be_laid_out_is_named(database: Database) -> None:
    await fill(database)
    async with database.connection() as connection:
        await ensure(connection, "empty")
    with pytest.raises(UnknownNameError, match=r"Unknown collection 'x'. Available: 'album'"):
        await atlas_data.build_map(database, "x")
    with pytest.raises(UnknownNameError, match=r"color by 'price'. Available: 'captured_at'"):
        await atlas_data.build_map(database, "album", color="price")
    for build in (atlas_data.build_map, atlas_data.build_positions):
        with pytest.raises(InvalidArgumentError, match="'empty' has no images with vectors"):
            await build(database, "empty")
    with pytest.raises(InvalidArgumentError, match=r"0 points is out of range. Use 1 to 20,000"):
        await atlas_data.build_map(database, "album", max_points=0)


def test_nothing_of_the_data_is_markup() -> None:
    text = atlas_page.render(a_map(200), {"0" * 12: atlas_page.shrink(jpeg())}, created_at=NOW)
    assert len(re.findall(r"<script\b", text)) == 2
    assert "<img" not in text
    block = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert block is not None
    data = json.loads(block[1])
    assert data["captions"][0] == HOSTILE.replace("\u2028", "\n")
    assert data["columns"][0]["counts"] == [133]
    assert (data["x"][0], data["y"][0]) == (round(0.1 * 65_535), round(0.5 * 65_535))
    image = Image.open(io.BytesIO(base64.b64decode(data["thumbnails"][0])))
    assert (image.format, image.size) == ("WEBP", (112, 70))


def test_the_policy_lets_this_script_and_style_in_and_no_other() -> None:
    text = atlas_page.render(a_map(3), {}, created_at=NOW)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in html.unescape(policy[1])
    assert "unsafe" not in policy[1]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    if browser.PROGRAM is None:
        pytest.skip("there is no Chromium on the path")
    path = tmp_path_factory.mktemp("atlas") / "map.html"
    map_ = a_map()
    small = atlas_page.shrink(jpeg())
    path.write_text(
        atlas_page.render(map_, dict.fromkeys(map_.ids, small), created_at=NOW), "utf-8"
    )
    with browser.browser() as opened:
        opened.open(path.as_uri())
        yield opened


@pytest.fixture
def fresh(shown: browser.Page) -> browser.Page:
    shown.evaluate("(colorBy(0), matches = null, reset(), canvas.focus())")
    return shown


def test_thousands_of_points_are_drawn_and_nothing_else_happens(fresh: browser.Page) -> None:
    pixels = "context.getImageData(0, 0, canvas.width, canvas.height).data"
    drawn = f"{pixels}.filter((v, i) => i % 4 == 3 && v)"
    assert fresh.evaluate(f"{drawn}.length") > 5_000
    assert fresh.evaluate("visible.length") == COUNT
    assert fresh.evaluate("typeof hacked") == "undefined"
    assert fresh.evaluate("document.querySelector('h1').textContent").startswith("</script>")
    kinds = {message.get("method") for message in fresh.messages}
    assert not kinds & {"Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening"}
    fetched = [
        message["params"]["request"]["url"].partition(":")[0]
        for message in fresh.messages
        if message.get("method") == "Network.requestWillBeSent"
    ]
    assert set(fetched) <= {"file", "data"}
    assert fetched.count("file") == 1


def test_the_pointer_shows_a_picture_with_its_words(fresh: browser.Page) -> None:
    x, y = fresh.evaluate(
        "(() => { const box = canvas.getBoundingClientRect(); "
        "return [box.left + screenX(0), box.top + screenY(0)]; })()"
    )
    fresh.mouse("mouseMoved", x, y)
    assert fresh.evaluate("[hovered, card.hidden]") == [0, False]
    assert "<img src=x" in fresh.evaluate("card.textContent")
    assert fresh.evaluate("card.querySelectorAll('img').length") == 1
    assert fresh.evaluate("card.querySelector('img').naturalWidth") == 112
    fresh.mouse("mousePressed", x, y)
    fresh.mouse("mouseReleased", x, y)
    fresh.mouse("mouseMoved", x + 300, y + 100)
    assert fresh.evaluate("pinned") == 0
    assert "<img src=x" in fresh.evaluate("card.textContent")


def test_the_keyboard_goes_from_picture_to_picture(fresh: browser.Page) -> None:
    fresh.press("ArrowRight")
    first = fresh.evaluate("[pinned, screenX(pinned)]")
    fresh.press("ArrowRight")
    second = fresh.evaluate("[pinned, screenX(pinned)]")
    assert first[0] != second[0]
    assert second[1] > first[1]
    assert fresh.evaluate("$('status').textContent") != ""
    fresh.press("+")
    assert fresh.evaluate("view.scale") == 1.5
    fresh.press("Escape")
    assert fresh.evaluate("[pinned, card.hidden]") == [-1, True]
    fresh.press("0")
    assert fresh.evaluate("view.scale") == 1


def test_close_up_points_become_pictures(fresh: browser.Page) -> None:
    fresh.evaluate("pin(0)")
    for _ in range(8):
        fresh.press("+")
    assert 0 < fresh.evaluate("visible.length") <= 150
    assert fresh.evaluate("visible.every(i => thumbnails.has(i))")


def test_the_legend_and_the_search_choose_what_is_shown(fresh: browser.Page) -> None:
    assert fresh.evaluate("$('legend').children.length") == 2  # a name, and none
    fresh.evaluate("$('legend').children[1].click()")
    assert fresh.evaluate("[visible.length, $('legend').children[1].ariaPressed]") == [
        3_466,
        "false",
    ]
    fresh.evaluate("($('column').value = 2, $('column').dispatchEvent(new Event('change')))")
    assert fresh.evaluate("[visible.length, $('legend').children.length]") == [COUNT, 11]
    assert fresh.evaluate("$('legend').lastChild.textContent") == "10 others2,600"
    fresh.evaluate(
        "($('find').value = 'picture 4321', $('find').dispatchEvent(new Event('input')))"
    )
    assert fresh.evaluate("visible") == [4_321]
    fresh.evaluate("colorBy(1)")
    assert fresh.evaluate("$('legend').textContent").startswith("0742.7")


def test_it_is_light_or_dark_as_the_reader_wishes(fresh: browser.Page) -> None:
    def wish(scheme: str) -> None:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        fresh.call("Emulation.setEmulatedMedia", features=[feature])

    looks = "[getComputedStyle(document.body).backgroundColor, colors[1]]"
    wish("light")
    assert fresh.evaluate(looks) == ["rgb(251, 251, 249)", "#0072b2"]
    # The page's own listener is older than this one, and hears of it first.
    listens = "dark.addEventListener('change', () => done(), { once: true })"
    fresh.evaluate(f"void (window.turned = new Promise((done) => {listens}))")
    wish("dark")
    assert fresh.evaluate(f"turned.then(() => {looks})") == ["rgb(21, 23, 27)", "#4aa8e8"]
