"""Exports keep the vectors; those in full precision keep the embedding space."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sightline.server.cli import main
from sightline.server.config.settings import EncoderSettings
from sightline.server.models.image_text import image_text_encoder
from sightline.server.models.image_text.image_text_encoder import find_folder, load_model
from sightline.server.models.image_text.onnx_model import OnnxModel
from sightline.server.models.text import cross_encoder_reranker, passage_encoder
from tests.support import random_clip, random_cross_encoder, random_sentence_encoder

TORCH = EncoderSettings(device="cpu", engine="open_clip")
ONNX = EncoderSettings(device="cpu", threads=1)
TEXTS = ["the red van", "a", "garlic " * 50, "van the red a garlic", "the garlic shelf"]

Export = Callable[..., dict[str, Any]]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    file = tmp_path / "texts"
    words = ["red", "van", "garlic", "shelf"]
    lines = [f"the {a} {b} a {c}" for a in words for b in words for c in words]
    file.write_text("\n".join(lines))
    return file


@pytest.fixture
def export(
    tmp_path: Path,
    texts: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Export:
    monkeypatch.setenv("SIGHTLINE_DATA_DIR", str(tmp_path / "data"))
    torch.set_num_threads(1)

    def export(folder: Path | str, *options: str) -> dict[str, Any]:
        arguments = ["export", str(folder), "--texts", str(texts), "--json", *options]
        assert main(["models", *arguments]) == 0
        found = json.loads(capsys.readouterr().out)
        assert isinstance(found, dict)
        return found

    return export


def test_a_sentence_encoder_keeps_its_embedding_space(export: Export, tmp_path: Path) -> None:
    prompts = {"query": "a van ", "document": "the shelf "}
    folder = random_sentence_encoder.write(tmp_path / "random-text", prompts=prompts)
    found = export(folder)
    assert found["name"] == "random-text-onnx"
    assert found["keeps_identity"] is True
    assert found["max_difference"] < 1e-5
    assert found["min_cosine"] > 0.99999
    assert found["recall_at_10"] == 1
    data = tmp_path / "data"
    theirs = _passage_encoder(TORCH, f"local-dir:{folder}", data)
    ours = _passage_encoder(ONNX, "random-text-onnx", data)
    assert ours.identity == theirs.identity
    # A file that is not the exported one is another model.
    (data / "models" / "random-text-onnx" / "tokenizer.json").write_bytes(
        (folder / "tokenizer.json").read_bytes().replace(b"van", b"bus")
    )
    assert _passage_encoder(ONNX, "random-text-onnx", data).identity != theirs.identity


def _passage_encoder(settings: EncoderSettings, name: str, data: Path) -> Any:
    encoder = passage_encoder.load(settings.model_copy(update={"passage_model": name}), data)
    encoder.close()
    return encoder


@pytest.mark.slow
def test_a_reranker_keeps_its_scores(export: Export, tmp_path: Path) -> None:
    folder = random_cross_encoder.write(tmp_path / "random-pairs")
    found = export(folder, "--out", str(tmp_path / "out"))
    assert found["recall_at_10"] == 1
    pairs = [("the van", text) for text in TEXTS]
    theirs = cross_encoder_reranker.load_model(folder, "model", TORCH)
    ours = cross_encoder_reranker.load_model(tmp_path / "out", "model", ONNX)
    np.testing.assert_allclose(ours.score(pairs), theirs.score(pairs), atol=1e-4)
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_open_clip_folder_gives_its_vectors(
    precision: str, export: Export, tmp_path: Path
) -> None:
    folder = random_clip.write(tmp_path / "random-clip")
    found = export(folder, "--precision", precision)
    assert found["keeps_identity"] is (precision == "fp32")
    assert found["min_cosine"] > {"fp32": 0.99999, "fp16": 0.999, "int8": 0.9}[precision]
    data = tmp_path / "data"
    opened, name = find_folder(found["name"], data)
    ours = load_model(ONNX, data, opened, name)
    assert isinstance(ours, OnnxModel)
    original, own_name = find_folder(f"local-dir:{folder}", data)
    theirs = load_model(TORCH, data, original, own_name)
    assert (ours.identity == theirs.identity) is (precision == "fp32")
    texts = ["A red van's wheel, 20 km", "caf\u00c3\u00a9 &amp; bar 白色", "", "long " * 90]
    if precision == "fp32":
        np.testing.assert_allclose(ours.encode_texts(texts), theirs.encode_texts(texts), atol=1e-4)
    assert image_text_encoder.open_folder(Path(found["folder"])).graphs is not None


def test_what_is_no_model_is_an_error(
    export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["models", "export", str(tmp_path / "empty")]) == 2
    assert "is no model folder" in capsys.readouterr().err
    assert main(["models", "export", str(tmp_path / "nowhere")]) == 2
    assert "is no folder, and no model" in capsys.readouterr().err
    folder = random_sentence_encoder.write(tmp_path / "random-text")
    assert main(["models", "export", str(folder), "--out", str(folder)]) == 2
    assert "is not empty" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    assert main(["models", "export", str(folder), "--texts", str(tmp_path / "none")]) == 2
    assert "cannot read" in capsys.readouterr().err
    named = folder.rename(tmp_path / "random (2)")
    assert main(["models", "export", str(named)]) == 2
    assert "No model can be named 'random (2)-onnx'" in capsys.readouterr().err
