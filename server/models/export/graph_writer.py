"""Write ONNX graphs of torch modules. Needs onnx and onnxscript.

The graphs contain no weights: they refer to the tensors in a safetensors file, so that torch and
ONNX Runtime read the same numbers and a model folder stays small.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx
import torch
from torch import nn

from sightline.storage.files import write_private

_HEADER_BYTES: Final = 8
_TYPES: Final = {
    "F16": onnx.TensorProto.FLOAT16,
    "BF16": onnx.TensorProto.BFLOAT16,
    "F32": onnx.TensorProto.FLOAT,
}

Shapes = Sequence[Mapping[int, Any]]
"""The dynamic axes of each input."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a safetensors file; ``offset`` and ``length`` are in bytes."""

    file: str
    type: int
    shape: Sequence[int]
    offset: int
    length: int


def stored_tensors(weights: Path) -> dict[str, StoredTensor]:
    """Return the floating-point tensors of a safetensors file by name."""
    with weights.open("rb") as file:
        size = int.from_bytes(file.read(_HEADER_BYTES), "little")
        header = json.loads(file.read(size))
    start = _HEADER_BYTES + size
    found = {}
    for name, each in header.items():
        if name != "__metadata__" and each["dtype"] in _TYPES:
            first, end = each["data_offsets"]
            found[name] = StoredTensor(
                weights.name, _TYPES[each["dtype"]], each["shape"], start + first, end - first
            )
    return found


@torch.no_grad()
def write_graph(
    path: Path,
    module: nn.Module,
    examples: Sequence[torch.Tensor],
    dynamic: Shapes,
    outputs: Sequence[str],
    tensors: Mapping[str, StoredTensor],
) -> None:
    """Write the graph of a module beside its weights.

    The inputs have the names of the arguments of ``forward``. ``tensors`` are those of the module's
    parameters by their names; others are stored in the graph.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own internals
        # Unoptimized: every weight keeps its name. ONNX Runtime optimizes when it loads.
        program: Any = torch.onnx.export(
            module,
            tuple(examples),
            dynamo=True,
            dynamic_shapes=tuple(dynamic),
            output_names=list(outputs),
            optimize=False,
            verbose=False,
        )
    model = program.model_proto
    graph = model.graph
    values, nodes = list(graph.initializer), list(graph.node)
    for field in (graph.initializer, graph.node, graph.value_info, model.metadata_props):
        del field[:]
    for value in values:
        stored = tensors.get(value.name)
        if stored is None:
            graph.initializer.append(value)
            continue
        source = f"{value.name}.stored"
        graph.initializer.append(_reference(source, stored))
        # Loading converts half precision once.
        cast = onnx.helper.make_node("Cast", [source], [value.name], to=onnx.TensorProto.FLOAT)
        graph.node.append(cast)
    for node in nodes:
        node.doc_string = ""
        del node.metadata_props[:]
        graph.node.append(node)
    write_private(path, model.SerializeToString(deterministic=True))


def write_standalone(
    path: Path,
    module: nn.Module,
    examples: Sequence[torch.Tensor],
    dynamic: Shapes,
    outputs: Sequence[str],
) -> None:
    """Write the graph of a module, and its weights into ``PATH.data`` beside it."""
    from safetensors.torch import save_file

    weights = path.with_name(f"{path.name}.data")
    state = module.state_dict()
    save_file({name: value.detach().clone().contiguous() for name, value in state.items()}, weights)
    write_graph(path, module, examples, dynamic, outputs, stored_tensors(weights))


def _reference(name: str, stored: StoredTensor) -> onnx.TensorProto:
    tensor = onnx.TensorProto(
        name=name,
        data_type=stored.type,
        dims=stored.shape,
        data_location=onnx.TensorProto.EXTERNAL,
    )
    for key, value in (
        ("location", stored.file),
        ("offset", str(stored.offset)),
        ("length", str(stored.length)),
    ):
        tensor.external_data.add(key=key, value=value)
    return tensor
