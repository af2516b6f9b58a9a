"""The retrieval quality on a synthetic album."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import self_evaluation


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_fusion_is_better_than_every_retriever_on_a_synthetic_album(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_INGEST__FILE_TIMEOUT_SECONDS", "600")
    flags = ("--count", 108, "--seed", 2, "--out", tmp_path / "out", "--quiet", "--json")
    await self_evaluation.main([str(each) for each in ("--work", tmp_path / "work", *flags)])
    results = json.loads(capsys.readouterr().out)
    by_text = results["relevant"][0]
    for name, gain in by_text["final_minus_system"].items():
        assert gain["nDCG@10"]["low"] > 0, name
    written = by_text["groups"]["kind"]["written"]
    assert written["text_to_image"]["nDCG@10"]["value"] < 0.35
    assert written["fused"]["nDCG@10"]["value"] > 0.85
    assert abs(by_text["translation_minus_english"]["zh"]["fused"]["R@10"]["value"]) < 0.05


async def test_the_benchmark_shows_its_progress_and_writes_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    await self_evaluation.main(["--count", "3", "--out", str(out)])
    assert "3/3" in capsys.readouterr().err
    assert (out / "report.html").is_file()


async def test_an_album_that_is_not_a_world_folder_is_rejected(tmp_path: Path) -> None:
    from sightline.storage.errors import InvalidArgumentError

    with pytest.raises(InvalidArgumentError, match="is not an output folder of `sightline world`"):
        await self_evaluation.main(["--work", str(tmp_path), "--album", str(tmp_path / "none")])
