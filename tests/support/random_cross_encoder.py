"""A tiny cross-encoder with random weights, as transformers writes one."""

from __future__ import annotations

from pathlib import Path

from tests.support.random_sentences import WORDS


def write(folder: Path, *, labels: int = 1) -> Path:
    """A BERT of one layer whose name has to say that its weights are random."""
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
        initializer_range=0.5,  # at the usual 0.02 all pairs score nearly alike
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder
