"""ONNX Runtime: sessions on the chosen device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime

from sightline.server.models.model_files import first_line
from sightline.storage.errors import ConfigurationError, UnknownNameError
from sightline.storage.machine import available_cores

_CPU = "CPUExecutionProvider"
#: Providers of each device name. The packages onnxruntime-gpu and onnxruntime-directml add theirs.
_PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "directml": "DmlExecutionProvider",
    "mps": "CoreMLExecutionProvider",
}
_AUTOMATIC = ("cuda", "directml")
_ERRORS_ONLY = 3
# Version 1.31 ends the process with SIGSEGV in it, at a transposed product in half precision.
_CONVOLUTION_LAYOUT = "NchwcTransformer"


def has_device(device: str) -> bool:
    """Return whether the installed ONNX Runtime has a provider for ``device``."""
    name = device.partition(":")[0]
    return name in ("auto", "cpu") or _PROVIDERS.get(name) in _available()


def open_session(
    path: Path, *, device: str, threads: int, is_convolutional: bool = False
) -> onnxruntime.InferenceSession:
    """Load a graph and its weights.

    ``device`` ``auto`` is CUDA or DirectML if the installed ONNX Runtime has it, else the CPU. With
    ``threads`` 0 all cores of this process are used. ``is_convolutional`` makes convolutions of
    float32 graphs faster, and crashes on others. Raises UnknownNameError for a device without
    provider, and ConfigurationError for a file that cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads or available_cores()
    # Spinning threads would starve the workers of an ingest.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    skipped = [] if is_convolutional else [_CONVOLUTION_LAYOUT]
    try:
        return onnxruntime.InferenceSession(
            path, options, providers=_providers(device), disabled_optimizers=skipped
        )
    except UnknownNameError:
        raise
    except Exception as error:
        raise ConfigurationError(f"{str(path)!r} cannot be loaded: {first_line(error)}") from error


def _providers(device: str) -> list[Any]:
    name, _, index = device.partition(":")
    if name == "cpu":
        return [_CPU]
    if name == "auto":
        chosen = [_PROVIDERS[each] for each in _AUTOMATIC if _PROVIDERS[each] in _available()]
        return [*chosen, _CPU]
    if not has_device(device):
        known = [each for each in _PROVIDERS if has_device(each)]
        raise UnknownNameError("device", device, ["auto", "cpu", *known])
    return [(_PROVIDERS[name], {"device_id": int(index)} if index else {}), _CPU]


def _available() -> list[str]:
    available: list[str] = onnxruntime.get_available_providers()
    return available
