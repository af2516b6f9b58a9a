"""add_images and delete_assets change everything or nothing."""

from __future__ import annotations

import base64
import ipaddress
from pathlib import Path
from typing import Any

import pytest
from mcp.types import Tool

from sightline.storage.ingest.ingest_options import UrlPolicy
from tests.support.https_site import page, site
from tests.support.sample_images import encoded, exif, fill, jpeg, picture
from tests.tools.album import PICTURES
from tests.tools.toolbox import ToolEnvironment, data_url


def upload(seed: int, **said: Any) -> dict[str, Any]:
    return {"name": f"{seed}.jpg", "data": data_url(jpeg(seed), "image/jpeg"), **said}


async def test_uploads_are_found_by_caption_metadata_and_time_and_can_be_looked_at(
    empty_environment: ToolEnvironment,
) -> None:
    async with empty_environment.serve() as tools:
        added = await tools.call(
            "add_images",
            collection="lots",
            uploads=[
                upload(
                    1,
                    caption="Lot 3 behind the north fence",
                    metadata={"lot": 3, "tags": ["fence", "north"]},
                    captured_at="2026-05-01T16:40:00+02:00",
                ),
                upload(2),
            ],
        )
        by_word = await tools.call("search_images", query="north fence", visual_weight=0)
        by_key = await tools.call("search_images", query="x", filters={"lot": 3})
        by_time = await tools.call("search_images", query="x", captured_after="2026-01-01")
        (asset,) = [hit["asset"] for hit in by_key["hits"]]
        viewed, (seen,) = await tools.call_with_images("view_image", asset=asset)
    assert (added["collection"], added["added"], added["failed"]) == ("lots", 2, 0)
    assert (added["assets"], added["passages"]) == (2, 1)
    for result in (by_word, by_key, by_time):
        assert [hit["source"] for hit in result["hits"]] == ["1.jpg"]
    assert viewed["asset"]["metadata"] == {"lot": 3, "tags": ["fence", "north"]}
    assert viewed["asset"]["captured_at"] == "2026-05-01T16:40:00"
    assert seen.size == picture(1).size


async def test_plain_base64_is_an_upload_too(empty_environment: ToolEnvironment) -> None:
    plain = {"name": "a.jpg", "data": base64.b64encode(jpeg(1)).decode()}
    async with empty_environment.serve() as tools:
        added = await tools.call("add_images", collection="lots", uploads=[plain])
    assert added["added"] == 1


async def test_the_same_bytes_twice_change_nothing_and_a_new_caption_is_an_update(
    empty_environment: ToolEnvironment,
) -> None:
    async with empty_environment.serve() as tools:

        async def add(*uploads: dict[str, Any]) -> dict[str, Any]:
            return await tools.call("add_images", collection="lots", uploads=list(uploads))

        first = await add(upload(1), {**upload(1), "name": "again.jpg"})
        ids = await tools.ids()
        second = await add(upload(1))
        third = await add(upload(1, caption="now with a caption"))
        found = await tools.call("search_images", query="caption", visual_weight=0)
        after = await tools.ids()
    counted = ("added", "updated", "unchanged", "duplicates")
    assert [first[name] for name in counted] == [1, 0, 0, 1]
    assert [second[name] for name in counted] == [0, 0, 1, 0]
    assert [third[name] for name in counted] == [0, 1, 0, 0]
    assert set(ids.values()) == set(after.values())
    assert len(found["hits"]) == 1


