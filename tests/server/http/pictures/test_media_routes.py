"""Tests of the original video of an asset over HTTP, with a real server, database and file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest

from sightline.server.http.pictures.media_links import LINK_SECONDS, MediaLinks
from sightline.storage.blobs import BlobStore, FileState
from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.records import collections
from tests.server.http.pictures.picture_server import ASSET, PictureServer, open_picture_server
from tests.support.database_rows import add_asset, add_source

FRAME = "frame0000001"
#: Larger than what is sent at once.
VIDEO = bytes(range(256)) * 3_000
SIZE = len(VIDEO)


@pytest.fixture
async def server(
    tmp_path: Path, database: Database, database_dsn: str
) -> AsyncIterator[PictureServer]:
    async with open_picture_server(tmp_path, database, database_dsn) as opened:
        await add_video(opened, tmp_path / "clip.mp4")
        yield opened


async def add_video(
    server: PictureServer,
    file: Path,
    asset: str = FRAME,
    *,
    mime_type: str = "video/mp4",
    location: str | None = None,
) -> None:
    """Store a video with one frame, as ingest does."""
    file.write_bytes(VIDEO)  # noqa: ASYNC240
    async with server.database.write_connection() as connection:
        # A collection has the same bytes once only.
        album = await collections.ensure(connection, mime_type.replace("/", "-"))
        source = await add_source(
            connection,
            album,
            file.name,
            location=location or f"file:{file}",
            kind=mime_type.partition("/")[0],
            content_key=hashlib.sha256(VIDEO).digest(),
        )
        await connection.execute(
            "UPDATE source SET mime_type = %s WHERE id = %s", [mime_type, source]
        )
        await add_asset(connection, album, asset, source_id=source, kind="frame")


async def link_of(server: PictureServer, asset: str = FRAME, token: str = "ann") -> str:
    """Return the address of the media of an asset, which contains its link."""
    address = f"{server.base_url}/assets/{asset}/media-link"
    headers = {"Authorization": f"Bearer {server.tokens[token]}"}
    response = await server.http.get(address, headers=headers)
    assert response.status_code == 200, response.text
    return str(httpx2.URL(address).join(response.json()["url"]))


async def play(url: str, method: str = "GET", **headers: str) -> httpx2.Response:
    """Request media as a player does: without a token."""
    async with httpx2.AsyncClient(timeout=60) as http:
        return await http.request(
            method, url, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )


async def test_a_player_gets_the_whole_file_with_safe_headers(server: PictureServer) -> None:
    response = await play(await link_of(server))
    assert response.status_code == 200
    assert response.content == VIDEO
    expected = {
        "content-type": "video/mp4",
        "content-length": str(SIZE),
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'",
        "cross-origin-resource-policy": "same-origin",
    }
    assert {name: response.headers[name] for name in expected} == expected


RANGES = [
    ("bytes=0-0", 0, 1),
    ("bytes=100-", 100, SIZE),
    (f"bytes={SIZE - 1}-{SIZE * 9}", SIZE - 1, SIZE),
    ("bytes=250000-600000", 250_000, 600_001),
    ("bytes=-7", SIZE - 7, SIZE),
    (f"bytes=-{SIZE * 2}", 0, SIZE),
]


async def test_a_range_is_sent_with_its_place(server: PictureServer) -> None:
    url = await link_of(server)
    for text, start, stop in RANGES:
        response = await play(url, range=text)
        assert response.status_code == 206, text
        assert response.content == VIDEO[start:stop], text
        assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"


async def test_a_range_outside_of_the_file_gets_416(server: PictureServer) -> None:
    url = await link_of(server)
    for text in (f"bytes={SIZE}-", f"bytes={SIZE * 3}-{SIZE * 4}", "bytes=-0"):
        response = await play(url, range=text)
        assert response.status_code == 416, text
        assert response.headers["content-range"] == f"bytes */{SIZE}"
        assert "outside" in response.json()["error"]


async def test_other_ranges_are_ignored(server: PictureServer) -> None:
    url = await link_of(server)
    for text in ("bytes=5-2", "bytes=-", "bytes=0-1,4-5", "lines=0-1", "bytes=x-", "bytes=1"):
        response = await play(url, range=text)
        assert (response.status_code, response.content) == (200, VIDEO), text


async def test_conditions_use_the_etag(server: PictureServer) -> None:
    url = await link_of(server)
    etag = (await play(url)).headers["etag"]
    assert not etag.startswith("W/")
    same = await play(url, range="bytes=0-9", if_range=etag)
    assert (same.status_code, same.content) == (206, VIDEO[:10])
    for other in ('"x"', f"W/{etag}", "Sun, 29 Nov 2026 10:00:00 GMT"):
        assert (await play(url, range="bytes=0-9", if_range=other)).status_code == 200
    known = await play(url, if_none_match=etag)
    assert (known.status_code, known.content) == (304, b"")


async def test_head_gives_the_headers_without_the_file(server: PictureServer) -> None:
    url = await link_of(server)
    head = await play(url, "HEAD", range="bytes=0-9")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(SIZE)
    assert head.headers["accept-ranges"] == "bytes"
    assert (await play(url, "POST")).status_code == 405


async def test_a_stored_blob_is_played(server: PictureServer, tmp_path: Path) -> None:
    assert server.running.app.tool_dependencies is not None
    blobs = server.running.app.tool_dependencies.blobs
    assert isinstance(blobs, BlobStore)
    await add_video(
        server, tmp_path / "copy.wav", "frame0000002", mime_type="audio/wav",
        location=blobs.put(VIDEO),
    )  # fmt: skip
    (tmp_path / "copy.wav").unlink()
    response = await play(await link_of(server, "frame0000002"))
    assert (response.content, response.headers["content-type"]) == (VIDEO, "audio/wav")


async def test_a_link_is_for_one_asset_and_route(server: PictureServer, tmp_path: Path) -> None:
    await add_video(server, tmp_path / "other.webm", "frame0000002", mime_type="video/webm")
    url = await link_of(server)
    link = url.partition("?")[2]
    base = f"{server.base_url}/assets"
    forged = f"{link[:-4]}AAAA"
    for other in (
        f"{base}/frame0000002/media?{link}",
        f"{base}/{FRAME}/media?{forged}",
        f"{base}/{FRAME}/media?{link}&{link}",
        f"{base}/{FRAME}/media?link=",
        f"{base}/{FRAME}/media?link={'A' * 9_000}",
        f"{base}/{FRAME}/media",
    ):
        response = await play(other)
        assert response.status_code == 403, other
        assert "Get a new one" in response.json()["error"]
    for other in (f"{base}/{FRAME}?{link}", f"{base}/{FRAME}/media-link?{link}"):
        assert (await play(other)).status_code == 401, other
    response = await play(f"{url}&download=1")
    assert response.status_code == 400
    assert "Unknown parameter 'download'. Available: 'link'." in response.json()["error"]


async def test_a_link_is_for_one_caller(server: PictureServer) -> None:
    url = await link_of(server)
    response = await play(url, authorization=f"Bearer {server.tokens['walt']}")
    assert response.status_code == 403


def test_a_link_ends_and_needs_the_key() -> None:
    now = SimpleNamespace(time=1_000.0)
    links = MediaLinks(b"k" * 32, clock=lambda: now.time)
    link = links.create(FRAME, "ann", FileState(1, 2, 3, 4, 5))
    valid = links.read(FRAME, link)
    assert valid is not None
    assert valid.caller == "ann"
    assert MediaLinks(b"x" * 32, clock=lambda: now.time).read(FRAME, link) is None
    anonymous = links.read(FRAME, links.create(FRAME, None, FileState(1, 2, 3, 4, 5)))
    assert anonymous is not None
    assert anonymous.caller is None
    now.time += LINK_SECONDS + 1
    assert links.read(FRAME, link) is None


async def test_a_narrower_binding_ends_a_link(server: PictureServer) -> None:
    url = await link_of(server)
    async with server.database.write_connection() as connection:
        await collections.ensure(connection, "private")
        await row_security.bind(connection, "ann", ["private"])
        await row_security.bind(connection, "walt", ["video-mp4"])
    server.running.app.runtime.principal_cache.sees_everything.clear()  # type: ignore[union-attr]
    unknown = await play(url)
    assert unknown.status_code == 404
    missing = await server.http.get(f"{server.base_url}/assets/{FRAME}/media-link")
    assert missing.status_code == 404
    assert missing.json() == unknown.json()


async def test_a_link_needs_a_token_with_the_scope_read(server: PictureServer) -> None:
    address = f"{server.base_url}/assets/{FRAME}/media-link"
    assert (await play(address)).status_code == 401
    refused = await play(address, authorization=f"Bearer {server.tokens['walt']}")
    assert refused.status_code == 403


async def test_a_changed_file_is_neither_linked_nor_sent(
    server: PictureServer, tmp_path: Path
) -> None:
    url = await link_of(server)
    (tmp_path / "clip.mp4").write_bytes(b"secret" * 1000)
    response = await play(url)
    assert response.status_code == 500
    assert "has changed" in response.json()["error"]
    response = await server.http.get(f"{server.base_url}/assets/{FRAME}/media-link")
    assert response.status_code == 500
    assert "has changed since ingest" in response.json()["error"]
    (tmp_path / "clip.mp4").unlink()
    for address in (url, f"{server.base_url}/assets/{FRAME}/media-link"):
        response = await server.http.get(address)
        assert "no longer exists" in response.json()["error"]


async def test_a_link_as_file_is_not_followed(server: PictureServer, tmp_path: Path) -> None:
    url = await link_of(server)
    file = tmp_path / "clip.mp4"
    file.rename(tmp_path / "elsewhere.mp4")
    file.symlink_to(tmp_path / "elsewhere.mp4")
    response = await play(url)
    assert response.status_code == 500
    assert "is not a file" in response.json()["error"]


async def test_pictures_and_other_types_have_no_media(
    server: PictureServer, tmp_path: Path
) -> None:
    await add_video(server, tmp_path / "old.avi", "frame0000002", mime_type="video/x-msvideo")
    for asset, message in (
        (ASSET, "is no frame of a video and no sound"),
        ("frame0000002", "Browsers do not play 'video/x-msvideo'. Playable: 'audio/aac', "),
    ):
        response = await server.http.get(f"{server.base_url}/assets/{asset}/media-link")
        assert response.status_code == 400
        assert message in response.json()["error"]


async def test_media_count_as_calls_of_the_caller(
    tmp_path: Path, database: Database, database_dsn: str
) -> None:
    audit = tmp_path / "audit.jsonl"
    limits = {"rate_limit__max_calls_per_minute": 10, "log__audit_file": audit}
    async with open_picture_server(tmp_path, database, database_dsn, **limits) as server:
        await add_video(server, tmp_path / "clip.mp4")
        url = await link_of(server)
        statuses = [200]
        while statuses[-1] != 429:
            statuses.append((await play(url, range="bytes=0-9")).status_code)
    assert statuses[1] == 206
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [line["principal"] for line in lines] == ["ann"] * len(statuses)
    assert {tuple(line["assets"]) for line in lines} == {(FRAME,)}
    assert "link=" not in audit.read_text()


async def test_without_tokens_a_link_is_needed_too(
    tmp_path: Path, database: Database, database_dsn: str
) -> None:
    async with open_picture_server(
        tmp_path, database, database_dsn, auth__tokens_file=None
    ) as server:
        await add_video(server, tmp_path / "clip.mp4")
        address = f"{server.base_url}/assets/{FRAME}/media-link"
        url = str(httpx2.URL(address).join((await play(address)).json()["url"]))
        assert (await play(url, range="bytes=0-9")).content == VIDEO[:10]
        assert (await play(url.partition("?")[0])).status_code == 403
