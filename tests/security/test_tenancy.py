"""A principal learns and changes nothing about the material of another principal.

`CASES` has a call for every argument of every tool that can carry a name of another principal, and
`RESOURCES` one for every resource. The answer must equal that for a name that does not exist. A new
tool, argument or resource without a case fails a test.
"""

from __future__ import annotations

import base64
import json
import re
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from sightline.tools.registry import CHAT_APP_URI
from tests.security.two_principals import (
    ALICE,
    BOB,
    IMAGES,
    WORDS,
    House,
    album,
    call,
    call_json,
    connected,
    read,
    upload,
)
from tests.support.sample_images import jpeg

MODES = ("2026-07-28", "legacy")
BOX = {"box": [0, 0, 1, 1], "label": "box"}


@dataclass(frozen=True)
class Case:
    """A call. ``$asset``, ``$collection``, ... are names of another principal."""

    tool: str
    arguments: dict[str, Any]
    #: Compare the answers to the owner too. Not if they change something or are equal.
    control: bool = True


def case(tool: str, *, control: bool = True, **arguments: Any) -> Case:
    return Case(tool, arguments, control)


def sql_case(statement: str, **more: Any) -> Case:
    return case("query_sql", sql=statement, **more)


CASES = [
    case("list_collections"),
    case("list_collections", after="$collection", control=False),
    case("search_images", query="number", collection="$collection"),
    case("search_images", query="number", filters={"$key": {"gte": 0}}),
    case("search_images", query="number", filters={"collection": "$collection"}),
    case("search_images", query="number", filters={"or": [{"$key": 1}, {"kind": "image"}]}),
    case("search_images", query="number", limit=1, cursor="$image_cursor"),
    case("search_images", image="$asset"),
    case("search_images", image="sightline://asset/$asset"),
    case("search_images", image="$asset", region=[0, 0, 0.9, 0.9]),
    case("search_images", query="number", like=["$asset"]),
    case("search_images", query="number", like=["$own_asset", "$asset"]),
    case("search_images", query="number", unlike=["$asset"]),
    case("search_images", query="number", unlike=["$own_asset", "sightline://asset/$asset"]),
    case("search_text", query="number", collection="$collection"),
    case("search_text", query="number", filters={"$key": {"gte": 0}}),
    case("search_text", query="number", limit=1, cursor="$text_cursor"),
    case("answer_question", question="Which number?", collection="$collection"),
    case("answer_question", question="Which number?", about="number", collection="$collection"),
    case("answer_question", question="Which number?", filters={"$key": {"gte": 0}}),
    case("answer_question", question="Which number?", assets=["$asset"]),
    case("answer_question", question="Which number?", assets=["$own_asset", "$asset"]),
    case("view_image", asset="$asset"),
    case("view_image", asset="$asset", annotated=True, crop=[0, 0, 1, 1]),
    case("read_text", asset="$asset"),
    case("read_text", source="$collection/log.md"),
    case("read_text", source="log.md", collection="$collection"),
    case("annotate_image", asset="$asset", boxes=[BOX]),
    case("annotate_image", asset="$asset", phrases=["box"]),
    case("add_images", collection="$collection", uploads=["$upload"], control=False),
    case("add_images", collection="$collection", paths=["$path"], control=False),
    case("add_images", collection="$collection", urls=["https://a.example/b.jpg"], control=False),
    case("save_annotation", asset="$asset", boxes=[BOX], origin="person", control=False),
    case("save_annotation", asset="$asset", boxes=[], origin="person", delete=[1], control=False),
    case(
        "save_annotation",
        asset="$asset",
        boxes=[BOX],
        origin="person",
        replace=True,
        control=False,
    ),
    case("count", collection="$collection"),
    case("count", by="$key"),
    case("count", filters={"$key": {"gte": 0}}, of="passages"),
    case("find_duplicates", collection="$collection"),
    case("find_duplicates", filters={"$key": {"gte": 0}}),
    case("delete_assets", collection="$collection"),
    case("delete_assets", collection="$collection", sources=["$source"]),
    case("delete_assets", collection="$collection", confirm="$confirm", control=False),
    case("delete_assets", collection=ALICE, sources=["$source"], control=False),
    case("delete_assets", assets=["$asset"], control=False),
    case("delete_assets", assets=["$own_asset", "$asset"], control=False),
    case("delete_assets", assets=["$asset", "$own_asset"], control=False),
    *[
        sql_case(f"SELECT * FROM {view} AS v WHERE v::text LIKE '%${name}%'")
        for name, views in {
            "asset": ("assets", "passages", "annotations", "embeddings"),
            "collection": (
                "assets",
                "sources",
                "passages",
                "annotations",
                "embeddings",
                "embedding_spaces",
            ),
        }.items()
        for view in views
    ],
    sql_case(
        "SELECT principal, tool FROM searches WHERE '$collection' = ANY (collections) ORDER BY 1, 2"
    ),
    sql_case("SELECT caption FROM assets WHERE asset_id = '$asset'"),
    sql_case("SELECT 1 FROM assets WHERE collection = '$collection'", explain=True, control=False),
    sql_case("SELECT * FROM nearest('$asset', 3)"),
    sql_case("SELECT similarity('$own_asset', '$asset')"),
    sql_case("SELECT * FROM centroid('$collection')"),
    sql_case("SELECT * FROM outliers(3, NULL, '$collection')"),
    sql_case("SELECT * FROM duplicates(0.5, NULL, '$collection')"),
    sql_case("SELECT * FROM clusters(2, NULL, '$collection')", control=False),
    sql_case("SELECT * FROM overlapping_annotations(0, '$collection')", control=False),
]

