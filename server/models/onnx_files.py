"""Finds ONNX graphs in a model folder, by the names that exporters give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Final

from sightline.server.config.settings import EncoderSettings
from sightline.server.models.catalog import GraphPrecision
from sightline.storage.import_lock import import_lock

#: In the order of preference: names of the exporter of transformers.js, and of optimum.
GRAPH_SUFFIXES: Final[Mapping[GraphPrecision, tuple[str, ...]]] = {
    "fp32": ("",),
    "fp16": ("_fp16",),
    "int8": ("_int8", "_quantized", "_uint8"),
}
#: Ends of the names of files with the weights of a graph, which may have a number.
DATA_SUFFIXES: Final = ("_data", ".data")
_FOLDERS: Final = ("", "onnx/")


def choose_graphs(
    files: Iterable[str], stems: Iterable[str], precisions: Iterable[GraphPrecision]
) -> list[str]:
    """Return the paths of one graph per stem, of one precision; empty for none.

    >>> choose_graphs(["onnx/model_int8.onnx"], ["model"], ["fp32", "int8"])
    ['onnx/model_int8.onnx']
    """
    known, stems = set(files), list(stems)
    for precision, folder in product(precisions, _FOLDERS):
        for suffix in GRAPH_SUFFIXES[precision]:
            graphs = [f"{folder}{stem}{suffix}.onnx" for stem in stems]
            if known.issuperset(graphs):
                return graphs
    return []


def with_data(files: Iterable[str], graphs: Iterable[str]) -> list[str]:
    """Return the graphs and the files with their weights."""
    chosen = list(graphs)
    data = tuple(f"{graph}{end}" for graph in chosen for end in DATA_SUFFIXES)
    return [each for each in files if each in chosen or each.startswith(data)]


def find_graphs(folder: Path, stems: Iterable[str], *, has_weights: bool = False) -> list[Path]:
    """Return one graph of a folder per stem, of the highest precision it has.

    Beside weights for torch only in fp32, because both must give the same vectors.
    """
    names = [str(each.relative_to(folder)) for each in folder.glob("*.onnx")]
    names += [str(each.relative_to(folder)) for each in folder.glob("onnx/*.onnx")]
    precisions: list[GraphPrecision] = ["fp32"] if has_weights else [*GRAPH_SUFFIXES]
    return [folder / each for each in choose_graphs(names, stems, precisions)]


def weight_files(graph: Path) -> list[Path]:
    """Return a graph and the files beside it with its weights, by name."""
    names = (each.name for each in graph.parent.iterdir())
    return [graph.parent / each for each in sorted(with_data(names, [graph.name]))]


def uses_onnx(settings: EncoderSettings, *, has_weights: bool = True) -> bool:
    """Return whether a folder with graphs runs on ONNX Runtime.

    Without weights for torch it does, on any setting but the engine open_clip.
    """
    if settings.engine != "auto":
        return settings.engine == "onnx"
    if not has_weights:
        return True
    with import_lock:
        from sightline.server.models.onnx_runtime import has_device

    return settings.precision in ("auto", "fp32") and has_device(settings.device)
