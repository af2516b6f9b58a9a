"""``sightline eval`` with a real Postgres and the built-in encoder."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from benchmarks import synthetic_album
from sightline.server.cli import main

ALBUM = "album"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An album of 18 synthetic images, and its queries."""
    folder = tmp_path / "synthetic"
    synthetic_album.render(folder, count=18, seed=4)
    return folder


@pytest.fixture
def server(tmp_path: Path, database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the commands, without OCR, which would take minutes."""
    variables = {
        "DATA_DIR": tmp_path / "data",
        "DATABASE__URL": database_dsn,
        "ENCODER__THREADS": 1,
        "INGEST__WORKERS": 1,
        "INGEST__OCR": "off",
        "STARTUP_TIMEOUT_SECONDS": 250,
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"SIGHTLINE_{name}", str(value))


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    capsys.readouterr()
    assert main([str(each) for each in arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_file_is_evaluated_with_the_searches_of_the_tools(
    folder: Path,
    server: None,
    database_dsn: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output(capsys, "ingest", folder / synthetic_album.ALBUM, "--collection", ALBUM, "--json")
    run_file = folder / "run.jsonl"
    lines = (folder / synthetic_album.QUERIES).read_text(encoding="utf-8").splitlines()
    chosen = [line for line in lines if '"caption"' in line or '"crop"' in line]
    text_query = next(line for line in lines if '"search": "text"' in line)
    run_file.write_text("\n".join([*chosen, text_query]), encoding="utf-8")
    out = tmp_path / "out"
    flags = ("--collection", ALBUM, "--out", out, "--quiet", "--json")
    results = output(capsys, "eval", run_file, *flags)
    by_text, by_image, passages = results["relevant"]

    fused = by_text["systems"]["fused"]
    retrievers = {"text_to_image", "lexical"}
    assert retrievers < by_text["systems"].keys()
    assert fused["R@10"]["value"] >= 0.9
    assert fused["nDCG@10"]["low"] < fused["nDCG@10"]["value"] < fused["nDCG@10"]["high"] <= 1
    assert by_text["groups"]["language"].keys() == {"en", "zh"}
    assert by_text["translation_minus_english"]["zh"]["fused"]["R@10"]["n"] == 18
    clip = by_text["clip_score"]
    assert clip["relevant image"]["low"] > clip["relevant image of another query"]["high"]
    assert 0 < by_text["rank_overlap"]["text_to_image, lexical"]["value"] < 1
    assert by_image["systems"]["image_to_image"]["R@10"]["value"] >= 0.8
    assert passages["systems"]["fused"]["R@10"]["value"] == 0, "there is no OCR text"

    query = json.loads(chosen[0])
    found = output(capsys, "search", query["query"], "--collection", ALBUM, "--json")
    sources = [hit["source"] for hit in found["hits"]]
    rank = next(
        n for n, name in enumerate(sources, 1) if name.endswith(query["relevant"][0]["source"])
    )
    measured = next(each for each in by_text["queries"] if each["id"] == query["id"])
    assert measured["metrics"]["fused"]["MRR"] == pytest.approx(1 / rank, abs=1e-4)

    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") > 10
    assert "| lexical (BM25) |" in (out / "report.md").read_text(encoding="utf-8")
    assert json.loads((out / "results.json").read_text(encoding="utf-8")) == results
    with psycopg.connect(database_dsn) as connection:
        logged = connection.execute(
            "SELECT count(*) FROM sightline.retrieval_log WHERE tool = 'sightline eval'"
        ).fetchone()
    assert logged == (len(chosen) + 1,)


def test_a_missing_run_file_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "no-such.jsonl"]) == 2
    assert "Cannot read no-such.jsonl: No such file" in capsys.readouterr().err


def test_without_ir_measures_the_extra_is_named_before_the_search(
    server: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    run_file = tmp_path / "run.jsonl"
    run_file.write_text('{"query": "a van", "relevant": ["van.jpg"]}')
    assert main(["eval", str(run_file), "--quiet", "--out", str(tmp_path / "out")]) == 2
    assert "pip install 'sightline-mcp[eval]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