#: Arguments that cannot name anything of another principal.
NEUTRAL = {
    "search_images": {"captured_after", "captured_before", "visual_weight", "diversity", "detail",
                      "contact_sheet"},
    "search_text": {"kinds", "detail"},
    "answer_question": {"annotate", "inline", "checks"},
    "view_image": {"max_edge", "inline"},
    "annotate_image": {"style", "inline"},
    "read_text": {"pages", "start", "max_tokens"},
    "count": {"limit"},
    "find_duplicates": {"limit", "offset"},
    "save_annotation": {"model", "score", "note"},
    "query_sql": {"limit"},
}  # fmt: skip

#: By template. An entry without ``$`` has no name of another principal.
RESOURCES = {
    "sightline://asset/{asset}": ["sightline://asset/$asset"],
    "sightline://asset/{asset}/thumbnail": ["sightline://asset/$asset/thumbnail"],
    "sightline://asset/{asset}/annotated/{annotation}": [
        "sightline://asset/$asset/annotated/$annotation",
        "sightline://asset/$own_asset/annotated/$annotation",
        "sightline://asset/$asset/annotated/$own_annotation",
    ],
    "sightline://asset/{asset}/crop/{x0,y0,x1,y1}": ["sightline://asset/$asset/crop/0,0,1,1"],
    "sightline://asset/{asset}/crop/{x0,y0,x1,y1}/drawn/{boxes}": [
        "sightline://asset/$asset/crop/0,0,1,1/drawn/$boxes"
    ],
    "sightline://asset/{asset}/drawn/{boxes}": ["sightline://asset/$asset/drawn/$boxes"],
    "sightline://atlas/{name}": ["sightline://atlas/$collection"],
    "sightline://collection/{name}": ["sightline://collection/$collection"],
    "sightline://analytics/{page}": ["sightline://analytics/schema"],
}


def substitute(value: Any, names: dict[str, str]) -> Any:
    """Replace the placeholders in every text of a JSON value."""
    if isinstance(value, str):
        return string.Template(value).safe_substitute(names)
    if isinstance(value, list):
        return [substitute(each, names) for each in value]
    if isinstance(value, dict):
        return {substitute(k, names): substitute(each, names) for k, each in value.items()}
    return value


@dataclass(frozen=True)
class Names:
    """The names of bob, as many that do not exist, and what alice owns."""

    theirs: dict[str, str]
    unknown: dict[str, str]
    own: dict[str, str]

    def real(self, value: Any) -> Any:
        return substitute(value, self.own | self.theirs)

    def fake(self, value: Any) -> Any:
        return substitute(value, self.own | self.unknown)

    def disguise(self, answer: str, template: object) -> str:
        """Replace each name of bob that the template contains by its unknown counterpart."""
        for key in string.Template(str(template)).get_identifiers():
            if key in self.theirs:
                name = re.escape(self.theirs[key])
                answer = re.sub(rf"(?<!\w){name}(?!\w)", self.unknown[key], answer)
        return answer


