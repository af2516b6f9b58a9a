from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from sightline.server.models.onnx_runtime import open_session
from sightline.storage.errors import ConfigurationError

_PROGRAM = """
import sys
from importlib import import_module
import_module(sys.argv[1])
import onnxruntime
onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
"""


@pytest.mark.parametrize("module", ["sightline.server.models.onnx_runtime", "sightline.storage"])
def test_onnx_runtime_keeps_no_device_id_and_reports_nothing(module: str, tmp_path: Path) -> None:
    """Its telemetry writes a device id and a queue of events into the cache of the user."""
    from rapidocr import __file__ as package

    model = next(Path(package).parent.rglob("*det*.onnx"))
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    environment |= {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}

    subprocess.run(
        [sys.executable, "-c", _PROGRAM, module, str(model)], env=environment, check=True
    )

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("location", ["../outside", "{folder}/outside", "link"])
def test_weights_outside_of_the_model_are_not_read(location: str, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(bytes(16))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "link").symlink_to(tmp_path / "outside")
    tensor = onnx.TensorProto(
        name="weights",
        data_type=onnx.TensorProto.FLOAT,
        dims=[4],
        data_location=onnx.TensorProto.EXTERNAL,
    )
    tensor.external_data.add(key="location", value=location.format(folder=tmp_path))
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]) for name in "xy"
    ]
    add = onnx.helper.make_node("Add", ["x", "weights"], ["y"])
    graph = onnx.helper.make_graph([add], "graph", values[:1], values[1:], [tensor])
    path = tmp_path / "model" / "model.onnx"
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ConfigurationError, match="External data path"):
        open_session(path, device="cpu", threads=1)