async def test_folders_and_files_under_an_allowed_root_are_named_as_they_were_given(
    empty_environment: ToolEnvironment, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    fill(root / "folder", 3)
    (single,) = fill(root, 1, start=9)
    async with empty_environment.replace(roots=(root,)).serve() as tools:
        added = await tools.call(
            "add_images", collection="lots", paths=[str(root / "folder"), str(single)]
        )
        names = set(await tools.ids())
    assert added["added"] == 4
    assert names == {*(f"{root}/folder/{n:04}.jpg" for n in range(3)), str(single)}


async def test_files_that_cannot_be_read_are_named_with_the_reason_and_the_rest_is_added(
    empty_environment: ToolEnvironment,
) -> None:
    broken = {"name": "broken.jpg", "data": data_url(b"\xff\xd8 nothing")}
    cut = {"name": "cut.jpg", "data": data_url(jpeg(5)[:500])}
    async with empty_environment.serve() as tools:
        added = await tools.call("add_images", collection="lots", uploads=[broken, upload(1), cut])
        (lots,) = (await tools.call("list_collections"))["collections"]
    assert (added["added"], added["failed"]) == (1, 2)
    assert {failure["name"] for failure in added["failures"]} == {"broken.jpg", "cut.jpg"}
    assert all(failure["code"] and failure["reason"] for failure in added["failures"])
    assert lots["failed_sources"] == 2


async def test_progress_is_reported_and_increases(empty_environment: ToolEnvironment) -> None:
    told: list[tuple[float, float | None]] = []

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total))

    async with empty_environment.serve() as tools:
        result = await tools.client.call_tool(
            "add_images",
            {"collection": "lots", "uploads": [upload(n) for n in range(4)]},
            progress_callback=heard,
        )
    assert not result.is_error
    assert told
    assert [progress for progress, _ in told] == sorted(progress for progress, _ in told)
    assert told[-1] == (4, 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, ["Nothing to add", "paths, uploads"]),
        ({"uploads": []}, ["Nothing to add"]),
        ({"uploads": [{"name": "a.jpg"}]}, ["uploads.0.data", "required"]),
        ({"uploads": [{"name": "", "data": "aa"}]}, ["uploads.0.name", "at least 1 character"]),
        ({"uploads": [{**upload(1), "size": 3}]}, ["uploads.0.size", "not permitted"]),
        ({"uploads": [{"name": "a.jpg", "data": "!"}]}, ["not base64"]),
        ({"uploads": [{"name": "a.jpg", "data": "data:image/png,x"}]}, ["'a.jpg'", ";base64,"]),
        ({"uploads": [upload(1)] * 101}, ["uploads", "at most 100"]),
        ({"uploads": "a.jpg"}, ["uploads", "valid list"]),
        ({"paths": ["/etc/passwd"]}, ["'/etc/passwd'", "SIGHTLINE_ALLOWED_ROOTS"]),
        ({"uploads": [upload(1)], "collection": "my 'own'"}, ["my 'own'", "'holiday-2024'"]),
        ({"uploads": [upload(1)], "collection": ""}, ["''", "'holiday-2024'"]),
        ({"uploads": [upload(1)], "collection": "x" * 65}, ["64 letters"]),
        ({"uploads": [upload(1)], "tags": ["a"]}, ["no argument 'tags'", "'uploads'"]),
    ],
)
async def test_what_cannot_be_added_is_refused_and_nothing_is_made(
    empty_environment: ToolEnvironment, arguments: dict[str, Any], words: list[str]
) -> None:
    async with empty_environment.serve() as tools:
        text = await tools.call_error("add_images", **{"collection": "lots", **arguments})
        listed = await tools.call("list_collections")
    for word in words:
        assert word in text
    assert listed["collections"] == []


