"""Forms of queries on a few pictures, through the MCP tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import query_forms
from benchmarks.search_quality.grocery_queries import grocery_queries, load_products
from benchmarks.search_quality.outcomes import by_group, recall
from tests.support.settings import make_settings


async def test_exact_names_are_found_by_both_searches(tmp_path: Path, database_dsn: str) -> None:
    folder = tmp_path / "products"
    folder.mkdir()
    rows = []
    for color, product in (("red", "Red-Lantern"), ("green", "Wild-Cherry")):
        Image.new("RGB", (64, 48), color).save(folder / f"{product}.png")
        title = product.replace("-", " ").lower()
        caption = f"The {title} is what most people buy here."
        rows.append({"file_name": f"{product}.png", "product": product, "caption": caption})
    lines = "\n".join(map(json.dumps, rows))
    (folder / "metadata.jsonl").write_text(lines, encoding="utf-8")
    queries = list(grocery_queries(load_products(folder)))
    settings = make_settings(
        tmp_path / "data",
        database__url=database_dsn,
        encoder__model="builtin",
        ingest__ocr="off",
        ingest__workers=1,
        startup_timeout_seconds=250,
    )
    outcomes = await query_forms.measure(settings, {"groceries": (folder, queries)}, None)
    for found in outcomes["groceries"].values():
        groups = by_group(found)
        assert len(groups["all"]) == len(queries)
        assert recall(groups["exact"]) == 1


async def test_a_folder_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        await query_forms.main([])
    assert "Give --receipts, --groceries or both." in capsys.readouterr().err


def test_the_annotation_of_pictures_is_not_copied(tmp_path: Path) -> None:
    for name in ("1.jpg", "truth.jsonl"):
        (tmp_path / name).touch()
    query_forms.copy_pictures(tmp_path, ["1.jpg"], tmp_path / "album")
    assert [path.name for path in (tmp_path / "album").iterdir()] == ["1.jpg"]
