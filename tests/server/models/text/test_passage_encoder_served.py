from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from mcp import Client
from mcp.types import TextContent

from sightline.server.app import create_app
from sightline.server.cli.admin import doctor
from sightline.server.config import Settings, load_settings
from sightline.storage.db.queries import load_sql
from sightline.storage.errors import ConfigurationError
from tests.support import random_sentence_encoder


@pytest.fixture
def settings(database_dsn: str, random_encoder_folder: Path, tmp_path: Path) -> Settings:
    first = random_sentence_encoder.write(tmp_path / "random-first")
    random_sentence_encoder.write(tmp_path / "random-second", seed=8)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "van.md").write_text("the red van")
    (tmp_path / "in" / "garlic.md").write_text("a garlic shelf")
    return load_settings(
        data_dir=tmp_path / "data",
        database__url=database_dsn,
        encoder__model=f"local-dir:{random_encoder_folder}",
        encoder__passage_model=f"local-dir:{first}",
        allowed_roots=[tmp_path / "in"],
        ingest__workers=1,
        ingest__ocr="off",
        encoder__device="cpu",
        startup_timeout_seconds=120,
    )


async def test_passages_get_their_own_embedding_space_and_another_encoder_is_rejected(
    settings: Settings, database_dsn: str, tmp_path: Path
) -> None:
    async with Client(create_app(settings)) as client:
        paths = [str(tmp_path / "in")]
        await client.call_tool("add_images", {"collection": "notes", "paths": paths})
        found = await client.call_tool("search_text", {"query": "red van", "detail": "detailed"})
    assert found.structured_content is not None
    hit = found.structured_content["hits"][0]
    assert hit["text"] == "the red van"
    assert {"lexical", "text_to_passage"} <= set(hit["retrievers"])
    with psycopg.connect(database_dsn) as connection:
        spaces = connection.execute(
            "SELECT level, encoder, dimension FROM sightline.embedding_space ORDER BY level"
        ).fetchall()
    assert spaces == [
        ("asset", "local-dir:random-clip", 32),
        ("passage", "local-dir:random-first", random_sentence_encoder.DIMENSION),
    ]

    changed = settings.replace(encoder__passage_model=f"local-dir:{tmp_path / 'random-second'}")
    async with Client(create_app(changed)) as client:
        for tool in ("search_text", "search_images"):
            refused = await client.call_tool(tool, {"query": "red van", "collection": "notes"})
            assert refused.is_error
            (block,) = refused.content
            assert isinstance(block, TextContent)
            assert "random-first" in block.text
            assert "random-second" in block.text
    findings = [each async for each in doctor.diagnose(changed)]
    (bad,) = [each for each in findings if each.status == "error"]
    assert bad.subject == "collection notes"
    assert "SIGHTLINE_ENCODER__PASSAGE_MODEL" in bad.message
    assert "random-first" in bad.message


async def test_texts_outside_the_vocabulary_are_found_by_words_only(
    settings: Settings, database_dsn: str, tmp_path: Path
) -> None:
    (tmp_path / "in" / "party.md").write_text("🎂🎉")
    (tmp_path / "in" / "airport.md").write_text("บริการรับส่งสนามบิน")
    found: dict[str, dict[str, set[str]]] = {}
    async with Client(create_app(settings)) as client:
        paths = [str(tmp_path / "in")]
        await client.call_tool("add_images", {"collection": "notes", "paths": paths})
        for query in ("🎂", "red van"):
            arguments = {"query": query, "kinds": ["chunk"], "detail": "detailed"}
            result = await client.call_tool("search_text", arguments)
            assert result.structured_content is not None
            hits = result.structured_content["hits"]
            found[query] = {hit["text"]: set(hit["retrievers"]) for hit in hits}
            images = await client.call_tool("search_images", {"query": query})
            assert not images.is_error
    assert found == {
        "🎂": {"🎂🎉": {"lexical"}},
        "red van": {
            "the red van": {"lexical", "text_to_passage"},
            "a garlic shelf": {"text_to_passage"},
        },
    }
    with psycopg.connect(database_dsn) as connection:
        connection.execute("SET search_path = sightline")
        assert connection.execute(load_sql("check")["passage_without_vector"]).fetchall() == []


def test_an_invalid_name_is_rejected() -> None:
    with pytest.raises(
        ConfigurationError, match=r"SIGHTLINE_ENCODER__PASSAGE_MODEL .*'encoder', 'minilm'"
    ):
        load_settings(encoder__passage_model="MiniLM large")
