from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
