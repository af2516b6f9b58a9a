"""Cross-encoders by folder or name: the scores that transformers gives, pair by pair."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from sightline.server.config import settings as process_settings
from sightline.server.models.text import reranker_loader
from sightline.server.models.text.reranker_loader import TextJudge
from sightline.storage.errors import ConfigurationError
from sightline.storage.retrieval.ranking.reranker import Exhibit
from tests.support import offline, random_cross_encoder

TEXTS = ["the red van", "garlic " * 60, "shelf", "the garlic shelf the red van"]


def _load(folder: Path, tmp_path: Path) -> TextJudge:
    torch.set_num_threads(1)
    named = f"local-dir:{folder}"
    return reranker_loader.load(
        process_settings.load(reranker=named, data_dir=tmp_path / "data", device="cpu")
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return random_cross_encoder.write(tmp_path / "random-cross-encoder")


def _by_hand(folder: Path, query: str, text: str) -> float:
    """One pair alone, so that nothing is padded."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokens = tokenizer(query, text, truncation=True, max_length=40, return_tensors="pt")
    with torch.inference_mode():
        return float(model(**tokens).logits[0, 0])


async def test_query_and_text_are_scored_together_and_what_has_no_text_is_not(
    folder: Path, tmp_path: Path
) -> None:
    exhibits = [Exhibit(n, text) for n, text in enumerate([*TEXTS, "  "])]
    with _load(folder, tmp_path) as judge:
        assert judge.name == "local-dir:random-cross-encoder"
        scores = await judge.judge("red van", exhibits)
        assert await judge.judge("red van", [Exhibit("a picture", "")]) == [None]
    assert scores[-1] is None
    assert scores[:-1] == pytest.approx([_by_hand(folder, "red van", t) for t in TEXTS], abs=1e-5)
    assert len({round(score, 3) for score in scores if score is not None}) == len(TEXTS)


def test_a_folder_that_lacks_something_is_refused_by_its_name(folder: Path, tmp_path: Path) -> None:
    state = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in state.items() if "classifier.weight" not in k}, folder / "x")
    (folder / "x").rename(folder / "model.safetensors")
    with pytest.raises(ConfigurationError, match=r"no weights that fit 'classifier\.weight'"):
        _load(folder, tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigurationError, match="Nothing is judged with random weights"):
        _load(folder, tmp_path)
    with pytest.raises(ConfigurationError, match=r"nowhere.*config\.json and one of"):
        _load(tmp_path / "nowhere", tmp_path)


def test_a_model_that_tells_classes_apart_is_no_reranker(tmp_path: Path) -> None:
    folder = random_cross_encoder.write(tmp_path / "random-classes", labels=3)
    with pytest.raises(ConfigurationError, match="'local-dir:random-classes' tells 3 classes"):
        _load(folder, tmp_path)


def test_files_that_cannot_be_fetched_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    program = (
        "import sys; from sightline.server import settings;"
        "from sightline.server.models import rerankers;"
        "rerankers.load(settings.load(reranker='nobody/nothing', data_dir=sys.argv[1]))"
    )
    said = offline.failure(program, tmp_path)
    assert "reranker 'nobody/nothing' are not on this machine" in said
    assert "local-dir:PATH" in said


@pytest.mark.parametrize("name", ["on", "cross encoder", "local-dir:"])
def test_a_name_that_can_be_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"SIGHTLINE_RERANKER .*'off', 'vlm'"):
        process_settings.load(reranker=name)
