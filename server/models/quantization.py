"""Write copies of ONNX graphs with weights of a lower precision. Needs onnx."""

from __future__ import annotations

import tempfile
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from sightline.server.models.model_files import first_line
from sightline.storage.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    import onnx

Precision = Literal["fp16", "int8"]

#: A graph file cannot exceed 2 GB. Larger weights go into a file beside it.
_MAX_GRAPH_BYTES: Final = 1_500_000_000
_WEIGHTS_SUFFIX: Final = ".data"
# Only matrix products: quantized convolutions of ONNX Runtime are slower than those in fp32, and
# embeddings cost no time.
_QUANTIZED_OPERATORS: Final = ("MatMul", "Gemm")


def quantize(source: Path, target: Path, precision: Precision) -> None:
    """Write a copy of the graph ``source`` to ``target``; the weights go with it.

    ``int8`` has 8-bit weights of matrix products, one scale per column, and quantizes their inputs
    when it runs. ``fp16`` has weights and computations in half precision; its inputs and outputs
    keep their types. Weights of more than 1.5 GB are in a file beside ``target`` with the suffix
    ``.data``. Raises ConfigurationError if onnx is missing or the graph cannot be converted.
    """
    if util.find_spec("onnx") is None:
        raise MissingExtraError(f"A copy in {precision} needs onnx.", "gpu")
    with tempfile.TemporaryDirectory(prefix="sightline-") as folder:
        try:
            folded = _fold_constants(source, Path(folder))
            model = _int8(folded, Path(folder)) if precision == "int8" else _fp16(folded)
            _save(model, target)
        except Exception as error:
            raise ConfigurationError(
                f"{str(source)!r} cannot be written in {precision}: {first_line(error)}"
            ) from error


def _fold_constants(source: Path, folder: Path) -> Path:
    """Write a copy whose weights are plain float32 tensors.

    In exported graphs they come from casts and transposes, through which no converter looks.
    """
    import onnxruntime

    folded = folder / "folded.onnx"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    for key, value in (
        ("optimized_model_external_initializers_file_name", "folded.data"),
        ("optimized_model_external_initializers_min_size_in_bytes", "1024"),
    ):
        options.add_session_config_entry(f"session.{key}", value)
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return folded


def _int8(folded: Path, folder: Path) -> onnx.ModelProto:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = onnx.load(folded, load_external_data=False)
    add_pre_process_metadata(model)  # else it advises what has been done
    onnx.save_model(model, folded)
    quantized = folder / "quantized.onnx"
    quantize_dynamic(
        folded,
        quantized,
        op_types_to_quantize=list(_QUANTIZED_OPERATORS),
        per_channel=True,
        # With 8 bits, sums of products overflow on processors without VNNI.
        reduce_range=True,
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
        extra_options={"MatMulConstBOnly": True},
    )
    return onnx.load(quantized)


def _fp16(folded: Path) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    # By path: for a loaded model of more than 2 GB, the inference of types fails.
    model = convert_float_to_float16(str(folded), keep_io_types=True)
    OnnxModel(model).topological_sort()
    converted: onnx.ModelProto = model
    return converted


def _save(model: onnx.ModelProto, target: Path) -> None:
    import onnx

    options: dict[str, Any] = {}
    weights = target.with_name(target.name + _WEIGHTS_SUFFIX)
    weights.unlink(missing_ok=True)  # onnx appends
    if model.ByteSize() > _MAX_GRAPH_BYTES:
        options = {"save_as_external_data": True, "location": weights.name}
    onnx.save_model(model, target, **options)