@pytest.fixture
async def names(house: House) -> Names:
    cursors = {}
    async with house.client("bob") as bob:
        for tool, kind in (("search_images", "image_cursor"), ("search_text", "text_cursor")):
            found = await call_json(bob, tool, query="number", limit=1)
            cursors[kind] = found["next_cursor"]
        await call_json(bob, "search_text", query="number", collection=BOB)
        viewed = await call_json(bob, "view_image", asset=house.assets[BOB][0])
        source = viewed["asset"]["source"]
        preview = await call_json(bob, "delete_assets", collection=BOB)
    async with house.client("alice") as alice:
        drawn = await call_json(alice, "annotate_image", asset=house.assets[ALICE][0], boxes=[BOX])
    annotation = house.annotations[BOB]
    theirs = {
        "asset": house.assets[BOB][0],
        "collection": BOB,
        "key": "fathoms",
        "source": source,
        "confirm": preview["confirm"],
        "annotation": annotation,
        **cursors,
    }
    unknown = {
        "asset": "0" * 12,
        "collection": "tugboats",  # like bob's after alice's by name
        "key": "furlong",
        "source": re.sub(r"\d{4}(?=\.jpg)", "9999", source),  # as similar to those of alice
        "confirm": "00000000",
        "annotation": "9" * len(annotation) if annotation.isdigit() else annotation[::-1],
        **{kind: cursor[::-1] for kind, cursor in cursors.items()},
    }
    own = {
        "own_asset": house.assets[ALICE][0],
        "own_annotation": house.annotations[ALICE],
        "path": str(house.folder / ALICE),
        "upload": "data:image/jpeg;base64," + base64.b64encode(jpeg(77)).decode(),
        "boxes": drawn["uri"].rpartition("/")[2],
    }
    return Names(theirs, unknown, own)


def contents(house: House) -> dict[str, str]:
    """Return a digest of all rows of every table, except the log of searches."""
    tables = house.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'sightline'::regnamespace "
        "AND relkind = 'r' AND relname <> 'retrieval_log'"
    )
    digest = (
        "SELECT coalesce(md5(string_agg(t::text, '' ORDER BY t::text)), '') FROM sightline.{} t"
    )
    return {
        name: house.rows(sql.SQL(digest).format(sql.Identifier(name)).as_string())[0][0]
        for (name,) in tables
    }


async def test_every_tool_argument_and_resource_has_a_case(house: House) -> None:
    async with house.client("boss") as boss:
        tools = {each.name: set(each.input_schema["properties"]) for each in
                 (await boss.list_tools()).tools}  # fmt: skip
        templates = (await boss.list_resource_templates()).resource_templates
        resources = (await boss.list_resources()).resources
    assert [each.uri for each in resources] == [CHAT_APP_URI]  # the same for everybody
    tried: dict[str, set[str]] = {name: set(NEUTRAL.get(name, ())) for name in tools}
    for each in CASES:
        tried[each.tool] |= set(each.arguments)
    assert {each.tool for each in CASES} == set(tools)
    assert {name: arguments - tried[name] for name, arguments in tools.items()} == {
        name: set() for name in tools
    }
    assert {each.uri_template for each in templates} == set(RESOURCES)


@pytest.mark.parametrize("mode", MODES)
async def test_foreign_names_give_the_answer_for_unknown_names(
    mode: str, house: House, names: Names
) -> None:
    different = []
    async with house.client("alice", mode) as alice:
        await call(alice, "query_sql", sql="SELECT 1")  # creates the role once
        before = contents(house)
        for each in CASES:
            real = await call(alice, each.tool, **names.real(each.arguments))
            fake = await call(alice, each.tool, **names.fake(each.arguments))
            if names.disguise(real, each.arguments) != fake:
                different.append((each, real, fake))
    assert not different, "\n".join(map(str, different))
    assert contents(house) == before


