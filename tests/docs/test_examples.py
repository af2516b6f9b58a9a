"""The documented examples run on a synthetic album with the built-in models.

Results of retrieval, OCR and checks must be correct. The built-in VLM may be wrong, but then no
check may support its claim.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from sightline.server.app import create_app
from sightline.server.cli.library.ingest import ingest_paths
from sightline.server.config import Settings, load_settings
from sightline.training.world.export import export

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
COLLECTION = "demo"
FAMILIES = ("heatsink", "spine", "street", "product", "geometry")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@dataclass(frozen=True)
class World:
    """Settings of a server with the album, and the labels of its images by file."""

    settings: Settings
    rows: dict[str, dict[str, Any]]
    questions: list[dict[str, Any]]

    def truth(self, file_name: str, question: str) -> str:
        return next(
            str(row["answer"])
            for row in self.questions
            if file_name.endswith(row["file_name"]) and row["question"] == question
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("examples")
    export(folder / "album", split="test", count=20, seed=43, families=FAMILIES)
    questions = _rows(folder / "album" / "questions.jsonl")
    rows = {row["file_name"]: row for row in _rows(folder / "album" / "metadata.jsonl")}
    settings = load_settings(
        data_dir=folder / "data",
        database__url=None,
        encoder__model="builtin",
        ingest__ocr="on",
        vlm__base_url=None,
        vlm__model="builtin",
        vlm__timeout_seconds=600,
        limits__answer_timeout_seconds=600,
        startup_timeout_seconds=600,
        database__acquire_timeout_seconds=600,
    )
    asyncio.run(ingest_paths(settings, [folder / "album"], COLLECTION, lambda _: None))
    return World(settings, rows, questions)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@asynccontextmanager
async def shown(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, **arguments: str
) -> AsyncIterator[dict[str, Any]]:
    """Run an example and yield its result; import it from its own folder."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    sys.modules.pop(name, None)
    example = import_module(name)
    async with Client(create_app(world.settings)) as client:
        yield await example.show(client, COLLECTION, lambda _: None, **arguments)


def file_of(source: str) -> str:
    return "images/" + source.rsplit("/", 1)[-1]


async def test_the_drawing_is_found_by_its_text_and_no_wrong_number_is_supported(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_name, row = next(
        (name, row)
        for name, row in world.rows.items()
        if row["family"] == "heatsink" and re.search(r"[A-Z]{2}-\d{2}", row["caption"])
    )
    found = re.search(r"[A-Z]{2}-\d{2}", row["caption"])
    assert found is not None
    async with shown(world, monkeypatch, "heat_sink", part=found.group()) as result:
        (image,) = [item for item in result["evidence"] if item["kind"] == "image"]
        assert file_of(image.get("source", result.get("source"))) == file_name
        assert any(found.group() in text for text in result["texts"])
        for claim in result["claims"]:
            if claim["verdict"] == "supported" and claim["text"].isdigit():
                assert any(claim["text"] in text for text in result["texts"])


async def test_an_xray_is_found_and_the_boxes_of_the_model_are_saved_as_such(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shown(world, monkeypatch, "abnormal_vertebra") as result:
        assert world.rows[file_of(result["source"])]["family"] == "spine"
        assert {each["origin"] for each in result["boxes"]} <= {"model"}
        assert len(result["saved"]) == len(result["boxes"])
        assert result["phrases"][0]["status"] in ("found", "repaired", "absent")


async def test_no_vehicle_of_a_later_time_is_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = [
        row
        for row in world.rows.values()
        if row["captured_at"] and row["captured_at"][11:16] < "17:00"
    ]
    async with shown(world, monkeypatch, "white_vehicles") as result:
        assert len(result["hits"]) == min(5, len(early)) > 0
        for hit in result["hits"]:
            assert hit["captured_at"][11:16] < "17:00"
            assert world.rows[file_of(hit["source"])]["family"] == "street"


async def test_only_the_filtered_product_is_evidence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_name, row = next(
        (name, row) for name, row in world.rows.items() if row["family"] == "product"
    )
    product = row["product_id"]
    async with shown(world, monkeypatch, "product_question", product=product) as result:
        assert file_of(result["source"]) == file_name
        (claim,) = result["claims"]
        assert result["status"] == "answered"
        assert claim["verdict"] != "contradicted"
        assert claim["text"].strip("$¥") in world.truth(file_name, "What is the price?")
        assert "box" in claim
        assert result["images"] == 1


async def test_a_problem_is_found_first_from_its_screenshot(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shown(world, monkeypatch, "similar_problem") as result:
        assert world.rows[file_of(result["original"])]["family"] == "geometry"
        assert result["sources"][0] == result["original"]


def test_every_example_is_in_the_table() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    scripts = {path.name for path in EXAMPLES.glob("*.py")} - {"calling.py"}
    assert set(re.findall(r"^\| `(\w+\.py)`", page, re.MULTILINE)) == scripts