async def test_paths_out_of_the_roots_are_refused_and_nothing_is_added(
    empty_environment: ToolEnvironment, tmp_path: Path
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    fill(root, 1)
    fill(outside, 1, start=5)
    (root / "way").symlink_to(outside)
    ways = [str(outside), f"{root}/../outside", str(root / "way"), str(root / "way" / "0005.jpg")]
    async with empty_environment.replace(roots=(root,)).serve() as tools:
        for way in ways:
            text = await tools.call_error("add_images", collection="lots", paths=[str(root), way])
            assert repr(way) in text
            assert "not a file under the folders" in text
        assert await tools.ids() == {}


async def test_a_link_inside_a_folder_that_leads_out_of_it_is_not_followed(
    empty_environment: ToolEnvironment, tmp_path: Path
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    fill(root / "folder", 1)
    fill(outside, 1, start=5)
    (root / "folder" / "link.jpg").symlink_to(outside / "0005.jpg")
    async with empty_environment.replace(roots=(root,)).serve() as tools:
        added = await tools.call("add_images", collection="lots", paths=[str(root / "folder")])
    assert (added["added"], added["failed"]) == (1, 1)
    assert added["failures"][0]["code"] == "link_outside"


async def test_deleted_assets_are_gone_from_every_tool(environment_copy: ToolEnvironment) -> None:
    async with environment_copy.serve() as tools:
        ids = await tools.ids()
        gone = [ids["album/shop/garlic.png"], ids["album/shop/onion.png"]]
        result = await tools.call("delete_assets", assets=[*gone, gone[0]])
        found = await tools.call("search_images", query="garlic", limit=50)
        text = await tools.call("search_text", query="garlic", limit=50)
        refused = await tools.call_error("view_image", asset=gone[0])
        (album,) = (await tools.call("list_collections"))["collections"]
    assert (result["deleted"], result["assets"], result["sources"]) == (True, 2, 2)
    assert not set(gone) & {hit["asset"] for hit in found["hits"]}
    assert not set(gone) & {hit.get("asset") for hit in text["hits"]}
    assert gone[0] in refused
    assert album["assets"] == PICTURES - 2


async def test_where_one_id_is_unknown_none_is_deleted(environment_copy: ToolEnvironment) -> None:
    async with environment_copy.serve() as tools:
        before = await tools.ids()
        known = before["album/shop/garlic.png"]
        text = await tools.call_error("delete_assets", assets=[known, "zzzzzzzzzzzz", "nonsense"])
        after = await tools.ids()
    assert "'zzzzzzzzzzzz'" in text
    assert "'nonsense'" in text
    assert known not in text
    assert before == after


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, ["Nothing to delete", "`collection`", "`sources`"]),
        ({"assets": []}, ["Nothing to delete"]),
        ({"collection": "album", "sources": []}, ["`sources` is an empty list"]),
        ({"collection": "album", "assets": []}, ["`assets` is an empty list"]),
        ({"collection": "album", "assets": [], "sources": []}, ["`sources` is an empty list"]),
        ({"assets": ["a"] * 101}, ["assets", "at most 100 items"]),
        ({"assets": "zzzzzzzzzzzz"}, ["'zzzzzzzzzzzz'"]),
        ({"assets": ["a"], "collection": "album"}, ["either asset ids, or a collection"]),
        ({"collection": "albun"}, ["'albun'", "'album'"]),
        ({"collection": "album", "sources": ["no.png"]}, ["'no.png'"]),
        ({"collection": "album", "confirm": "12345678"}, ["'12345678'", "without `confirm`"]),
        ({"assets": ["a\x00"]}, [r"'a\x00'"]),
        ({"assets": ["a' OR 'a' = 'a"]}, ["OR"]),
    ],
)
async def test_what_cannot_be_deleted_is_refused(
    environment_copy: ToolEnvironment, arguments: dict[str, Any], words: list[str]
) -> None:
    async with environment_copy.serve() as tools:
        text = await tools.call_error("delete_assets", **arguments)
        assert len(await tools.ids()) == PICTURES
    for word in words:
        assert word in text


async def test_the_uri_of_an_asset_is_accepted_for_its_id(
    environment_copy: ToolEnvironment,
) -> None:
    async with environment_copy.serve() as tools:
        gone = (await tools.ids())["album/shop/garlic.png"]
        await tools.call("delete_assets", assets=f"sightline://asset/{gone}")
        assert gone not in (await tools.ids()).values()


async def test_sources_are_deleted_after_a_confirmation(environment_copy: ToolEnvironment) -> None:
    name = "album/shop/garlic.png"
    wanted = {"collection": "album", "sources": [name]}
    async with environment_copy.serve() as tools:
        preview = await tools.call("delete_assets", **wanted)
        assert (preview["deleted"], preview["assets"], preview["sources"]) == (False, 1, 1)
        assert name in await tools.ids()
        deleted = await tools.call("delete_assets", **wanted, confirm=preview["confirm"])
        again = await tools.call_error("delete_assets", **wanted, confirm=preview["confirm"])
        left = await tools.ids()
    assert (deleted["deleted"], deleted["assets"], deleted["sources"]) == (True, 1, 1)
    assert "confirm" not in deleted
    assert len(left) == PICTURES - 1
    assert repr(name) in again


async def test_a_source_may_be_named_as_a_concise_result_shows_it(
    environment_copy: ToolEnvironment,
) -> None:
    wanted = {"collection": "album", "sources": "…/shop/garlic.png"}
    async with environment_copy.serve() as tools:
        preview = await tools.call("delete_assets", **wanted)
        await tools.call("delete_assets", **wanted, confirm=preview["confirm"])
        left = await tools.ids()
        uploads = [
            {"name": f"{folder}/a.jpg", "data": base64.b64encode(jpeg(n)).decode()}
            for n, folder in enumerate(("x", "y"))
        ]
        await tools.call("add_images", collection="two", uploads=uploads)
        refused = await tools.call_error("delete_assets", collection="two", sources=["a.jpg"])
    assert "album/shop/garlic.png" not in left
    assert len(left) == PICTURES - 1
    assert "'x/a.jpg', 'y/a.jpg'" in refused