async def test_the_owner_gets_other_answers_for_these_names(house: House, names: Names) -> None:
    """Proves that the names are right: otherwise every answer is that for an unknown name."""
    equal = []
    async with house.client("bob") as bob:
        for each in CASES:
            arguments = json.loads(json.dumps(each.arguments).replace("$own_asset", "$asset"))
            if not each.control or "$" not in str(arguments):
                continue
            real = await call(bob, each.tool, **names.real(arguments))
            fake = await call(bob, each.tool, **names.fake(arguments))
            if names.disguise(real, arguments) == fake:
                equal.append((each, real))
    assert not equal, "\n".join(map(str, equal))


@pytest.mark.parametrize("mode", MODES)
async def test_foreign_resources_give_the_answer_for_unknown_resources(
    mode: str, house: House, names: Names
) -> None:
    different = []
    async with house.client("alice", mode) as alice:
        for uri in [uri for uris in RESOURCES.values() for uri in uris]:
            real = await read(alice, names.real(uri))
            fake = await read(alice, names.fake(uri))
            if names.disguise(real, uri) != fake:
                different.append((uri, real, fake))
    assert not different, "\n".join(map(str, different))


async def test_no_answer_contains_material_of_another(house: House) -> None:
    async with house.client("bob") as bob:  # writes entries of the retrieval log
        await call(bob, "search_images", query="torpedo in many fathoms")
        await call(bob, "search_text", query="Umbrapho", collection=BOB)
    every = {"limit": 50, "detail": "detailed"}
    own = house.assets[ALICE][0]
    async with house.client("alice") as alice:
        collections = await call(alice, "list_collections")
        answers = [
            collections,
            await call(alice, "search_images", query="a b c", **every),
            await call(alice, "search_images", image=own, **every),
            await call(alice, "search_text", query="number spring", **every),
            await call(alice, "search_images", query="x", collection="nowhere"),
            await call(alice, "search_images", query="x", filters={"nokey": 1}),
            await call(alice, "answer_question", question="Which number?"),
            await call(alice, "view_image", asset=own, annotated=True),
            await call(alice, "read_text", source="log.md"),
            await call(alice, "read_text", source="nothing"),
            await call(alice, "query_sql", sql="SELECT nothing FROM assets"),
            await read(alice, "sightline://collection/nowhere"),
            await read(alice, f"sightline://collection/{ALICE}"),
            await read(alice, "sightline://analytics/schema"),
        ]
    for answer in answers:
        for secret in (*WORDS["bob"], *house.assets[BOB]):
            assert secret not in answer
    assert [each["name"] for each in json.loads(collections)["collections"]] == [ALICE]
    for word in WORDS["alice"]:
        assert word in "".join(answers)


@pytest.mark.parametrize("who", ["nil", "a subject of the authorization server"])
async def test_an_unbound_principal_sees_nothing(who: str, house: House, names: Names) -> None:
    token = house.tokens.get(who) or house.jwt_key.token(
        headers={"typ": "at+jwt"}, sub="zoe", scope="read write analytics"
    )
    async with connected(house.url, token) as client:
        assert json.loads(await call(client, "list_collections")) == {"collections": []}
        assert "may not see any collection" in await call(client, "query_sql", sql="SELECT 1")
        for tool in ("search_images", "search_text"):
            assert json.loads(await call(client, tool, query="number"))["hits"] == []
        for asset in (house.assets[ALICE][0], house.assets[BOB][0]):
            assert (await call(client, "view_image", asset=asset)).startswith("Unknown asset")
        answers = [await call(client, each.tool, **names.real(each.arguments)) for each in CASES]
    for answer in answers:
        assert "periscope" not in answer
        assert "lantern" not in answer


async def test_a_cursor_is_valid_only_for_its_principal(house: House) -> None:
    search = {"query": "number", "limit": 1}
    async with house.client("boss") as boss:
        given = (await call_json(boss, "search_text", **search))["next_cursor"]
        assert (await call_json(boss, "search_text", **search, cursor=given))["hits"]
    async with house.client("alice") as alice:
        for cursor in (given, given[:-1] + ("A" if given[-1] != "A" else "B")):
            refused = await call(alice, "search_text", **search, cursor=cursor)
            assert "was not made for this query" in refused


