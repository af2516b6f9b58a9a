"""Copies in a lower precision are smaller, and give nearly the same vectors on a CPU."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from sightline.server.models.image_text.checkpoint import IMAGE_GRAPH, TEXT_GRAPH
from sightline.server.models.image_text.image_text_encoder import BUILTIN_FOLDER
from sightline.server.models.onnx_runtime import open_session
from sightline.server.models.quantization import Precision, quantize
from sightline.storage.errors import ConfigurationError

GRAPHS = {
    IMAGE_GRAPH: {"pixel_values": np.random.default_rng(5).random((3, 3, 160, 160), np.float32)},
    TEXT_GRAPH: {"input_ids": np.arange(30).reshape(3, 10)},
}


def vectors(graph: Path, name: str) -> npt.NDArray[np.float32]:
    session = open_session(graph, device="cpu", threads=1)
    (rows,) = session.run(None, GRAPHS[name])
    unit: npt.NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize(
    ("precision", "largest_size", "least_cosine"), [("int8", 0.5, 0.999), ("fp16", 0.6, 0.999999)]
)
def test_a_copy_is_smaller_and_gives_nearly_the_same_vectors(
    name: str, precision: Precision, largest_size: float, least_cosine: float, tmp_path: Path
) -> None:
    target = tmp_path / "copy.onnx"

    quantize(BUILTIN_FOLDER / name, target, precision)

    onnx.checker.check_model(target, full_check=True)
    assert sorted(tmp_path.iterdir()) == [target]
    model = onnx.load(target)
    values = sum(np.prod(each.dims, dtype=int) for each in model.graph.initializer)
    assert target.stat().st_size < largest_size * 4 * values
    cosines = (vectors(BUILTIN_FOLDER / name, name) * vectors(target, name)).sum(axis=1)
    assert cosines.min() > least_cosine


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigurationError, match=r"needs onnx.*sightline-mcp\[gpu\]"):
        quantize(BUILTIN_FOLDER / TEXT_GRAPH, tmp_path / "copy.onnx", "int8")


def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(ConfigurationError, match=r"broken\.onnx' cannot be written in int8"):
        quantize(broken, tmp_path / "copy.onnx", "int8")
