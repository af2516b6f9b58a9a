"""Smoke test of the complete LLaVA training (some minutes)."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sightline.training.vlm.data.album import open_album
from sightline.training.vlm.evaluation.evaluate import evaluate
from sightline.training.vlm.evaluation.model_card import write_card
from sightline.training.vlm.recipe import SMOKE_RECIPE, load_curves, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_smoke_run_trains_resumes_and_is_evaluated(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    work, model = tmp_path / "work", tmp_path / "model"
    device = torch.device("cpu")
    train(SMOKE_RECIPE, work, model, device)
    stages = {str(stage["stage"]): stage["curve"] for stage in load_curves(work)}
    assert list(stages) == ["tower", "oracle", "align", "tune"]
    for name, curve in stages.items():
        assert isinstance(curve, list)
        # The total loss of "tune" gets another term later, so compare the answer loss.
        loss = "answers" if "answers" in curve[0] else "loss"
        assert curve[-1][loss] < 0.8 * curve[0][loss], name

    # A finished run only exports the same model again.
    written = (model / "model.safetensors").read_bytes()
    train(replace(SMOKE_RECIPE, minutes=SMOKE_RECIPE.minutes / 2), work, model, device)
    assert (model / "model.safetensors").read_bytes() == written

    # Training can continue from the exported model.
    further = tmp_path / "further"
    further.mkdir()
    for album in ("train", "validation"):
        shutil.copytree(work / album, further / album)
    train(replace(SMOKE_RECIPE, minutes=0.5), further, further / "model", device, start=model)
    assert [stage["stage"] for stage in load_curves(further)] == ["tower", "align", "tune"]
    assert (further / "model" / "model.safetensors").read_bytes() != written
    (further / "tune.pt").unlink()
    shutil.rmtree(further / "model")
    train(
        replace(SMOKE_RECIPE, minutes=0.5),
        further,
        further / "model",
        device,
        start=model,
        keep_tower=True,
    )
    assert (further / "model" / "model.safetensors").read_bytes() != written

    report = evaluate(model, "validation", 27, device, questions=6)
    single = report["picture"]
    assert isinstance(single, dict)
    # Baseline: a model that always answers "not shown".
    baseline = single["by kind"]["unanswerable"]["n"] / single["exact"]["n"]
    assert single["exact"]["exact"] > 1.3 * baseline
    write_card(model, work, report)
    assert "| all |" in (model / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert len(open_album(work / "train")[1]) >= SMOKE_RECIPE.images
