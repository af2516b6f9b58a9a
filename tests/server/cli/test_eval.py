"""``sightline eval`` on a real Postgres, with the built-in encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from benchmarks import synthetic_album
from sightline.server.cli import main

ALBUM = "album"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An album of eighteen drawn pictures, and its queries."""
    folder = tmp_path / "drawn"
    synthetic_album.draw(folder, count=18, seed=4)
    return folder


@pytest.fixture
def server(tmp_path: Path, database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the commands; no text is read, which would take minutes."""
    variables = {
        "DATA_DIR": tmp_path / "data",
        "DATABASE_URL": database_dsn,
        "ENCODER_THREADS": 1,
        "INGEST_WORKERS": 1,
        "OCR": "off",
        "LOADING_WAIT_SECONDS": 250,
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"SIGHTLINE_{name}", str(value))


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    capsys.readouterr()
    assert main([str(each) for each in arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_is_measured_by_the_searches_that_the_tools_make(
    folder: Path,
    server: None,
    database_dsn: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output(capsys, "ingest", folder / synthetic_album.ALBUM, "--collection", ALBUM, "--json")
    own = folder / "own.jsonl"
    lines = (folder / synthetic_album.QUERIES).read_text(encoding="utf-8").splitlines()
    chosen = [line for line in lines if '"caption"' in line or '"crop"' in line]
    unread = next(line for line in lines if '"search": "text"' in line)
    own.write_text("\n".join([*chosen, unread]), encoding="utf-8")
    out = tmp_path / "out"
    flags = ("--collection", ALBUM, "--out", out, "--quiet", "--json")
    results = output(capsys, "eval", own, *flags)
    words, picture, passages = results["relevant"]

    fused = words["systems"]["fused"]
    branches = {"text_to_picture", "words"}
    assert branches < words["systems"].keys()
    assert fused["R@10"]["value"] >= 0.9
    assert fused["nDCG@10"]["low"] < fused["nDCG@10"]["value"] < fused["nDCG@10"]["high"] <= 1
    assert words["by"]["language"].keys() == {"en", "zh"}
    assert words["twins"]["zh"]["fused"]["R@10"]["n"] == 18
    clip = words["clip_score"]
    assert clip["right picture"]["low"] > clip["right picture of another query"]["high"]
    assert 0 < words["agreement"]["text_to_picture, words"]["value"] < 1
    assert picture["systems"]["picture_to_picture"]["R@10"]["value"] >= 0.8
    assert passages["systems"]["fused"]["R@10"]["value"] == 0, "nothing was read"

    asked = json.loads(chosen[0])
    found = output(capsys, "search", asked["query"], "--collection", ALBUM, "--json")
    sources = [hit["source"] for hit in found["hits"]]
    place = next(
        n for n, name in enumerate(sources, 1) if name.endswith(asked["relevant"][0]["source"])
    )
    measured = next(each for each in words["each"] if each["id"] == asked["id"])
    assert measured["scores"]["fused"]["MRR"] == pytest.approx(1 / place, abs=1e-4)

    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") > 10
    assert "| lexical (BM25) |" in (out / "report.md").read_text(encoding="utf-8")
    assert json.loads((out / "results.json").read_text(encoding="utf-8")) == results
    with psycopg.connect(database_dsn) as connection:
        logged = connection.execute(
            "SELECT count(*) FROM sightline.retrieval_log WHERE tool = 'sightline eval'"
        ).fetchone()
    assert logged == (len(chosen) + 1,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a run file, or give --self"),
        (["run.jsonl", "--self"], "and not both"),
        (
            ["--self", "--judge-model", "judge-7b"],
            "--judge marks answers, and --self asks for none",
        ),
        (["no-such.jsonl"], "no-such.jsonl cannot be read: No such file"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fusing_beats_every_branch_on_a_drawn_album(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_INGEST_FILE_SECONDS", "600")
    flags = ("--count", 108, "--seed", 2, "--out", tmp_path / "out", "--quiet", "--json")
    results = output(capsys, "eval", "--self", "--work", tmp_path / "work", *flags)
    words = results["relevant"][0]
    for name, gain in words["gains_of_final"].items():
        assert gain["nDCG@10"]["low"] > 0, name
    written = words["by"]["kind"]["written"]
    assert written["text_to_picture"]["nDCG@10"]["value"] < 0.35
    assert written["fused"]["nDCG@10"]["value"] > 0.85
    assert abs(words["twins"]["zh"]["fused"]["R@10"]["value"]) < 0.05
