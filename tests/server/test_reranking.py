"""Tests of reranking: setting, tool result and ``sightline doctor``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from PIL import Image

from sightline.server.app import create_app
from sightline.server.cli.admin import doctor
from sightline.server.config import Settings, load_settings
from sightline.storage.errors import ConfigurationError
from tests.support import random_cross_encoder
from tests.support.fake_vlm_server import MODEL, FakeVlmServer, serving
from tests.support.results import json_of


@pytest.fixture
async def endpoint() -> AsyncIterator[str]:
    """URL of an endpoint without log-probabilities."""
    async with serving(FakeVlmServer()) as address:
        yield address


@pytest.fixture
def settings(database_dsn: str, random_encoder_folder: Path, tmp_path: Path) -> Settings:
    (tmp_path / "in").mkdir()
    # No file name contains a word of the query, because names are searched too.
    for name, color in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (48, 32), color).save(tmp_path / "in" / name)
    (tmp_path / "in" / "c.md").write_text("the red van")
    (tmp_path / "in" / "d.md").write_text("the red van on the garlic shelf")
    return load_settings(
        data_dir=tmp_path / "data",
        database__url=database_dsn,
        encoder__model=f"local-dir:{random_encoder_folder}",
        allowed_roots=[tmp_path / "in"],
        ingest__workers=1,
        ingest__ocr="off",
        encoder__device="cpu",
        startup_timeout_seconds=120,
        reranker__timeout_seconds=60,
    )


async def run_searches(settings: Settings, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Return the results of both searches for "red van" by tool."""
    results = {}
    async with Client(create_app(settings)) as client:
        await client.call_tool(
            "add_images", {"collection": "notes", "paths": [str(tmp_path / "in")]}
        )
        for tool in ("search_images", "search_text"):
            kinds = {"kinds": ["chunk"]} if tool == "search_text" else {}
            arguments = {"query": "red van", "detail": "detailed", **kinds}
            results[tool] = json_of(await client.call_tool(tool, arguments))
    return results


async def test_the_vlm_reranks_both_searches(settings: Settings, tmp_path: Path) -> None:
    changed = settings.replace(reranker__model="vlm", vlm__model="builtin")
    for result in (await run_searches(changed, tmp_path)).values():
        assert result["reranked"] is True
        assert "notes" not in result
        assert result["timings_ms"]["rerank"] > 0
        assert len(result["hits"]) == 2
    diagnosis = await doctor._reranker(changed)
    assert diagnosis.status == "ok"
    assert "the limit for all results is 60 s" in diagnosis.message


async def test_a_vlm_without_log_probabilities_keeps_the_order_and_doctor_reports_it(
    settings: Settings, endpoint: str, tmp_path: Path
) -> None:
    changed = settings.replace(reranker__model="vlm", vlm__base_url=endpoint, vlm__model=MODEL)
    for result in (await run_searches(changed, tmp_path)).values():
        assert "reranked" not in result
        (note,) = result["notes"]
        assert note.startswith(
            "Not reranked: The server of test-model returns no log-probabilities"
        )
        assert len(result["hits"]) == 2
    diagnosis = await doctor._reranker(changed)
    assert diagnosis.status == "error"
    assert "no log-probabilities" in diagnosis.message


async def test_a_cross_encoder_reranks_text_and_reports_results_without_text(
    settings: Settings, tmp_path: Path
) -> None:
    folder = random_cross_encoder.write(tmp_path / "random-cross-encoder")
    changed = settings.replace(reranker__model=f"local-dir:{folder}")
    results = await run_searches(changed, tmp_path)
    assert results["search_text"]["reranked"] is True
    assert "reranked" not in results["search_images"]  # images without text
    assert results["search_images"]["notes"] == [
        "Not reranked: no result has content that the model can score."
    ]
    assert (await doctor._reranker(changed)).status == "ok"


async def test_a_missing_cross_encoder_is_an_error_of_every_search(
    settings: Settings, tmp_path: Path
) -> None:
    changed = settings.replace(reranker__model=f"local-dir:{tmp_path / 'nowhere'}")
    async with Client(create_app(changed)) as client:
        await client.call_tool(
            "add_images", {"collection": "notes", "paths": [str(tmp_path / "in")]}
        )
        refused = await client.call_tool("search_text", {"query": "red van"})
    assert refused.is_error
    assert "is not a cross-encoder" in str(refused.content)
    assert (await doctor._reranker(changed)).status == "error"


async def test_results_do_not_mention_reranking_without_a_reranker(
    settings: Settings, tmp_path: Path
) -> None:
    for result in (await run_searches(settings, tmp_path)).values():
        assert "reranked" not in result
        assert "rerank" not in result["timings_ms"]
    assert (await doctor._reranker(settings)).message == "off; results keep the order of the fusion"


def test_a_vlm_reranker_without_endpoint_is_an_error_before_the_server_starts(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError, match="SIGHTLINE_VLM__BASE_URL is not set"):
        create_app(load_settings(data_dir=tmp_path, reranker__model="vlm"))
