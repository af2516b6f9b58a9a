"""The text models on ONNX Runtime give the vectors and scores of those on torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

from sightline.server.config.settings import EncoderSettings
from sightline.server.models.model_files import FingerprintCache
from sightline.server.models.store.model_record import EncodingOptions, FileRecord, ModelRecord
from sightline.server.models.text import cross_encoder_reranker, passage_encoder
from sightline.server.models.text.onnx_text_models import OnnxSentenceEncoder, pool_tokens
from sightline.server.models.text.sentence_encoder_config import SentenceEncoderFolder
from sightline.storage.errors import ConfigurationError, UnknownNameError
from tests.support import onnx_folders, random_cross_encoder, random_sentence_encoder

TEXTS = ["the red van", "a", "garlic " * 50, "", "van the red a garlic", "🎂", "a [SEP] van"]
SETTINGS = EncoderSettings(device="cpu", threads=1)
PROMPTS = {"query": "a van ", "document": "the shelf "}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A sentence encoder for torch, and the same as an ONNX graph without other weights."""
    folder = tmp_path_factory.mktemp("sentences") / "random-torch"
    random_sentence_encoder.write(folder, prompts=PROMPTS)
    graph = Path(shutil.copytree(folder, folder.parent / "random-onnx"))
    model = AutoModel.from_pretrained(folder)
    return folder, onnx_folders.write_text_graph(graph, model, "last_hidden_state")


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "lasttoken"])
def test_a_sentence_encoder_gives_the_vectors_of_torch(
    pooling: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    encoders = []
    for folder in folders:
        (folder / "1_Pooling" / "config.json").write_text(f'{{"pooling_mode": "{pooling}"}}')
        opened = SentenceEncoderFolder.open(folder)
        cache = FingerprintCache(tmp_path)
        encoders.append(passage_encoder.load_model(opened, "model", SETTINGS, cache))
    theirs, ours = encoders
    assert isinstance(ours, OnnxSentenceEncoder)
    for encode in ("encode_passages", "encode_queries"):
        expected = getattr(theirs, encode)(TEXTS)
        np.testing.assert_allclose(getattr(ours, encode)(TEXTS), expected, atol=1e-5)
        alone = np.concatenate([getattr(ours, encode)([text]) for text in TEXTS])
        np.testing.assert_allclose(alone, expected, atol=1e-5)
    assert not ours.encode_passages(["🎂"]).any()
    assert ours.identity != theirs.identity


def test_a_graph_of_a_lower_precision_is_not_used_beside_weights(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(folders[0], tmp_path / "random-both"))
    (folder / "onnx").mkdir()
    shutil.copy(folders[1] / "onnx" / "model.onnx", folder / "onnx" / "model_int8.onnx")
    assert SentenceEncoderFolder.open(folder).graph is None
    shutil.copy(folders[1] / "onnx" / "model.onnx", folder / "onnx" / "model.onnx")
    opened = SentenceEncoderFolder.open(folder)
    assert opened.graph == folder / "onnx" / "model.onnx"
    cache = FingerprintCache(tmp_path)
    assert opened.fingerprint(cache) == SentenceEncoderFolder.open(folders[0]).fingerprint(cache)


@pytest.fixture(scope="module")
def cross_encoders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pairs") / "random-torch"
    random_cross_encoder.write(folder)
    graph = Path(shutil.copytree(folder, folder.parent / "random-onnx"))
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    return folder, onnx_folders.write_text_graph(graph, model, "logits")


def test_a_cross_encoder_gives_the_scores_of_torch(cross_encoders: tuple[Path, Path]) -> None:
    torch.set_num_threads(1)
    theirs, ours = (
        cross_encoder_reranker.load_model(each, "model", SETTINGS) for each in cross_encoders
    )
    pairs = [(query, text) for query in ("the van", "garlic " * 60) for text in TEXTS]
    np.testing.assert_allclose(ours.score(pairs), theirs.score(pairs), atol=1e-5)


def test_a_cross_encoder_has_one_output(tmp_path: Path) -> None:
    folder = random_cross_encoder.write(tmp_path / "random-classes", labels=3)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    onnx_folders.write_text_graph(folder, model, "logits")
    with pytest.raises(ConfigurationError, match="'model' is a classifier with 3 classes"):
        cross_encoder_reranker.load_model(folder, "model", SETTINGS)


def test_the_text_models_run_without_torch(
    folders: tuple[Path, Path], cross_encoders: tuple[Path, Path], tmp_path: Path
) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from sightline.server.config.settings import EncoderSettings;"
        "from sightline.server.models.text import cross_encoder_reranker, passage_encoder;"
        "sentences, pairs, data = sys.argv[1:];"
        "settings = EncoderSettings(passage_model=f'local-dir:{sentences}');"
        "passage_encoder.load(settings, Path(data)).close();"
        "cross_encoder_reranker.load(f'local-dir:{pairs}', settings, Path(data)).close();"
        "print(sorted({'torch', 'transformers', 'huggingface_hub'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folders[1]), str(cross_encoders[1]), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_the_record_completes_what_a_repository_does_not_say(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "models" / "e5-mini"
    shutil.copytree(folders[1], folder)
    for name in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
        (folder / name).unlink()
    shutil.rmtree(folder / "1_Pooling")
    ModelRecord(
        name="e5-mini",
        kind="sentence",
        precision="fp32",
        license="MIT",
        options=EncodingOptions(
            pooling="cls", max_tokens=9, query_prompt="query: ", passage_prompt="passage: "
        ),
        files={"config.json": FileRecord(size=(folder / "config.json").stat().st_size, sha256="")},
    ).write(folder)
    config = SentenceEncoderFolder.open(folder).config
    assert config.pooling == "cls"
    assert config.max_tokens == 9
    assert (config.query_prompt, config.passage_prompt) == ("query: ", "passage: ")
    settings = EncoderSettings(passage_model="e5-mini", device="cpu", threads=1)
    encoder = passage_encoder.load(settings, tmp_path / "data")
    encoder.close()
    assert encoder.identity.name == "e5-mini"
    (folder / "config.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"'e5-mini' is damaged: its file 'config.json'"):
        passage_encoder.load(settings, tmp_path / "data")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("bge-m3", "models pull bge-m3 "),
        ("multilingual-e5-small-int8", "models pull multilingual-e5-small --precision int8"),
        ("some/model", "models pull some/model"),
    ],
)
def test_a_model_that_was_not_pulled_is_an_error_with_the_command(
    name: str, command: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=f"the server downloads nothing.*{command}"):
        passage_encoder.load(EncoderSettings(passage_model=name), tmp_path)
    with pytest.raises(ConfigurationError, match=f"the server downloads nothing.*{command}"):
        cross_encoder_reranker.load(name, SETTINGS, tmp_path)


def test_a_word_that_is_no_model_is_an_error_with_the_names(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"model 'bge'.*'bge-m3'.*sightline models list"):
        passage_encoder.load(EncoderSettings(passage_model="bge"), tmp_path)


def test_padding_does_not_change_pooled_tokens() -> None:
    tokens = np.arange(12, dtype=np.float32).reshape(1, 4, 3)
    mask = np.array([[1, 1, 0, 0]])
    for pooling, expected in {
        "mean": [1.5, 2.5, 3.5],
        "cls": [0, 1, 2],
        "max": [3, 4, 5],
        "lasttoken": [3, 4, 5],
    }.items():
        assert pool_tokens(tokens, mask, pooling).tolist() == [expected]  # type: ignore[arg-type]
