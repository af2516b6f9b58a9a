"""Text models loaded with transformers, with every weight that they need. Imports torch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer
from transformers.utils import logging as transformers_logging

from sightline.server.models.image_text.open_clip_model import choose_precision, first_line
from sightline.storage.errors import ConfigurationError

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_LONGEST_TOKENS = 8192


def load(
    kind: Any, what: str, folder: Path, *, device: torch.device, precision: str, unused: str = ""
) -> tuple[Any, Any]:
    """Tokenizer and model of a folder, from this machine alone; the model on ``device``.

    ``kind`` is one of the auto classes of transformers; weights whose names begin with ``unused``
    may be missing. Raises ConfigurationError, which names ``what``, where the weights do not fit
    the architecture or parts of it have none.
    """
    transformers_logging.disable_progress_bar()
    dtype = _DTYPES[choose_precision(precision, device)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries, about their own internals
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            model, said = kind.from_pretrained(
                str(folder), local_files_only=True, dtype=dtype, output_loading_info=True
            )
    except Exception as error:
        raise ConfigurationError(f"{what} cannot be loaded: {first_line(error)}") from error
    missing = sorted(
        key for key in said["missing_keys"] if not unused or not key.startswith(unused)
    )
    if missing or said["mismatched_keys"]:
        lacking = missing or sorted(str(key) for key in said["mismatched_keys"])
        raise ConfigurationError(
            f"{what} has no weights that fit {lacking[0]!r} and {len(lacking) - 1} others; nothing "
            "runs with random ones"
        )
    return tokenizer, model.to(device).eval()


def most_tokens(tokenizer: Any, model: Any, given: Sequence[int | None] = ()) -> int:
    """Tokens that a model takes: the least that ``given``, tokenizer and positions allow."""
    positions = getattr(model.config, "max_position_embeddings", None)
    limits = (*given, tokenizer.model_max_length, positions)
    return min(_LONGEST_TOKENS, *(int(limit) for limit in limits if limit))