async def shared_album(house: House, name: str) -> list[str]:
    """Add the same bytes as bob owns to a collection of carol; return the asset ids."""
    uploads = [upload(f"{number}.jpg", jpeg(number)) for number in range(20, 20 + IMAGES)]
    async with house.client("boss") as boss:
        added = await call_json(boss, "add_images", collection=name, uploads=uploads)
        assert added["added"] == IMAGES
        found = await call_json(boss, "search_images", image=house.assets[BOB][0], collection=name)
    house.bind("carol", [name])
    return [hit["asset"] for hit in found["hits"]]


async def test_deleting_a_copy_of_shared_bytes_leaves_the_other(house: House) -> None:
    first = await shared_album(house, "copies")
    second = await shared_album(house, "more-copies")
    async with house.client("carol") as carol:
        deleted = await call_json(carol, "delete_assets", assets=second)
        assert deleted["assets"] == len(second)
    async with house.client("boss") as boss:
        for asset in (*first, *house.assets[BOB]):
            assert not (await boss.call_tool("view_image", {"asset": asset})).is_error


async def test_uploading_bytes_of_another_is_reported_as_new(house: House) -> None:
    mine = await shared_album(house, "uploads")
    async with house.client("carol") as carol:
        await call_json(carol, "delete_assets", assets=mine)
        reports = []
        for number in (20, 9_000):  # bytes that bob has, and bytes that nobody has
            uploads = [upload("x.jpg", jpeg(number))]
            added = await call_json(carol, "add_images", collection="uploads", uploads=uploads)
            for file in added["files"]:  # an id depends on the bytes and on a secret key
                assert len(file.pop("assets")) == 1
            reports.append({**added, "seconds": 0})
    assert reports[0] == reports[1]
    assert (reports[0]["added"], reports[0]["duplicates"], reports[0]["unchanged"]) == (1, 0, 0)


async def test_a_bound_principal_creates_no_collection(house: House, tmp_path: Path) -> None:
    uploads = [upload("x.jpg", jpeg(1))]
    async with house.client("alice") as alice:
        for name in ("brand-new", BOB, ALICE.upper(), f"{ALICE} "):
            refused = await alice.call_tool("add_images", {"collection": name, "uploads": uploads})
            assert refused.is_error, name
    assert house.rows("SELECT 1 FROM sightline.collection WHERE name IN ('brand-new')") == []


async def test_a_bound_principal_works_in_its_own_collection(house: House) -> None:
    async with house.client("boss") as boss:
        await call_json(boss, "add_images", collection="garden", paths=[str(house.folder / ALICE)])
    house.bind("carol", ["garden"])
    more = album(house.folder, "more", "a lantern in the fog", "metres", start=60)
    async with house.client("carol") as carol:
        added = await call_json(carol, "add_images", collection="garden", paths=[str(more)])
        assert (added["added"], added["failed"]) == (IMAGES, 0)
        found = await call_json(carol, "search_images", query="number")
        asset = found["hits"][0]["asset"]
        await call_json(carol, "save_annotation", asset=asset, boxes=[BOX], origin="person")
        assert "box" in await call(carol, "view_image", asset=asset, annotated=True)
        assert (await call_json(carol, "delete_assets", assets=[asset]))["assets"] == 1
        counted = await call_json(carol, "query_sql", sql="SELECT count(*) FROM assets")
        assert counted["rows"] == [[2 * IMAGES - 1]]
    async with house.client("bob") as bob:
        listed = (await call_json(bob, "list_collections"))["collections"]
        assert [(each["name"], each["assets"]) for each in listed] == [(BOB, IMAGES)]


async def test_a_narrower_binding_is_effective_at_once(house: House) -> None:
    house.bind("carol", [BOB])
    async with house.client("carol") as carol:
        assert "periscope" in await call(carol, "search_text", query="periscope")
        house.bind("carol", [])
        assert "periscope" not in await call(carol, "search_text", query="lantern")
        assert json.loads(await call(carol, "list_collections")) == {"collections": []}
