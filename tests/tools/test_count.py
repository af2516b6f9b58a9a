"""count says how many images and texts match, and by the values of a key."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.sample_images import jpeg
from tests.tools.album import PICTURES, SHOP
from tests.tools.toolbox import ToolEnvironment, data_url

_WORDS = "ab " * 100


async def test_without_a_key_the_total_is_counted(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        everything = await tools.call("count", collection="album")
        garlic = await tools.call("count", filters={"product": "Garlic"})
        captions = await tools.call("count", of="passages", filters={"kind": "caption"})
    assert everything == {"total": PICTURES}
    assert garlic == {"total": 1}
    assert captions["total"] >= len(SHOP)


async def test_by_a_key_every_value_is_counted(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        counted = await tools.call("count", collection="album", by="product")
        first = await tools.call("count", collection="album", by="product", limit=1)
        kinds = await tools.call("count", by="kind")
    assert {each["value"]: each["count"] for each in counted["values"]} == {
        product.name: 1 for product in SHOP
    }
    assert counted["without_value"] == PICTURES - len(SHOP)
    assert len(first["values"]) == 1
    assert first["other_values"] == len(SHOP) - 1
    assert kinds["values"] == [{"value": "image", "count": PICTURES}]


async def test_a_value_of_a_count_is_cut_and_says_so(empty_environment: ToolEnvironment) -> None:
    uploads = [
        {
            "name": f"{number}.jpg",
            "data": data_url(jpeg(number), "image/jpeg"),
            "metadata": {"note": note},
        }
        for number, note in enumerate([_WORDS, [{"deep": _WORDS}]])
    ]
    async with empty_environment.serve() as tools:
        await tools.call("add_images", collection="lots", uploads=uploads)
        counted = await tools.call("count", by="note")
    assert sorted(each["value"] for each in counted["values"]) == sorted(
        [
            f"{_WORDS[:200]}… (100 more characters)",
            f'{{"deep": "{_WORDS[:190]}… (112 more characters)',
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"by": "produkt"}, ["'produkt'", "'product'"]),
        ({"collection": "albun"}, ["'albun'", "'album'"]),
        ({"filters": {"price": {"around": 5}}}, ["'around'", "'lte'"]),
        ({"by": "product", "limit": 0}, ["limit is 0", "1 to 200"]),
        ({"of": "videos"}, ["of", "'images' or 'passages'", "'videos'"]),
    ],
)
async def test_an_invalid_count_is_refused(
    environment: ToolEnvironment, arguments: dict[str, Any], words: list[str]
) -> None:
    async with environment.serve() as tools:
        text = await tools.call_error("count", **arguments)
    for word in words:
        assert word in text
