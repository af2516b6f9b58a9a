"""Pulls from a local hub that speaks the protocol of the real one, which tests never ask."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from sightline.server.models.hub.hub_client import HubClient
from sightline.server.models.hub.pull import PullRequest, find_pulled, plan_pull, pull_model
from sightline.server.models.store.model_record import FileRecord, ModelRecord
from sightline.server.models.store.model_store import InstalledModel, ModelStore
from sightline.storage.errors import (
    ConfigurationError,
    ModelUnavailableError,
    UnknownNameError,
)
from tests.support import model_hub
from tests.support.model_hub import ModelHub
from tests.support.ports import free_port

REPOSITORY = "Xenova/clip-vit-base-patch32"
GRAPH = random.Random(4).randbytes(300_000)
FILES = {
    "README.md": b"# A model",
    "config.json": b'{"model_type": "clip", "vision_config": {}}',
    "tokenizer.json": b"{}",
    "onnx/vision_model.onnx": GRAPH,
    "onnx/text_model.onnx": b"text graph",
    "onnx/vision_model_quantized.onnx": b"small vision",
    "onnx/text_model_quantized.onnx": b"small text",
    "onnx/model.onnx": b"both towers",
    "pytorch_model.bin": b"pickle",
    "modeling_clip.py": b"import os",
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    # The proxy of the machine, if it has one, is not for this server.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with model_hub.serve() as hub:
        hub.repositories[REPOSITORY] = dict(FILES)
        yield hub


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path)


def pull(
    hub: ModelHub,
    store: ModelStore,
    name: str = "clip-vit-b-32",
    *,
    token: str | None = None,
    **options: str,
) -> InstalledModel:
    reports: list[tuple[int, int]] = []
    with HubClient(hub.url, token) as client:
        plan = plan_pull(client, PullRequest.parse(name, **options))  # type: ignore[arg-type]
        model = pull_model(client, plan, store, lambda *report: reports.append(report))
    assert reports[-1] == (plan.size, plan.size)
    return model


def test_a_model_is_installed_with_the_files_that_the_engines_need(
    hub: ModelHub, store: ModelStore
) -> None:
    model = pull(hub, store)
    files = {str(each.relative_to(model.folder)) for each in model.folder.rglob("*.*")}
    assert files == {
        "config.json",
        "tokenizer.json",
        "onnx/vision_model.onnx",
        "onnx/text_model.onnx",
        "sightline_model.json",
    }
    assert (model.folder / "onnx/vision_model.onnx").read_bytes() == GRAPH
    assert store.find("clip-vit-b-32") == store.installed()[0] == model
    record = json.loads((model.folder / "sightline_model.json").read_bytes())
    assert record["revision"] == model_hub.COMMIT
    assert record["license"] == "MIT"
    assert record["files"]["onnx/vision_model.onnx"] == {
        "size": len(GRAPH),
        "sha256": hashlib.sha256(GRAPH).hexdigest(),
    }
    assert not list((store.folder / ".partial").glob("*@*"))


def test_a_precision_is_a_model_of_its_own(hub: ModelHub, store: ModelStore) -> None:
    model = pull(hub, store, precision="int8")
    assert model.folder.name == "clip-vit-b-32-int8"
    assert set(model.record.files) >= {"onnx/vision_model_quantized.onnx"}
    assert "onnx/vision_model.onnx" not in model.record.files
    with pytest.raises(ConfigurationError, match=r"no ONNX graphs of the precision fp16.*'int8'"):
        pull(hub, store, precision="fp16")


def test_any_repository_can_be_pulled(hub: ModelHub, store: ModelStore) -> None:
    hub.repositories["someone/encoder"] = {
        "config.json": b'{"architectures": ["BertForSequenceClassification"]}',
        "1_Pooling/config.json": b"{}",
        "onnx/model.onnx": b"graph",
        "onnx/model.onnx_data": b"weights",
        "model.safetensors": b"other weights",
        "../escape.json": b"{}",
        "a\\b.json": b"{}",
    }
    hub.license = None
    model = pull(hub, store, "someone/encoder")
    assert set(model.record.files) == {
        "config.json",
        "1_Pooling/config.json",
        "onnx/model.onnx",
        "onnx/model.onnx_data",
    }
    assert model.record.kind == "reranker"
    assert model.record.license == "unknown: read the model card"
    assert store.find("someone/encoder") == model


def test_weights_for_torch_are_safetensors(hub: ModelHub, store: ModelStore) -> None:
    hub.repositories["timm/clip"] = {
        "open_clip_config.json": b"{}",
        "open_clip_model.safetensors": b"weights",
        "open_clip_pytorch_model.bin": b"pickle",
    }
    model = pull(hub, store, "hf-hub:timm/clip")
    assert set(model.record.files) == {"open_clip_config.json", "open_clip_model.safetensors"}
    assert model.record.kind == "image-text"
    hub.repositories["old/model"] = {"config.json": b"{}", "pytorch_model.bin": b"pickle"}
    with pytest.raises(ConfigurationError, match=r"neither ONNX graphs nor .* pickles"):
        pull(hub, store, "old/model")
    assert "pytorch_model.bin" not in hub.asked_files()


def test_an_interrupted_download_continues(hub: ModelHub, store: ModelStore) -> None:
    hub.breaks["onnx/vision_model.onnx"] = [100_000, 1, 50_000]
    model = pull(hub, store)
    assert (model.folder / "onnx/vision_model.onnx").read_bytes() == GRAPH
    assert hub.ranges() == ["bytes=100000-", "bytes=100001-", "bytes=150001-"]


def test_a_pull_continues_the_one_before_and_nothing_partial_is_a_model(
    hub: ModelHub, store: ModelStore
) -> None:
    hub.breaks["onnx/vision_model.onnx"] = [200_000, 0, 0, 0]
    with pytest.raises(ModelUnavailableError, match="cannot be reached"):
        pull(hub, store)
    assert store.installed() == []
    assert store.find("clip-vit-b-32") is None
    assert len(list((store.folder / ".partial").rglob("vision_model.onnx.partial"))) == 1
    hub.asked.clear()
    model = pull(hub, store)
    assert (model.folder / "onnx/vision_model.onnx").read_bytes() == GRAPH
    assert hub.ranges() == ["bytes=200000-"]


def test_a_hub_that_ignores_ranges_sends_the_file_again(hub: ModelHub, store: ModelStore) -> None:
    hub.ignores_ranges = True
    hub.breaks["onnx/vision_model.onnx"] = [100_000]
    model = pull(hub, store)
    assert (model.folder / "onnx/vision_model.onnx").read_bytes() == GRAPH


@pytest.mark.parametrize("name", ["onnx/text_model.onnx", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"other graph", b"{", b"text graph and more"])
def test_a_file_with_another_hash_is_not_installed(
    hub: ModelHub, store: ModelStore, name: str, content: bytes
) -> None:
    hub.replaced[name] = content
    with pytest.raises((ConfigurationError, ModelUnavailableError)):
        pull(hub, store)
    assert store.installed() == []
    del hub.replaced[name]
    assert pull(hub, store).record.files[name].size == len(FILES[name])


def test_a_damaged_partial_file_is_loaded_again(hub: ModelHub, store: ModelStore) -> None:
    hub.breaks["onnx/vision_model.onnx"] = [200_000, 0, 0, 0]
    with pytest.raises(ModelUnavailableError):
        pull(hub, store)
    (partial,) = (store.folder / ".partial").rglob("vision_model.onnx.partial")
    partial.write_bytes(b"x" * 200_000)
    assert (pull(hub, store).folder / "onnx/vision_model.onnx").read_bytes() == GRAPH


def test_a_file_that_a_mirror_announces_with_another_hash_is_not_read(
    hub: ModelHub, store: ModelStore
) -> None:
    hub.announced["onnx/vision_model.onnx"] = "a" * 64
    with pytest.raises(ConfigurationError, match=r"vision_model\.onnx' does not have the hash"):
        pull(hub, store)
    (partial,) = (store.folder / ".partial").rglob("vision_model.onnx*")
    assert partial.stat().st_size == 0


def test_another_commit_replaces_the_model_and_its_partial_files(
    hub: ModelHub, store: ModelStore
) -> None:
    first = pull(hub, store)
    hub.commit = "d" * 40
    hub.repositories[REPOSITORY]["onnx/text_model.onnx"] = b"new text graph"
    hub.breaks["onnx/vision_model.onnx"] = [10, 0, 0, 0]
    with pytest.raises(ModelUnavailableError):
        pull(hub, store)
    assert store.find("clip-vit-b-32") == first
    hub.commit = "e" * 40
    second = pull(hub, store)
    assert second.record.revision == "e" * 40
    assert (second.folder / "onnx/text_model.onnx").read_bytes() == b"new text graph"
    assert not list((store.folder / ".partial").glob("*@*"))


def test_a_pinned_commit_that_is_complete_needs_no_hub(hub: ModelHub, store: ModelStore) -> None:
    model = pull(hub, store, revision="v1")
    request = PullRequest.parse("clip-vit-b-32", model_hub.COMMIT)
    assert find_pulled(store, request, request.revision) == model
    assert find_pulled(store, request, "a" * 40) is None
    (model.folder / "onnx/text_model.onnx").write_bytes(b"cut")
    assert find_pulled(store, request, request.revision) is None
    with pytest.raises(ConfigurationError, match="has no revision 'v9'"):
        pull(hub, store, revision="v9")


def test_a_gated_model_asks_for_the_license_and_a_token(hub: ModelHub, store: ModelStore) -> None:
    hub.gated = True
    with pytest.raises(ConfigurationError, match=r"is gated\. Accept its license on .*HF_TOKEN\.$"):
        pull(hub, store)
    with pytest.raises(ConfigurationError, match="the one that is set has no access"):
        pull(hub, store, token="hf_wrong")
    pull(hub, store, token=hub.token)


def test_the_token_is_sent_to_the_hub_only(hub: ModelHub, store: ModelStore) -> None:
    pull(hub, store, token=hub.token)
    sent = {path.split("/")[1]: "authorization" in headers for _, path, headers in hub.asked}
    assert sent == {"api": True, "Xenova": True, "lfs": False}


def test_a_missing_repository_is_an_error(hub: ModelHub, store: ModelStore) -> None:
    with pytest.raises(ConfigurationError, match=r"'no/model' does not exist on .*HF_TOKEN"):
        pull(hub, store, "no/model")


@pytest.mark.parametrize("name", ["clip-vit-b32", "siglip2", "clip vit", "a/b/c", "../x", "a--b/c"])
def test_a_wrong_name_is_an_error_with_the_names(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"Available: 'bge-m3'.*'clip-vit-b-32'"):
        PullRequest.parse(name)


def test_a_small_disk_is_found_before_the_download(hub: ModelHub, store: ModelStore) -> None:
    hub.sizes["onnx/vision_model.onnx"] = 10**18
    with pytest.raises(ConfigurationError, match=r"needs 953,674,[\d,]+ MiB more .*DATA_DIR"):
        pull(hub, store)
    assert hub.asked_files() == []


def test_without_a_network_the_error_says_how_to_copy_the_folder(store: ModelStore) -> None:
    hub = ModelHub(url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ModelUnavailableError, match=r"HF_ENDPOINT.*copy the folder.*local-dir:"):
        pull(hub, store)


def test_an_answer_that_is_no_hub_is_an_error(hub: ModelHub, store: ModelStore) -> None:
    hub.commit = "a login page"
    with pytest.raises(ModelUnavailableError, match=r"not as a model hub does.*proxy"):
        pull(hub, store)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_ENDPOINT", "http://[::"),
        ("HF_TOKEN", "hf_s\u00e9cret"),
        ("HTTPS_PROXY", "socks9://user:secret@proxy"),
    ],
)
def test_an_invalid_variable_is_an_error_without_secrets(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"{name}.* cannot be used") as caught:
        HubClient.from_environment(os.environ)
    assert "cret" not in str(caught.value)


def test_an_endless_answer_is_not_read(hub: ModelHub, store: ModelStore) -> None:
    hub.extra_info = b" " * (33 << 20)
    with pytest.raises(ModelUnavailableError, match=r"not as a model hub does \(more than 32 MiB"):
        pull(hub, store)
    hub.extra_info, hub.encode, hub.encoding = b"", gzip.compress, "br"
    with pytest.raises(ModelUnavailableError, match=r"compressed as 'br'"):
        pull(hub, store)
    hub.encoding = "gzip"
    with HubClient(hub.url) as client:
        assert plan_pull(client, PullRequest.parse("clip-vit-b-32")).files


def test_the_contents_of_redirects_are_not_read(hub: ModelHub, store: ModelStore) -> None:
    hub.is_redirect_endless = True
    assert (pull(hub, store).folder / "onnx/vision_model.onnx").read_bytes() == GRAPH


def test_redirects_without_end_are_an_error(hub: ModelHub, store: ModelStore) -> None:
    hub.storage = f"{hub.url}/loop"
    with pytest.raises(ModelUnavailableError, match="TooManyRedirects"):
        pull(hub, store)


def test_the_record_of_an_uploaded_export_is_not_pulled(hub: ModelHub, store: ModelStore) -> None:
    hub.repositories[REPOSITORY]["sightline_model.json"] = b'{"name": "of another machine"}'
    model = pull(hub, store)
    assert "sightline_model.json" not in model.record.files
    assert list(model.record.damaged_files(model.folder)) == []


def test_two_pulls_of_a_model_at_once_are_refused(hub: ModelHub, store: ModelStore) -> None:
    with (
        store.unfinished("clip-vit-b-32", "x"),
        pytest.raises(ConfigurationError, match="Another process is changing"),
    ):
        pull(hub, store)


def test_files_are_private(hub: ModelHub, store: ModelStore) -> None:
    old = os.umask(0)
    try:
        model = pull(hub, store)
    finally:
        os.umask(old)
    assert {oct(each.stat().st_mode & 0o777) for each in model.folder.rglob("*.*")} == {"0o600"}


def test_a_removed_model_is_gone(hub: ModelHub, store: ModelStore) -> None:
    folder = pull(hub, store).folder
    size = sum(each.stat().st_size for each in folder.rglob("*.*"))
    assert store.remove("clip-vit-b-32") == size
    assert store.installed() == []
    with pytest.raises(UnknownNameError, match=r"installed model 'clip-vit-b-32'.*none yet"):
        store.remove("clip-vit-b-32")


def test_what_an_interrupted_pull_has_left_can_be_removed(hub: ModelHub, store: ModelStore) -> None:
    hub.breaks["onnx/vision_model.onnx"] = [200_000, 0, 0, 0]
    with pytest.raises(ModelUnavailableError):
        pull(hub, store)
    assert store.remove("clip-vit-b-32") >= 200_000
    assert not list((store.folder / ".partial").glob("*@*"))


def test_a_model_with_an_unreadable_record_can_be_removed(hub: ModelHub, store: ModelStore) -> None:
    folder = pull(hub, store).folder
    (folder / "sightline_model.json").write_bytes(b"{")
    store.remove("clip-vit-b-32")
    assert not folder.exists()


def test_of_a_linked_model_only_the_link_is_removed_and_replaced(
    hub: ModelHub, store: ModelStore, tmp_path: Path
) -> None:
    moved = pull(hub, store).folder.rename(tmp_path / "other disk")
    link = store.folder / "clip-vit-b-32"
    link.symlink_to(moved)
    store.remove("clip-vit-b-32")
    assert not link.is_symlink()
    link.symlink_to(moved)
    assert not pull(hub, store).folder.is_symlink()
    assert (moved / "onnx/vision_model.onnx").read_bytes() == GRAPH
    assert not list((store.folder / ".partial").glob("*@*"))


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/outside", "a/b/c", "a--b/c"])
def test_a_name_that_is_a_path_removes_nothing(
    name: str, store: ModelStore, tmp_path: Path
) -> None:
    record = ModelRecord(
        name="c",
        kind="sentence",
        precision="fp32",
        license="MIT",
        files={"config.json": FileRecord(size=0, sha256="")},
    )
    for folder in (tmp_path / "outside", store.folder / "a--b--c"):
        folder.mkdir(parents=True)
        record.write(folder)
    with pytest.raises(UnknownNameError):
        store.remove(name)
    assert (tmp_path / "outside").is_dir()
    assert (store.folder / "a--b--c").is_dir()