async def test_a_collection_is_deleted_after_a_confirmation(
    environment_copy: ToolEnvironment,
) -> None:
    async with environment_copy.serve() as tools:
        preview = await tools.call("delete_assets", collection="album")
        ids = await tools.ids("album")
        assert preview["assets"] == len(ids) == PICTURES
        # What was confirmed is not what is there now.
        await tools.call("delete_assets", assets=[ids["album/shop/garlic.png"]])
        changed = await tools.call_error(
            "delete_assets", collection="album", confirm=preview["confirm"]
        )
        assert f"{PICTURES - 1} assets" in changed
        preview = await tools.call("delete_assets", collection="album")
        deleted = await tools.call("delete_assets", collection="album", confirm=preview["confirm"])
        listed = await tools.call("list_collections")
    assert deleted["collection"] == "album"
    assert "album" not in {each["name"] for each in listed["collections"]}


async def test_a_confirmation_is_for_this_content_and_not_for_other_of_the_same_name(
    empty_environment: ToolEnvironment,
) -> None:
    async with empty_environment.serve() as tools:
        for seed in (1, 2):
            uploads = [{"name": "a.jpg", "data": data_url(jpeg(seed), "image/jpeg")}]
            await tools.call("add_images", collection="lots", uploads=uploads)
            whole, source = {"collection": "lots"}, {"collection": "lots", "sources": ["a.jpg"]}
            if seed == 1:
                codes = [
                    (await tools.call("delete_assets", **each))["confirm"]
                    for each in (whole, source)
                ]
                await tools.call("delete_assets", assets=list((await tools.ids()).values()))
        for each, code in zip((whole, source), codes, strict=True):
            refused = await tools.call_error("delete_assets", **each, confirm=code)
            assert "does not fit what would be deleted now: 1 assets of 1 files" in refused
        assert len(await tools.ids()) == 1


async def test_uploaded_bytes_go_with_their_asset_and_files_of_others_stay(
    empty_environment: ToolEnvironment, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    (file,) = fill(root, 1)
    async with empty_environment.replace(roots=(root,)).serve() as tools:
        await tools.call("add_images", collection="lots", paths=[str(file)], uploads=[upload(7)])
        stored = [
            path for path in (empty_environment.data / "objects").rglob("*") if path.is_file()
        ]
        ids = await tools.ids()
        await tools.call("delete_assets", assets=list(ids.values()))
    assert len(stored) == 1
    assert not stored[0].exists()
    assert file.exists()


async def test_tools_that_write_say_so(environment: ToolEnvironment) -> None:
    def hints(tool: Tool) -> tuple[bool | None, bool | None]:
        assert tool.annotations is not None
        return tool.annotations.read_only_hint, tool.annotations.destructive_hint

    async with environment.serve() as tools:
        assert hints(tools.tools["add_images"]) == (False, False)
        assert hints(tools.tools["delete_assets"]) == (False, True)
        for name in ("list_collections", "search_images", "search_text", "view_image"):
            assert hints(tools.tools[name])[0] is True


async def test_an_uploads_exif_capture_time_is_used(empty_environment: ToolEnvironment) -> None:
    taken = encoded(picture(3), exif=exif(taken="2026:03:04 05:06:07", offset="+01:00"))
    async with empty_environment.serve() as tools:
        await tools.call(
            "add_images",
            collection="lots",
            uploads=[{"name": "a.jpg", "data": data_url(taken, "image/jpeg")}],
        )
        found = await tools.call("search_images", query="x", captured_before="2026-03-05")
    assert found["hits"][0]["captured_at"] == "2026-03-04T05:06:07"


async def test_files_are_fetched_from_the_hosts_that_are_allowed_and_only_then(
    empty_environment: ToolEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path / "site", {"/lot.jpg": page(jpeg(1))}) as served:
        monkeypatch.setenv("SSL_CERT_FILE", str(served.authority))
        url = f"https://localhost:{served.port}/lot.jpg"
        async with empty_environment.serve() as tools:
            off = await tools.call_error("add_images", collection="lots", urls=[url])
        allowed = UrlPolicy(
            (f"localhost:{served.port}",),
            tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128"))),
        )
        async with empty_environment.replace(urls=allowed).serve() as tools:
            elsewhere = await tools.call_error(
                "add_images", collection="lots", urls=[url, "https://localhost/lot.jpg?key=secret"]
            )
            assert served.asked == []
            added = await tools.call("add_images", collection="lots", urls=[url, f"{url}s"])
    assert "SIGHTLINE_URLS__ALLOWED_HOSTS" in off
    assert "localhost:" in elsewhere
    assert "secret" not in elsewhere
    assert (added["added"], added["failed"]) == (1, 1)
    assert added["failures"][0]["code"] == "http_status"
