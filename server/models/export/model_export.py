"""Exports a model folder to ONNX and measures the agreement with the original.

The new folder is complete: graphs, weights, settings, tokenizer and a record of the source. It runs
without torch.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sightline.server.config.settings import EncoderSettings
from sightline.server.models.catalog import GraphPrecision, ModelKind
from sightline.server.models.export.agreement import (
    Agreement,
    Samples,
    compare_image_text,
    compare_rerankers,
    compare_sentences,
)
from sightline.server.models.export.graph_writer import write_standalone
from sightline.server.models.image_text import image_text_encoder
from sightline.server.models.image_text.checkpoint import CONFIG_FILE, OpenClipFolder
from sightline.server.models.model_files import FingerprintCache, first_line, load_json
from sightline.server.models.quantization import quantize
from sightline.server.models.store.model_record import (
    RECORD_FILE,
    ModelRecord,
    SourceRecord,
    read_record,
    record_file,
)
from sightline.server.models.text import cross_encoder_reranker, passage_encoder
from sightline.server.models.text.sentence_encoder_config import SentenceEncoderFolder
from sightline.storage.errors import ConfigurationError
from sightline.storage.files import write_private
from sightline.storage.interfaces import EncoderIdentity

#: Vectors that differ less are the same embedding space.
SAME_SPACE_DIFFERENCE: Final = 1e-4
_COPIED: Final = (".json", ".txt", ".model", ".npz")
_TORCH: Final = EncoderSettings(device="cpu", precision="fp32", engine="open_clip")
_ONNX: Final = EncoderSettings(device="cpu", engine="onnx")


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """A new folder with its record, and how well it agrees with the original."""

    record: ModelRecord
    agreement: Agreement


def kind_of(folder: Path) -> ModelKind:
    """Return what a folder contains.

    Raises ConfigurationError if it cannot be exported.
    """
    if (folder / CONFIG_FILE).is_file():
        return "image-text"
    config = load_json(folder / "config.json")
    if not isinstance(config, dict) and not (folder / "modules.json").is_file():
        raise ConfigurationError(
            f"{str(folder)!r} is no model folder: it has neither {CONFIG_FILE} (open_clip) nor "
            "config.json or modules.json (sentence-transformers, cross-encoder)."
        )
    names = (config or {}).get("architectures") or ()
    return "reranker" if any("SequenceClassification" in each for each in names) else "sentence"


def export_model(
    source: Path,
    name: str,
    out: Path,
    precision: GraphPrecision,
    samples: Samples,
    data_dir: Path,
) -> ExportedModel:
    """Write the ONNX model into the folder ``out``; ``name`` is that of the source.

    Raises ConfigurationError if the source is incomplete or cannot be converted.
    """
    kind, cache = kind_of(source), FingerprintCache(data_dir)
    own = read_record(source)
    if own is not None:
        shutil.copyfile(source / RECORD_FILE, out / RECORD_FILE)  # it has the prompts
    if kind == "image-text":
        identity, agreement = _export_open_clip(source, name, out, precision, samples, data_dir)
    elif kind == "sentence":
        identity, agreement = _export_sentences(source, name, out, precision, samples, cache)
    else:
        identity, agreement = _export_reranker(source, name, out, precision, samples, cache)
    same = precision == "fp32" and agreement.max_difference <= SAME_SPACE_DIFFERENCE
    files = sorted(each for each in out.rglob("*") if each.is_file() and each.name != RECORD_FILE)
    record = ModelRecord(
        name=name.removeprefix("local-dir:"),
        kind=kind,
        precision=precision,
        license="that of the source" if own is None else own.license,
        source=SourceRecord(
            name=identity.name,
            weights=identity.weights,
            preprocessing=identity.preprocessing,
            max_difference=agreement.max_difference,
            keeps_identity=same and kind != "reranker",
        ),
        files={str(each.relative_to(out)): record_file(each) for each in files},
    )
    if own is not None:
        record = record.model_copy(update={"options": own.options})
    record.write(out)
    return ExportedModel(record, agreement)


def _export_open_clip(
    source: Path,
    name: str,
    out: Path,
    precision: GraphPrecision,
    samples: Samples,
    data_dir: Path,
) -> tuple[EncoderIdentity, Agreement]:
    from sightline.server.models.export.clip_graphs import tower_graphs
    from sightline.server.models.export.clip_vocabulary import write_clip_tokenizer

    folder = OpenClipFolder.open(source)
    original = image_text_encoder.load_model(_TORCH, data_dir, folder, name)
    _copy_settings(source, out)
    text = folder.config["model_cfg"].get("text_cfg") or {}
    if not text.get("hf_tokenizer_name"):
        config = json.loads(json.dumps(folder.config))
        write_clip_tokenizer(out, config)
        write_private(out / CONFIG_FILE, json.dumps(config, indent=1))
    elif not (out / "tokenizer.json").is_file():
        raise ConfigurationError(
            f"{str(source)!r} has no tokenizer.json, which its configuration names as "
            f"{text['hf_tokenizer_name']!r}. Copy it from that model."
        )
    for tower in tower_graphs(source):
        _write(
            out / tower.file,
            precision,
            lambda path, tower=tower: write_standalone(  # type: ignore[misc]
                path, tower.module, [tower.example], [tower.axes], ["embeds"]
            ),
        )
    exported = image_text_encoder.load_model(_ONNX, data_dir, OpenClipFolder.open(out), name)
    return original.identity, compare_image_text(original, exported, samples)


def _export_sentences(
    source: Path,
    name: str,
    out: Path,
    precision: GraphPrecision,
    samples: Samples,
    cache: FingerprintCache,
) -> tuple[EncoderIdentity, Agreement]:
    folder = SentenceEncoderFolder.open(source)
    original = passage_encoder.load_model(folder, name, _TORCH, cache)
    _copy_settings(source, out)
    place = out / folder.transformer.relative_to(source)
    _write_text_graph(folder.transformer, place, precision, is_reranker=False)
    exported = passage_encoder.load_model(SentenceEncoderFolder.open(out), name, _ONNX, cache)
    return original.identity, compare_sentences(original, exported, samples)


def _export_reranker(
    source: Path,
    name: str,
    out: Path,
    precision: GraphPrecision,
    samples: Samples,
    cache: FingerprintCache,
) -> tuple[EncoderIdentity, Agreement]:
    original = cross_encoder_reranker.load_model(source, name, _TORCH)
    _copy_settings(source, out)
    _write_text_graph(source, out, precision, is_reranker=True)
    exported = cross_encoder_reranker.load_model(out, name, _ONNX)
    weights = next(each for each in cross_encoder_reranker.WEIGHTS if (source / each).is_file())
    identity = EncoderIdentity(name, cache.sha256(source / weights), "", 1)
    return identity, compare_rerankers(original, exported, samples)


def _write_text_graph(
    source: Path, out: Path, precision: GraphPrecision, *, is_reranker: bool
) -> None:
    from sightline.server.models.export import text_graphs

    if not (out / "tokenizer.json").is_file():
        text_graphs.write_fast_tokenizer(source, out)
    _write(
        out / text_graphs.TEXT_MODEL,
        precision,
        lambda path: text_graphs.write_text_graph(source, path, is_reranker=is_reranker),
    )


def _write(target: Path, precision: GraphPrecision, write: Callable[[Path], None]) -> None:
    """Write a graph, and convert it to a lower precision."""
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sightline-", dir=target.parent) as folder:
        path = target if precision == "fp32" else Path(folder) / target.name
        try:
            write(path)
        except Exception as error:
            raise ConfigurationError(
                f"{target.name} cannot be written: {first_line(error)}"
            ) from error
        if precision != "fp32":
            quantize(path, target, precision)


def _copy_settings(source: Path, out: Path) -> None:
    """Copy everything but weights and graphs."""
    for file in (*source.glob("*"), *source.glob("*/*")):
        is_list = file.name.endswith(".index.json")
        if file.suffix in _COPIED and file.is_file() and not is_list and file.name != RECORD_FILE:
            target = out / file.relative_to(source)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, target)


def agreement_values(agreement: Agreement) -> dict[str, Any]:
    """Return the figures as JSON values."""
    return {name: getattr(agreement, name) for name in Agreement.__slots__}
