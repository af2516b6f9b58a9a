"""``sightline models list | pull | export | remove``."""

from __future__ import annotations

import argparse
import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.server.config import load_settings
from sightline.server.observability import terminal
from sightline.server.observability.terminal import write_lines

if TYPE_CHECKING:
    from sightline.server.models.store.model_store import InstalledModel

_PRECISIONS = ("fp32", "fp16", "int8")
_MIB = 1 << 20
_SETTINGS = {
    "image-text": "SIGHTLINE_ENCODER__MODEL",
    "sentence": "SIGHTLINE_ENCODER__PASSAGE_MODEL",
    "reranker": "SIGHTLINE_RERANKER__MODEL",
}
_KINDS = {
    "image-text": "Encoders of images and texts",
    "sentence": "Encoders of passages",
    "reranker": "Rerankers",
}


def configure_models(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    help_ = "list the models of the catalog and those on this machine"
    parser = kinds.add_parser("list", help=help_, description=help_)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    help_ = "download a model from the hub (HF_ENDPOINT, HF_TOKEN, HTTPS_PROXY)"
    parser = kinds.add_parser("pull", help=help_, description=help_)
    parser.add_argument("name", help="name in the catalog, or OWNER/MODEL on the hub")
    parser.add_argument(
        "--revision", help="commit, tag or branch of the repository (default: main)"
    )
    parser.add_argument("--precision", choices=_PRECISIONS, default="fp32")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print JSON")
    help_ = "convert a model folder to ONNX and compare both (needs the extra gpu)"
    parser = kinds.add_parser("export", help=help_, description=help_)
    parser.add_argument(
        "folder",
        type=Path,
        help="folder of open_clip, sentence-transformers or a cross-encoder, or a pulled model",
    )
    parser.add_argument("--out", type=Path, help="new folder (default: in the data folder)")
    parser.add_argument("--precision", choices=_PRECISIONS, default="fp32")
    parser.add_argument("--texts", type=Path, help="file with one text per line to compare with")
    parser.add_argument("--images", type=Path, help="folder of images to compare with")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
    help_ = "delete a model from this machine"
    parser = kinds.add_parser("remove", help=help_, description=help_)
    parser.add_argument("name", help="name in `sightline models list`")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_models(arguments: argparse.Namespace) -> None:
    """Run the chosen action."""
    actions = {"list": _list, "pull": _pull, "export": _export, "remove": _remove}
    actions[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> None:
    from sightline.server.models.catalog import CATALOG, DETECTORS
    from sightline.server.models.store.model_store import ModelStore, installed_name

    store = ModelStore(load_settings().data_dir)
    installed = store.installed()
    if arguments.json:
        terminal.write_json(
            {
                "catalog": [each.summary() for each in CATALOG],
                "detectors": [each.summary() for each in DETECTORS],
                "installed": [_summary(each) for each in installed],
            }
        )
        return
    for kind, setting in _SETTINGS.items():
        models = [each for each in CATALOG if each.kind == kind]
        write_lines(f"{_KINDS[kind]} ({setting}):")
        terminal.write_table(
            ("model", "disk MiB", "memory MiB", "languages", "license"),
            [
                (
                    each.name,
                    f"{each.disk_mib():,}",
                    f"{each.memory_mib():,}",
                    each.languages,
                    each.license,
                )
                for each in models
            ],
            whole=("model",),
        )
        write_lines("")
    write_lines("Disk and memory are estimates for fp32; fp16 takes half, int8 a quarter.", "")
    terminal.write_table(
        ("model", "published figure"),
        [(each.name, f"{each.figure}. {each.note}".rstrip(". ") + ".") for each in CATALOG],
        whole=("model",),
    )
    write_lines("", "Detectors (SIGHTLINE_DETECTOR__MODEL, `hf download MODEL`, extra gpu):")
    terminal.write_table(
        ("model", "million parameters", "license", "note"),
        [
            (each.repository, f"{each.parameters_millions:g}", each.license, each.note)
            for each in DETECTORS
        ],
        whole=("model",),
    )
    if installed:
        write_lines("", "On this machine:")
        terminal.write_table(
            ("name", "kind", "precision", "MiB", "from", "state"),
            [
                (
                    each.folder.name,
                    each.record.kind,
                    each.record.precision,
                    f"{each.record.size / _MIB:,.0f}",
                    _origin(each),
                    _state(each),
                )
                for each in installed
            ],
            whole=("name",),
        )
    example = installed_name(CATALOG[0].name)
    write_lines("", f"Use one: sightline models pull {example}, then set {_SETTINGS['image-text']}")


def _pull(arguments: argparse.Namespace) -> None:
    with terminal.lines_on_stderr() if arguments.json else nullcontext():
        model, is_new = _pulled(arguments)
    if arguments.json:
        terminal.write_json({**_summary(model), "is_new": is_new})


def _pulled(arguments: argparse.Namespace) -> tuple[InstalledModel, bool]:
    """Return the model, and whether it was downloaded now."""
    from sightline.server.models.hub.hub_client import HubClient
    from sightline.server.models.hub.pull import PullRequest, find_pulled, plan_pull, pull_model
    from sightline.server.models.store.model_store import ModelStore

    request = PullRequest.parse(arguments.name, arguments.revision, arguments.precision)
    store = ModelStore(load_settings().data_dir)
    # Of a pinned commit nothing can be new, so the hub is not asked.
    model = find_pulled(store, request, request.revision)
    if model is not None:
        _write_complete(model)
        return model, False
    with HubClient.from_environment(os.environ) as client:
        plan = plan_pull(client, request)
        model = find_pulled(store, request, plan.revision.commit)
        if model is not None:
            _write_complete(model)
            return model, False
        write_lines(
            f"{request.repository} at {plan.revision.commit[:12]}, {plan.size / _MIB:,.0f} MiB",
            f"license: {plan.license}",
        )
        is_shown = not arguments.quiet and not arguments.json
        with terminal.progress_bar(shown=is_shown) as update_bar:
            model = pull_model(
                client,
                plan,
                store,
                lambda done, total: update_bar(
                    "downloading (MiB)", -(-done // _MIB), -(-total // _MIB), ""
                ),
            )
    write_lines(f"verified and installed: {model.folder}")
    _write_use(model)
    return model, True


def _export(arguments: argparse.Namespace) -> None:
    from sightline.server.cli.model_commands import export_command

    export_command.run(arguments, load_settings().data_dir)


def _remove(arguments: argparse.Namespace) -> None:
    from sightline.server.models.store.model_store import ModelStore

    size = ModelStore(load_settings().data_dir).remove(arguments.name)
    if arguments.json:
        terminal.write_json({"removed": arguments.name, "bytes": size})
    else:
        write_lines(f"removed {arguments.name}, {size / _MIB:,.0f} MiB")


def _write_complete(model: InstalledModel) -> None:
    write_lines(f"{model.folder.name} is complete: {model.folder}")


def _write_use(model: InstalledModel) -> None:
    record = model.record
    is_whole_name = record.repository == record.name and record.precision == "fp32"
    name = record.name if is_whole_name else model.folder.name
    write_lines(f"use it: export {_SETTINGS[record.kind]}={name}")
    if not any(each.endswith(".onnx") for each in record.files):
        write_lines(
            "it has no ONNX graphs: it needs torch (pip install 'sightline-mcp[gpu]'), or convert "
            f"it with: sightline models export {name}"
        )


def _summary(model: InstalledModel) -> dict[str, Any]:
    record = model.record.model_dump(exclude={"files"}, exclude_none=True)
    return {
        **record,
        "name": model.folder.name,
        "model": model.record.name,
        "folder": str(model.folder),
        "bytes": model.record.size,
        "state": _state(model),
    }


def _origin(model: InstalledModel) -> str:
    record = model.record
    if record.source is not None:
        return f"export of {record.source.name}"
    return f"{record.repository}@{(record.revision or '')[:12]}"


def _state(model: InstalledModel) -> str:
    damaged = list(model.record.damaged_files(model.folder))
    return f"damaged: {', '.join(damaged)}" if damaged else "complete"
