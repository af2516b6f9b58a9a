"""A passage encoder of its own, from the setting to the answer of a tool."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from mcp import Client
from mcp.types import TextContent

from sightline.server.app import create_app
from sightline.server.cli import doctor
from sightline.server.config import settings as process_settings
from sightline.server.config.settings import Settings
from sightline.storage.errors import ConfigurationError
from tests.support import random_sentences


@pytest.fixture
def settings(database_dsn: str, random_encoder_folder: Path, tmp_path: Path) -> Settings:
    first = random_sentences.write(tmp_path / "random-first")
    random_sentences.write(tmp_path / "random-second", seed=8)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "van.md").write_text("the red van")
    (tmp_path / "in" / "garlic.md").write_text("a garlic shelf")
    return process_settings.load(
        data_dir=tmp_path / "data",
        database_url=database_dsn,
        encoder=f"local-dir:{random_encoder_folder}",
        passage_encoder=f"local-dir:{first}",
        allowed_roots=[tmp_path / "in"],
        ingest_workers=1,
        ocr="off",
        device="cpu",
        loading_wait_seconds=120,
    )


async def test_passages_have_a_space_of_their_own_and_another_encoder_is_refused(
    settings: Settings, database_dsn: str, tmp_path: Path
) -> None:
    async with Client(create_app(settings)) as client:
        paths = [str(tmp_path / "in")]
        await client.call_tool("add_images", {"collection": "notes", "paths": paths})
        found = await client.call_tool("search_text", {"query": "red van", "detail": "detailed"})
    assert found.structured_content is not None
    hit = found.structured_content["hits"][0]
    assert hit["text"] == "the red van"
    assert {"words", "text_to_passage"} <= set(hit["retrievers"])
    with psycopg.connect(database_dsn) as connection:
        spaces = connection.execute(
            "SELECT level, encoder, dimension FROM sightline.embedding_space ORDER BY level"
        ).fetchall()
    assert spaces == [
        ("asset", "local-dir:random-clip", 32),
        ("passage", "local-dir:random-first", random_sentences.DIMENSION),
    ]

    changed = settings.model_copy(
        update={"passage_encoder": f"local-dir:{tmp_path / 'random-second'}"}
    )
    async with Client(create_app(changed)) as client:
        for tool in ("search_text", "search_images"):
            refused = await client.call_tool(tool, {"query": "red van", "collection": "notes"})
            assert refused.is_error
            (block,) = refused.content
            assert isinstance(block, TextContent)
            assert "random-first" in block.text
            assert "random-second" in block.text
    findings = [each async for each in doctor.examine(changed)]
    (bad,) = [each for each in findings if each.state == "bad"]
    assert bad.what == "collection notes"
    assert "SIGHTLINE_PASSAGE_ENCODER" in bad.finding
    assert "random-first" in bad.finding


def test_a_name_that_can_be_none_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"SIGHTLINE_PASSAGE_ENCODER .*'encoder', 'minilm'"
    ):
        process_settings.load(passage_encoder="MiniLM large")
