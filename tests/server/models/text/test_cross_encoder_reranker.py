from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from sightline.server.config import load_settings
from sightline.server.config.settings import EncoderSettings
from sightline.server.models.text import cross_encoder_reranker
from sightline.server.models.text.cross_encoder_reranker import CrossEncoderReranker
from sightline.storage.errors import ConfigurationError
from sightline.storage.retrieval.ranking.reranker import RerankCandidate
from tests.support import offline, random_cross_encoder

TEXTS = ["the red van", "garlic " * 60, "shelf", "the garlic shelf the red van"]


def _load(folder: Path) -> CrossEncoderReranker:
    torch.set_num_threads(1)
    settings = EncoderSettings(device="cpu")
    return cross_encoder_reranker.load(f"local-dir:{folder}", settings, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return random_cross_encoder.write(tmp_path / "random-cross-encoder")


def _reference_score(folder: Path, query: str, text: str) -> float:
    """Score a single pair, so that nothing is padded."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokens = tokenizer(query, text, truncation=True, max_length=40, return_tensors="pt")
    with torch.inference_mode():
        return float(model(**tokens).logits[0, 0])


async def test_candidates_are_scored_with_the_query_unless_they_have_no_text(
    folder: Path, tmp_path: Path
) -> None:
    candidates = [RerankCandidate(n, text) for n, text in enumerate([*TEXTS, "  "])]
    with closing(_load(folder)) as reranker:
        assert reranker.name == "local-dir:random-cross-encoder"
        scores = await reranker.score("red van", candidates)
        assert await reranker.score("red van", [RerankCandidate("an image", "")]) == [None]
    assert scores[-1] is None
    assert scores[:-1] == pytest.approx(
        [_reference_score(folder, "red van", t) for t in TEXTS], abs=1e-5
    )
    assert len({round(score, 3) for score in scores if score is not None}) == len(TEXTS)


async def test_a_separator_that_is_written_in_a_text_does_not_end_it(folder: Path) -> None:
    written = ["the [SEP] red van", "[CLS] the red van", "the red van [PAD]"]
    spaced = [text.replace("[", "[ ").replace("]", " ]") for text in written]
    with closing(_load(folder)) as reranker:
        scores = [
            await reranker.score(
                "red van", [RerankCandidate(n, text) for n, text in enumerate(texts)]
            )
            for texts in (written, spaced)
        ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_an_incomplete_folder_is_rejected_with_the_missing_part(
    folder: Path, tmp_path: Path
) -> None:
    state = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in state.items() if "classifier.weight" not in k}, folder / "x")
    (folder / "x").rename(folder / "model.safetensors")
    with pytest.raises(ConfigurationError, match=r"no weights that fit 'classifier\.weight'"):
        _load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigurationError, match="never reranks with random weights"):
        _load(folder)
    with pytest.raises(ConfigurationError, match=r"nowhere.*config\.json and one of"):
        _load(tmp_path / "nowhere")


def test_a_classifier_with_several_classes_is_rejected(tmp_path: Path) -> None:
    folder = random_cross_encoder.write(tmp_path / "random-classes", labels=3)
    with pytest.raises(
        ConfigurationError, match="'local-dir:random-classes' is a classifier with 3 classes"
    ):
        _load(folder)


def test_a_model_that_is_not_here_is_an_error_with_the_next_step(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from sightline.server.config.settings import EncoderSettings;"
        "from sightline.server.models.text import cross_encoder_reranker;"
        "cross_encoder_reranker.load('nobody/nothing', EncoderSettings(), Path(sys.argv[1]))"
    )
    stderr = offline.run_failing_program(program, tmp_path)
    assert "reranker 'nobody/nothing' is not on this machine" in stderr
    assert "Run: sightline models pull nobody/nothing" in stderr
    assert "local-dir:PATH" in stderr


@pytest.mark.parametrize("name", ["on", "cross encoder", "local-dir:"])
def test_an_invalid_name_is_rejected(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"SIGHTLINE_RERANKER__MODEL .*'off', 'vlm'"):
        load_settings(reranker__model=name)
