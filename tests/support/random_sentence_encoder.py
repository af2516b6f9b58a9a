"""Writes a small sentence-transformers folder with random weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "the", "red", "van", "garlic", "shelf"]
DIMENSION = 32


def write(
    folder: Path,
    *,
    pooling: Mapping[str, object] | None = None,
    prompts: Mapping[str, str] | None = None,
    seed: int = 7,
) -> Path:
    """Write a one-layer BERT; the folder name must contain "random"."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    assert "random" in folder.name
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=DIMENSION,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=40,
    )
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    kinds = ["Transformer", "Pooling", "Normalize"]
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    pooling_config = pooling or {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling_config))
    sizes = {"max_seq_length": 16, "do_lower_case": False}
    (folder / "sentence_bert_config.json").write_text(json.dumps(sizes))
    if prompts is not None:
        prompt_config = {"prompts": prompts}
        (folder / "config_sentence_transformers.json").write_text(json.dumps(prompt_config))
    return folder
