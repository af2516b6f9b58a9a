"""Write the ONNX graph of a sentence encoder or a cross-encoder of transformers."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from sightline.server.models.export.graph_writer import write_standalone
from sightline.server.models.text.transformer_models import LOCAL_DATA

TEXT_MODEL: Final = "model.onnx"
_EXAMPLE_TOKENS: Final = 7
_DEFAULT_MAX_TOKENS: Final = 512


def write_text_graph(source: Path, path: Path, *, is_reranker: bool) -> None:
    """Write the graph of a folder; its output is one vector per token, or the scores."""
    transformers_logging.disable_progress_bar()
    auto: Any = AutoModelForSequenceClassification if is_reranker else AutoModel
    model = auto.from_pretrained(str(source), **LOCAL_DATA, dtype=torch.float32).eval()
    ids = torch.ones(2, _EXAMPLE_TOKENS, dtype=torch.int64)
    # Without padding in it, transformers would leave out the mask.
    mask = ids.clone()
    mask[0, 3:] = 0
    has_types = "token_type_ids" in inspect.signature(model.forward).parameters
    examples = [ids, mask, torch.zeros_like(ids)] if has_types else [ids, mask]
    longest = int(getattr(model.config, "max_position_embeddings", 0) or _DEFAULT_MAX_TOKENS)
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", min=2, max=longest)}
    module = _WithTypes(model) if has_types else _WithoutTypes(model)
    output = "logits" if is_reranker else "last_hidden_state"
    write_standalone(path, module, examples, [axes] * len(examples), [output])


def write_fast_tokenizer(source: Path, target: Path) -> None:
    """Write ``tokenizer.json`` for a folder that has only the files it is made of."""
    AutoTokenizer.from_pretrained(str(source), **LOCAL_DATA).save_pretrained(target)


class _WithTypes(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        return _vectors(
            self.model(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            )
        )


class _WithoutTypes(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return _vectors(self.model(input_ids=input_ids, attention_mask=attention_mask))


def _vectors(output: Any) -> torch.Tensor:
    result: torch.Tensor = output.logits if hasattr(output, "logits") else output.last_hidden_state
    return result
