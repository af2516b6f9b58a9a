"""The client: its life, its tools, and what an import costs."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from PIL import Image

import sightline.client
from sightline.client import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    Sightline,
    ToolCallError,
)
from sightline.server.config import Settings, variable
from sightline.storage.errors import ConfigurationError, InvalidArgumentError, SightlineError
from tests.client.conftest import ALBUM, CAPTIONS
from tests.support import random_cross_encoder
from tests.support.sample_images import jpeg
from tests.support.settings import make_settings


def test_importing_the_client_imports_no_framework_and_no_model() -> None:
    program = (
        "import sys, sightline.client as client;"
        "client.Sightline();"
        "heavy = {'llama_index', 'langchain_core', 'mcp', 'torch', 'psycopg', 'numpy', 'PIL'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_every_public_name_can_be_imported() -> None:
    for name in sightline.client.__all__:
        assert getattr(sightline.client, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Lightsight'"):
        _ = sightline.client.Lightsight


def test_hits_have_plain_values(sightline: Sightline) -> None:
    page = sightline.search_images("red bus harbour", collection=ALBUM, limit=2)
    hit = page[0]
    assert (hit.text, hit.caption, hit.collection) == (CAPTIONS[0], CAPTIONS[0], ALBUM)
    assert hit.metadata["line"] == 1
    assert hit.asset == hit.id
    assert len(page) == 2
    more = sightline.search_images(
        "red bus harbour", collection=ALBUM, limit=2, cursor=page.next_cursor
    )
    assert not {each.id for each in more} & {each.id for each in page}
    (passage,) = sightline.search_text('"the filter of the pump"')
    assert (passage.page, passage.passage) == (1, passage.id)


def test_images_are_listed_without_a_query(sightline: Sightline) -> None:
    first = MetadataFilter(key="line", value=2, operator=FilterOperator.LTE)
    for filters in ({"line": {"lte": 2}}, MetadataFilters(filters=[first])):
        page = sightline.search_images(collection=ALBUM, filters=filters)
        assert page.total == 2
        assert {hit.caption for hit in page} == set(CAPTIONS[:2])


def test_an_image_may_be_given_as_bytes_or_path(sightline: Sightline, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(0))
    for image in (jpeg(0), tmp_path / "a.jpg"):
        assert sightline.search_images(image=image)[0].caption == CAPTIONS[0]
    assert sightline.search_images(like=[jpeg(0)])[0].caption == CAPTIONS[0]


def test_an_image_can_be_looked_at(sightline: Sightline) -> None:
    (hit,) = sightline.search_images("red bus", limit=1)
    with Image.open(io.BytesIO(sightline.view_image(hit.id))) as image:
        assert (image.format, image.size) == ("JPEG", (48, 32))


def test_other_tools_return_their_json(sightline: Sightline) -> None:
    assert ALBUM in {each["name"] for each in sightline.list_collections()}
    answer = sightline.answer_question("Where is the bus?").data
    assert answer["status"] == "no_model"  # none is configured
    (passage,) = sightline.search_text('"the filter of the pump"')
    assert "every spring" in str(sightline.read_text(asset=passage.asset))


async def test_every_method_works_in_async_code(sightline: Sightline) -> None:
    (hit,) = await sightline.asearch_images("red bus", limit=1)
    (passage,) = await sightline.asearch_text('"the filter of the pump"')
    assert await sightline.aview_image(hit.id) == sightline.view_image(hit.id)
    assert (await sightline.aread_text(asset=passage.asset)) == sightline.read_text(
        asset=passage.asset
    )
    assert (await sightline.aanswer_question("Where?")).data["status"] == "no_model"
    assert await sightline.alist_collections() == sightline.list_collections()
    viewed = await sightline.acall("view_image", asset=hit.id)
    assert len(viewed.images) == 1


async def test_calls_run_at_the_same_time(sightline: Sightline) -> None:
    pages = await asyncio.gather(*(sightline.asearch_images(each) for each in CAPTIONS))
    assert [page[0].caption for page in pages] == list(CAPTIONS)


def test_errors_of_tools_are_raised_with_their_text(sightline: Sightline) -> None:
    with pytest.raises(ToolCallError, match="Unknown asset '000000000000'"):
        sightline.view_image("000000000000")
    with pytest.raises(ToolCallError, match=r"no_such_tool"):
        sightline.call("no_such_tool")
    with pytest.raises(ToolCallError, match="colour"):
        sightline.search_images("bus", colour="red")


def test_a_token_without_the_scope_is_an_error(remote: Sightline) -> None:
    (hit,) = remote.search_images("red bus", limit=1)
    with pytest.raises(ToolCallError, match="write"):
        remote.call("delete_assets", assets=[hit.id])


async def test_the_client_opens_and_closes_in_async_code(installation: Settings) -> None:
    async with Sightline(settings=installation) as sightline:
        assert await sightline.alist_collections()
    with pytest.raises(RuntimeError, match="not open"):
        await sightline.alist_collections()
    await sightline.aclose()


def test_a_process_ends_with_an_open_client(installation: Settings) -> None:
    assert installation.database.url is not None
    program = (
        "from sightline.client import Sightline;"
        "client = Sightline().open();"
        "print(len(client.list_collections()))"  # models may still load
    )
    variables = {
        variable("data_dir"): str(installation.data_dir),
        variable("database.url"): installation.database.url.get_secret_value(),
        variable("encoder.model"): installation.encoder.model,
    }
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=dict(os.environ) | variables,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ended.stdout, ended.stderr) == ("2\n", "")


def test_a_model_that_cannot_be_loaded_is_named(installation: Settings, tmp_path: Path) -> None:
    settings = installation.replace(encoder__model=f"local-dir:{tmp_path / 'nowhere'}")
    with (
        Sightline(settings=settings) as sightline,
        pytest.raises(SightlineError, match=r"encoder folder .*nowhere.* does not exist"),
    ):
        sightline.image_retriever().retrieve("bus")


def test_a_client_can_be_opened_again(tmp_path: Path) -> None:
    sightline = Sightline(settings=make_settings(tmp_path))
    for _ in range(2):
        with sightline, pytest.raises(ToolCallError, match="database cannot be reached"):
            sightline.list_collections()


def test_a_retriever_of_a_closed_client_is_an_error(installation: Settings) -> None:
    with Sightline(settings=installation) as sightline:
        retriever = sightline.image_retriever()
    with pytest.raises(RuntimeError, match="Open the resource again"):
        retriever.retrieve("bus")


def test_arguments_that_exclude_each_other_are_an_error(installation: Settings) -> None:
    with pytest.raises(InvalidArgumentError, match="Give its address too"):
        Sightline(token="secret")
    with pytest.raises(InvalidArgumentError, match="Give only its address"):
        Sightline("https://host/mcp", settings=installation)


def test_a_reranker_is_loaded_by_name(sightline: Sightline, tmp_path: Path) -> None:
    folder = random_cross_encoder.write(tmp_path / "random-cross-encoder")
    nodes = sightline.image_retriever(collection=ALBUM).retrieve("a bus in the rain")
    reranker = sightline.reranker(f"local-dir:{folder}", top_n=2, timeout_seconds=60)
    ordered = reranker.postprocess_nodes(nodes, query_str="a bus in the rain")
    assert len(ordered) == 2
    by_async = asyncio.run(reranker.apostprocess_nodes(nodes, query_str="a bus in the rain"))
    assert [each.node.node_id for each in by_async] == [each.node.node_id for each in ordered]


def test_a_missing_reranker_is_an_error(local: Sightline, remote: Sightline) -> None:
    with pytest.raises(ConfigurationError, match="No reranker is configured"):
        local.reranker()
    with pytest.raises(ConfigurationError, match="name a model"):
        remote.reranker()
    with pytest.raises(ConfigurationError, match="'vlm' is a value of SIGHTLINE_RERANKER__MODEL"):
        asyncio.run(remote.areranker("vlm"))


def test_the_configured_reranker_is_used(installation: Settings, tmp_path: Path) -> None:
    folder = random_cross_encoder.write(tmp_path / "random-cross-encoder")
    settings = installation.replace(reranker__model=f"local-dir:{folder}")
    with Sightline(settings=settings) as sightline:
        reranker = sightline.reranker(timeout_seconds=60)
        retriever = sightline.passage_retriever(kinds=["caption"])
        expected = reranker.postprocess_nodes(retriever.retrieve("bus"), query_str="bus")
        engine = RetrieverQueryEngine.from_args(
            retriever, llm=MockLLM(), node_postprocessors=[reranker]
        )
        for response in (engine.query("bus"), asyncio.run(engine.aquery("bus"))):
            assert response.source_nodes == expected != []
