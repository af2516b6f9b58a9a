"""Pulls a model: chooses files, checks the disk, downloads, verifies, publishes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from sightline.server.models.catalog import CATALOG, CatalogModel, GraphPrecision, ModelKind
from sightline.server.models.hub.file_download import download_file
from sightline.server.models.hub.hub_client import HubClient, HubFile, HubRevision
from sightline.server.models.model_files import load_json
from sightline.server.models.onnx_files import GRAPH_SUFFIXES, choose_graphs, with_data
from sightline.server.models.store.model_record import RECORD_FILE, EncodingOptions, ModelRecord
from sightline.server.models.store.model_store import (
    InstalledModel,
    ModelStore,
    installed_name,
    is_repository,
)
from sightline.storage.errors import ConfigurationError, UnknownNameError, choices

_GRAPHS: Final = (("vision_model", "text_model"), ("model",))
_WEIGHTS: Final = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "model.safetensors",
)
_SETTINGS: Final = (".json",)
_TOKENIZERS: Final = (
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
#: Lists of the parts of weights that are not downloaded, statistics, and the record of an export.
_IGNORED: Final = (
    "index.json",
    "quantize_config.json",
    "quant_config.json",
    "onnx_config.json",
    RECORD_FILE,
)
_SPARE_BYTES: Final = 64 << 20
_MAX_SETTINGS_BYTES: Final = 64 << 20

Report = Callable[[int, int], None]
"""Receives the bytes that are there, and those of all files."""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """What to pull; ``name`` is that of the installed model."""

    name: str
    repository: str
    revision: str
    precision: GraphPrecision
    model: CatalogModel | None

    @classmethod
    def parse(
        cls, name: str, revision: str | None = None, precision: GraphPrecision = "fp32"
    ) -> PullRequest:
        """Accept a name of the catalog, or any ``OWNER/MODEL``.

        Raises UnknownNameError for other names.
        """
        revision = revision or "main"
        for each in CATALOG:
            if name == each.name:
                own = installed_name(each.name, precision)
                return cls(own, each.repository, revision, precision, each)
        repository = name.removeprefix("hf-hub:")
        if not is_repository(repository):
            names = [each.name for each in CATALOG]
            raise UnknownNameError("model", name, names, hint="Or name OWNER/MODEL on the hub.")
        model = next((each for each in CATALOG if each.repository == repository), None)
        return cls(installed_name(repository, precision), repository, revision, precision, model)


@dataclass(frozen=True, slots=True)
class PullPlan:
    """The files of a commit that are needed, by their path in the folder of the model."""

    request: PullRequest
    revision: HubRevision
    files: dict[str, HubFile]

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(each.size for each in self.files.values())

    @property
    def license(self) -> str:
        """Return the license: that of the catalog, or of the model card."""
        if self.request.model is not None:
            return self.request.model.license
        return self.revision.license or "unknown: read the model card"


def plan_pull(client: HubClient, request: PullRequest) -> PullPlan:
    """Ask the hub for the files.

    Raises ConfigurationError if it has none that run here, and ModelUnavailableError.
    """
    revision = client.revision(request.repository, request.revision)
    return PullPlan(request, revision, choose_files(revision, request))


def pull_model(
    client: HubClient, plan: PullPlan, store: ModelStore, report: Report
) -> InstalledModel:
    """Download what is missing and publish the model.

    Raises ConfigurationError if the disk is too small or a file is not what the hub lists, and
    ModelUnavailableError if the hub cannot be reached; then the next call continues.
    """
    request = plan.request
    with store.unfinished(request.name, plan.revision.commit) as folder:
        _check_disk(folder, plan)
        done = 0

        def advance(size: int) -> None:
            nonlocal done
            done += size
            report(done, plan.size)

        records = {
            name: download_file(client, plan.revision, file, folder / name, advance)
            for name, file in plan.files.items()
        }
        record = ModelRecord(
            name=request.repository if request.model is None else request.model.name,
            kind=_kind(folder, plan),
            precision=request.precision,
            license=plan.license,
            repository=request.repository,
            revision=plan.revision.commit,
            options=EncodingOptions(**(request.model.options if request.model else {})),
            files=records,
        )
        record.write(folder)
        return InstalledModel(store.publish(folder, request.name), record)


def find_pulled(store: ModelStore, request: PullRequest, commit: str) -> InstalledModel | None:
    """Return the installed model if it is complete and of the commit."""
    model = store.find(request.name)
    if model is None or model.record.revision != commit:
        return None
    return None if any(model.record.damaged_files(model.folder)) else model


def choose_files(revision: HubRevision, request: PullRequest) -> dict[str, HubFile]:
    """Return the needed files: graphs or weights, settings and tokenizers.

    Never pickles or Python code. Raises ConfigurationError if there is no graph of the precision,
    and UnknownNameError for a precision that others of its graphs have.
    """
    prefix = f"{request.model.subfolder}/" if request.model and request.model.subfolder else ""
    # Files of the subfolder replace those of the same name above it.
    files = {path: file for path, file in revision.files.items() if _is_safe(path)}
    files |= {
        path.removeprefix(prefix): file for path, file in files.items() if path.startswith(prefix)
    }
    weights = _graph_files(files, request.precision) or _weight_files(files, request)
    return weights | {
        path: file
        for path, file in files.items()
        if _is_setting(path) and file.size <= _MAX_SETTINGS_BYTES
    }


def _graph_files(files: dict[str, HubFile], precision: GraphPrecision) -> dict[str, HubFile]:
    """Return the graphs of a precision with their external data; empty for none."""
    for stems in _GRAPHS:
        graphs = choose_graphs(files, stems, [precision])
        if graphs:
            return {path: files[path] for path in with_data(files, graphs)}
    return {}


def _weight_files(files: dict[str, HubFile], request: PullRequest) -> dict[str, HubFile]:
    """Return the weights for torch. Raises ConfigurationError if nothing runs here."""
    available = [each for each in GRAPH_SUFFIXES if _graph_files(files, each)]
    if request.precision != "fp32":
        raise ConfigurationError(
            f"{request.repository!r} has no ONNX graphs of the precision {request.precision}. "
            f"Available: {choices(available)}. `sightline models export --precision "
            f"{request.precision}` converts a model."
        )
    weights = next((each for each in _WEIGHTS if each in files), None)
    if weights is not None:
        return {weights: files[weights]}
    if available:
        raise ConfigurationError(
            f"{request.repository!r} has ONNX graphs of another precision only. "
            f"Use --precision {' or '.join(available)}."
        )
    raise ConfigurationError(
        f"{request.repository!r} has neither ONNX graphs nor one file of safetensors. Sightline "
        "loads no other weights: pickles can run code. Look for a repository with ONNX files, such "
        "as those of onnx-community."
    )


def _is_safe(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return (
        bool(parts)
        and path == "/".join(parts)
        and not any(part.startswith((".", "~")) or "\\" in part or ":" in part for part in parts)
    )


def _is_setting(path: str) -> bool:
    name = PurePosixPath(path)
    if name.name.endswith(_IGNORED):
        return False
    # Sentence encoders have folders such as 1_Pooling.
    is_module = len(name.parts) == 2 and name.parts[0][:1].isdigit() and name.name == "config.json"
    is_top = len(name.parts) == 1
    return is_module or (is_top and (name.suffix in _SETTINGS or name.name in _TOKENIZERS))


def _kind(folder: Path, plan: PullPlan) -> ModelKind:
    if plan.request.model is not None:
        return plan.request.model.kind
    config: Any = load_json(folder / "config.json") or {}
    names = {PurePosixPath(path).name for path in plan.files}
    if "open_clip_config.json" in names or "vision_config" in config:
        return "image-text"
    if any("SequenceClassification" in str(each) for each in config.get("architectures") or ()):
        return "reranker"
    return "sentence"


def _check_disk(folder: Path, plan: PullPlan) -> None:
    """Raise ConfigurationError if the missing bytes do not fit."""
    there = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    needed = max(0, plan.size - there) + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigurationError(
            f"{plan.request.name!r} needs {needed >> 20:,} MiB more in {str(folder.parent)!r}, "
            f"which has {free >> 20:,} MiB. Free some, or set SIGHTLINE_DATA_DIR to another disk."
        )
