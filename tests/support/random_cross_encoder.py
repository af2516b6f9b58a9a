"""Writes a small cross-encoder with random weights in the format of transformers."""

from __future__ import annotations

from pathlib import Path

from tests.support.random_sentence_encoder import WORDS


def write(folder: Path, *, labels: int = 1) -> Path:
    """Write a one-layer BERT; the folder name must contain "random"."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    assert "random" in folder.name
    folder.mkdir(parents=True)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=40,
        num_labels=labels,
        initializer_range=0.5,  # with the usual 0.02 all scores are nearly equal
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder
