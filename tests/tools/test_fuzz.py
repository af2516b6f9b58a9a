"""Hostile values in every argument are answered or rejected by name."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest
from mcp import MCPError
from mcp.types import Tool
from psycopg.conninfo import make_conninfo

from tests.fuzz.inputs import NUMBERS, OTHERS, TEXTS, few_and_many, seeds
from tests.tools.toolbox import ToolClient, ToolEnvironment, data_url, text_of

SECRET = "hunter2-of-the-database"
_SECONDS = 60.0

#: A call of each tool that works, for one argument at a time to be replaced.
CALLS: dict[str, dict[str, Any]] = {
    "list_collections": {},
    "search_images": {
        "query": "garlic", "image": "{asset}", "like": ["{asset}"], "unlike": [],
        "collection": "album", "filters": {"product": "Garlic"}, "visual_weight": 0.5,
        "captured_after": "2020-01-01", "captured_before": "2030-01-01", "region": [0, 0, 1, 1],
        "limit": 3, "cursor": None, "detail": "concise", "contact_sheet": False,
    },
    "search_text": {
        "query": "garlic", "collection": "album", "kinds": ["caption"],
        "filters": {"price": {"lte": 5}}, "limit": 3, "cursor": None, "detail": "concise",
    },
    "answer_question": {"question": "What is it?", "collection": "album", "assets": ["{asset}"]},
    "view_image": {"asset": "{asset}", "crop": [0, 0, 1, 1], "max_edge": 64, "annotated": False},
    "read_text": {
        "asset": "{asset}", "source": "garlic.png", "collection": "album", "pages": "1-3",
        "start": 0, "max_tokens": 100,
    },
    "annotate_image": {
        "asset": "{asset}", "boxes": [{"label": "a", "box": [0, 0, 1, 1]}], "style": "box",
    },
    "add_images": {
        "collection": "fuzz", "paths": [], "urls": [],
        "uploads": [{"name": "a.png", "data": "{picture}", "caption": "c", "metadata": {"n": 1}}],
    },
    "save_annotation": {
        "asset": "{asset}", "boxes": [{"label": "a", "box": [0, 0, 1, 1]}], "origin": "model",
        "model": "m", "score": 0.5, "note": "n",
    },
    "count": {
        "collection": "album", "filters": {"product": "Garlic"}, "by": "product", "of": "images",
        "limit": 5,
    },
    "find_duplicates": {
        "collection": "album", "filters": {"product": "Garlic"}, "limit": 5, "offset": 0,
    },
    "delete_assets": {"assets": ["zzzzzzzzzzzz"]},
}  # fmt: skip


def broken(call: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The call with one value somewhere in it replaced, or one added."""
    call = json.loads(json.dumps(call))
    places = list(_places(call))
    bad = chance.choice(
        (
            lambda: chance.choice(TEXTS),
            lambda: chance.choice(NUMBERS),
            lambda: chance.choice(OTHERS),
            lambda: [chance.choice(TEXTS)] * chance.choice((1, 3, 200)),
            lambda: {chance.choice(TEXTS): chance.choice((*TEXTS, *NUMBERS))},
            lambda: {"or": [{"price": chance.choice(NUMBERS)}, {chance.choice(TEXTS): 1}]},
            lambda: data_url(chance.randbytes(chance.randrange(200))),
        )
    )()
    if not places or chance.random() < 0.1:
        call[str(chance.choice(TEXTS))[:50]] = bad
        return call
    holder, key = chance.choice(places)
    holder[key] = bad
    return call


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


async def call(tools: ToolClient, tool: str, arguments: dict[str, Any]) -> str:
    """Return the outcome; fail on a hang, a traceback or an unnamed error."""
    try:
        async with asyncio.timeout(_SECONDS):
            result = await tools.client.call_tool(tool, arguments)
    except (MCPError, UnicodeEncodeError) as error:  # the latter of the client, which sends UTF-8
        outcome, text = "protocol", str(error)
    else:
        outcome, text = ("refused", text_of(result)) if result.is_error else ("ok", "")
    for word in ("Traceback", "internal error", "psycopg", 'File "', SECRET):
        assert word not in text, (tool, word, repr(arguments)[:500], text[:500])
    assert len(text) < 4_000, (tool, repr(arguments)[:200], text[:500])
    return outcome


@few_and_many(60)
async def test_hostile_arguments_are_answered_or_refused_by_name(
    environment_copy: ToolEnvironment, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    chance = random.Random(5)
    environment = environment_copy.replace(dsn=make_conninfo(environment_copy.dsn, password=SECRET))
    outcomes = dict.fromkeys(("ok", "refused", "protocol"), 0)
    async with environment.serve() as tools:
        assert set(CALLS) == set(tools.tools)
        asset = sorted((await tools.ids()).values())[0]
        whole = json.dumps(CALLS).replace("{asset}", asset)
        whole = whole.replace("{picture}", data_url(seeds()["b.png"]))
        calls = json.loads(whole)
        names = sorted(calls)
        for number in range(count):
            tool = names[number % len(names)]
            if tool == "delete_assets" or (tool == "add_images" and number % 4):
                tool = "search_images"  # ingest takes a hundred times as long, and has its own
            outcomes[await call(tools, tool, broken(calls[tool], chance))] += 1
        assert "search_images" in tools.tools
        assert (await tools.call("search_images", query="garlic"))["hits"]
    assert outcomes["ok"] > 0, outcomes
    assert outcomes["refused"] > count // 2, outcomes
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "step", [pytest.param(12, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)]
)
async def test_every_text_in_every_argument_that_takes_one(
    environment_copy: ToolEnvironment, step: int
) -> None:
    async with environment_copy.serve() as tools:
        asset = sorted((await tools.ids()).values())[0]
        for tool, name in _texts(tools.tools):
            if tool == "add_images":
                continue
            base = {k: v for k, v in CALLS[tool].items() if k in ("query", "question", "asset")}
            base = json.loads(json.dumps(base).replace("{asset}", asset))
            for text in TEXTS[::step]:
                await call(tools, tool, {**base, name: text})


def _texts(tools: dict[str, Tool]) -> Iterator[tuple[str, str]]:
    for tool in tools.values():
        for name, schema in tool.input_schema.get("properties", {}).items():
            if '"string"' in json.dumps(schema):
                yield tool.name, name


async def test_ten_megabytes_in_an_argument_are_refused_and_not_repeated(
    environment: ToolEnvironment,
) -> None:
    text = "x" * 10_000_000
    async with environment.serve() as tools:
        for tool, name in _texts(tools.tools):
            assert await call(tools, tool, {name: text}) in ("refused", "protocol")
