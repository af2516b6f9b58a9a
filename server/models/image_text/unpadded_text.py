"""Texts are padded to a tower's whole context; where that changes nothing, the padding is cut off.

In a causal tower that reads its vector at the end of the text, no number of the vector depends on
what follows. A query of six tokens then costs six positions and not 64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from open_clip.transformer import TextTransformer


def trimmed(model: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """An open_clip model's ``encode_text``, without the padding where it can be.

    Takes token ids of shape (n, context). Not thread-safe, as the model is not.
    """
    tower = getattr(model, "text", None)
    encode: Callable[[torch.Tensor], torch.Tensor] = model.encode_text
    if not isinstance(tower, TextTransformer) or not _reads_the_end(tower):
        return encode
    mask: torch.Tensor = tower.attn_mask

    def encode_short(tokens: torch.Tensor) -> torch.Tensor:
        ends = tokens == tower.eos_id if tower.pool_type == "eos" else tokens
        length = int(ends.int().argmax(dim=-1).max()) + 1
        tower.attn_mask = mask[:length, :length]
        try:
            return encode(tokens[:, :length])
        finally:
            tower.attn_mask = mask

    return encode_short


def _reads_the_end(tower: TextTransformer) -> bool:
    """Whether attention looks back alone and the vector stands at the end-of-text token."""
    return (
        tower.attn_mask is not None
        and tower.cls_emb is None
        and not tower.use_pad_mask
        and tower.pool_type in ("eos", "argmax")
    )
