"""A principal learns nothing about the collections of another principal."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import TextContent

from sightline.server.auth import static_tokens as tokens
from sightline.server.auth.scopes import SCOPES
from sightline.server.config import load_settings
from sightline.server.http.http_server import start_http_server
from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.postgres import EmbeddedPostgres
from tests.support.sample_images import fill

pytestmark = pytest.mark.asyncio(loop_scope="module")

OWN, OTHER = "lighthouse", "submarine"
#: Placeholders for foreign names.
FAKES = {"collection": "nothing-here", "asset": "000000000000", "key": "nokey"}
#: Text that a principal of the first collection must never see, except as an echo.
SECRETS = (OTHER, "periscope", "fathoms", "torpedo")


@dataclass(frozen=True)
class House:
    """A server with two collections and the tokens of their principals."""

    url: str
    tokens: dict[str, str]
    assets: dict[str, list[str]]
    folder: Path
    database: Database

    def client(self, who: str, mode: str = "auto") -> AbstractAsyncContextManager[Client]:
        return connected(self.url, self.tokens[who], mode)


@asynccontextmanager
async def connected(url: str, token: str, mode: str = "auto") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=120) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


def album(folder: Path, name: str, words: str, key: str, start: int = 0) -> None:
    """Write three images whose captions and metadata name their owner."""
    rows = [
        {"file_name": path.name, "text": f"{words} number {number}", key: number}
        for number, path in enumerate(fill(folder / name, 3, start))
    ]
    table = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / name / "metadata.jsonl").write_text(table)


async def call(client: Client, tool: str, **arguments: Any) -> str:
    """Return all text of a result or error, without times."""
    result = await client.call_tool(tool, arguments)
    structured = dict(result.structured_content or {})
    structured.pop("timings_ms", None)
    if structured:
        return json.dumps(structured)
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


async def read(client: Client, uri: str) -> str:
    try:
        return str(await client.read_resource(uri))
    except MCPError as error:
        return str(error)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    postgres_server: EmbeddedPostgres,
    random_encoder_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("house").resolve()
    album(folder, OWN, "a lantern above the bay", "metres")
    album(folder, OTHER, "a periscope beside a torpedo", "fathoms")
    issued = {name: tokens.issue_token(name, SCOPES) for name in ("boss", "ann", "ben", "nil")}
    tokens_file = folder / "tokens"
    tokens_file.write_text("\n".join(str(kept) for _, kept in issued.values()))
    tokens_file.chmod(0o600)
    settings = load_settings(
        data_dir=postgres_server._control.parent,
        encoder__model=f"local-dir:{random_encoder_folder}",
        encoder__threads=1,
        allowed_roots=(folder,),
        ingest__workers=1,
        startup_timeout_seconds=200,
        analytics__enabled=True,
        auth__tokens_file=tokens_file,
        http__port=0,
    )
    async with start_http_server(settings) as (url, listens):
        secrets = {name: secret for name, (secret, _) in issued.items()}
        assets = {}
        async with connected(url, secrets["boss"]) as boss:  # no binding exists yet
            for name in (OWN, OTHER):
                await call(boss, "add_images", collection=name, paths=[str(folder / name)])
                found = json.loads(
                    await call(boss, "search_images", query="number", collection=name)
                )
                assets[name] = [hit["asset"] for hit in found["hits"]]
                assert len(assets[name]) == 3
                box = {"box": [0, 0, 1, 1], "label": "torpedo" if name == OTHER else "lamp"}
                await call(
                    *(boss, "save_annotation"), asset=assets[name][0], boxes=[box], origin="person"
                )
        assert listens.app.runtime is not None
        database = await listens.app.runtime.database.get()
        async with database.connection() as connection:
            await row_security.bind(connection, "ann", [OWN])
            await row_security.bind(connection, "ben", [OTHER])
            await row_security.bind_to_all_collections(connection, "boss")
        listens.app.runtime.principal_cache.sees_everything.clear()
        yield House(url, secrets, assets, folder, database)


def pairs(house: House) -> list[tuple[str, dict[str, Any], dict[str, str]]]:
    """Return calls with a foreign name, and the same calls with an unknown name."""
    asset, collection = house.assets[OTHER][0], OTHER
    named = {asset: FAKES["asset"]}
    where = {collection: FAKES["collection"]}
    return [
        ("search_images", {"query": "bay", "collection": collection}, where),
        ("search_text", {"query": "bay", "collection": collection}, where),
        ("answer_question", {"question": "what?", "collection": collection}, where),
        ("add_images", {"collection": collection, "paths": [str(house.folder / OWN)]}, where),
        ("search_images", {"image": asset}, named),
        ("search_images", {"query": "bay", "like": [asset]}, named),
        ("search_images", {"query": "bay", "unlike": [asset]}, named),
        ("answer_question", {"question": "what?", "assets": [asset]}, named),
        ("view_image", {"asset": asset}, named),
        ("annotate_image", {"asset": asset, "boxes": [{"box": [0, 0, 1, 1]}]}, named),
        (
            "save_annotation",
            {"asset": asset, "boxes": [{"box": [0, 0, 1, 1]}], "origin": "person"},
            named,
        ),
        ("delete_assets", {"assets": [asset]}, named),
        ("delete_assets", {"assets": [house.assets[OWN][0], asset]}, named),
        ("search_images", {"query": "x", "filters": {"fathoms": 1}}, {"fathoms": FAKES["key"]}),
        ("query_sql", {"sql": f"SELECT caption FROM assets WHERE asset = '{asset}'"}, named),
    ]


def substituted(value: Any, names: dict[str, str]) -> Any:
    text = json.dumps(value)
    for name, other in names.items():
        text = text.replace(name, other)
    return json.loads(text)


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_foreign_names_give_the_same_answer_as_unknown_names(mode: str, house: House) -> None:
    async with house.client("ann", mode) as ann:
        for tool, arguments, names in pairs(house):
            real = await call(ann, tool, **arguments)
            fake = await call(ann, tool, **substituted(arguments, names))
            for name, other in names.items():
                real = real.replace(name, other)
            assert real == fake, (tool, arguments)


async def test_foreign_resources_give_the_same_answer_as_unknown_resources(house: House) -> None:
    asset = house.assets[OTHER][0]
    async with house.client("ann") as ann:
        for form in ("asset/{}", "asset/{}/thumbnail", "asset/{}/annotated/1"):
            real = await read(ann, f"sightline://{form.format(asset)}")
            fake = await read(ann, f"sightline://{form.format(FAKES['asset'])}")
            assert real.replace(asset, FAKES["asset"]) == fake
        real = await read(ann, f"sightline://collection/{OTHER}")
        fake = await read(ann, f"sightline://collection/{FAKES['collection']}")
        assert real.replace(OTHER, FAKES["collection"]) == fake


async def test_no_result_contains_foreign_data(house: House) -> None:
    # Write log entries for both collections.
    async with house.client("ben") as ben:
        await call(ben, "search_images", query="torpedo in many fathoms")
    async with house.client("boss") as boss:
        await call(boss, "search_text", query="torpedo", collection=OWN)
    async with house.client("ann") as ann:
        answers = [
            await call(ann, "list_collections"),
            await call(ann, "search_images", query="a b c", limit=50, detail="detailed"),
            await call(ann, "search_text", query="number", limit=50, detail="detailed"),
            await call(ann, "search_images", query="x", collection="nowhere"),
            await call(ann, "search_images", query="x", filters={"nokey": 1}),
            await call(ann, "answer_question", question="which number?"),
            await call(ann, "view_image", asset=house.assets[OWN][0], annotated=True),
            await read(ann, "sightline://collection/nowhere"),
            await read(ann, f"sightline://collection/{OWN}"),
            await read(ann, "sightline://analytics/schema"),
            *[
                await call(ann, "query_sql", sql=f"SELECT * FROM {view}", limit=1000)
                for view in (
                    "assets",
                    "sources",
                    "passages",
                    "annotations",
                    "embeddings",
                    "spaces",
                    "searches",
                )
            ],
        ]
    for answer in answers:
        for secret in (*SECRETS, *house.assets[OTHER]):
            assert secret not in answer
    assert json.loads(answers[0])["collections"][0]["assets"] == 3
    assert "lantern" in "".join(answers)


async def test_sql_counts_only_visible_rows(house: House) -> None:
    counts = {}
    for who in ("boss", "ann", "ben"):
        async with house.client(who) as client:
            answer = await call(client, "query_sql", sql="SELECT count(*) FROM assets")
            counts[who] = json.loads(answer)["rows"]
    assert counts == {"boss": [[6]], "ann": [[3]], "ben": [[3]]}


async def test_a_cursor_is_valid_only_for_its_principal(house: House) -> None:
    search = {"query": "number", "limit": 1}
    async with house.client("boss") as boss:
        given = json.loads(await call(boss, "search_text", **search))["next_cursor"]
        assert json.loads(await call(boss, "search_text", **search, cursor=given))["hits"]
    async with house.client("ann") as ann:
        for cursor in (given, given[:-1] + ("A" if given[-1] != "A" else "B")):
            refused = await call(ann, "search_text", **search, cursor=cursor)
            assert "was not made for this query" in refused


async def test_an_unbound_principal_sees_nothing_after_the_first_binding(house: House) -> None:
    async with house.client("nil") as nil:
        assert json.loads(await call(nil, "list_collections")) == {"collections": []}
        assert "may not see any collection" in await call(nil, "query_sql", sql="SELECT 1")
        for name in (OWN, OTHER):
            assert name not in (await call(nil, "search_images", query="x", collection="nowhere"))
            view = await call(nil, "view_image", asset=house.assets[name][0])
            assert view.startswith("Unknown asset")


async def test_a_bound_principal_works_in_its_own_collection(house: House) -> None:
    album(house.folder, "more", "a lantern in the fog", "metres", start=10)
    async with house.client("ann") as ann:
        added = json.loads(
            await call(ann, "add_images", collection=OWN, paths=[str(house.folder / "more")])
        )
        assert (added["added"], added["failed"]) == (3, 0)
        asset = house.assets[OWN][2]
        box = {"box": [0, 0, 0.5, 0.5], "label": "lamp"}
        saved = await call(ann, "save_annotation", asset=asset, boxes=[box], origin="person")
        assert "annotation" in saved
        assert "lamp" in await call(ann, "view_image", asset=asset, annotated=True)
        assert json.loads(await call(ann, "delete_assets", assets=[asset]))["deleted"] == [asset]
    async with house.client("ben") as ben:
        listed = json.loads(await call(ben, "list_collections"))["collections"]
        assert [(each["name"], each["assets"]) for each in listed] == [(OTHER, 3)]


async def test_a_narrower_binding_is_effective_at_once(house: House) -> None:
    async with house.client("ben") as ben:
        assert "periscope" in await call(ben, "search_text", query="periscope")
        async with house.database.connection() as connection:
            await row_security.bind(connection, "ben", [])
        assert "periscope" not in await call(ben, "search_text", query="lantern")
        assert json.loads(await call(ben, "list_collections")) == {"collections": []}
        async with house.database.connection() as connection:
            await row_security.bind(connection, "ben", [OTHER])


async def test_metrics_are_visible_only_to_principals_that_see_everything(house: House) -> None:
    address = house.url.removesuffix("/mcp") + "/metrics"
    async with httpx2.AsyncClient() as http:
        for who, status in (("boss", 200), ("ann", 403), ("nil", 403)):
            headers = {"Authorization": f"Bearer {house.tokens[who]}"}
            assert (await http.get(address, headers=headers)).status_code == status
