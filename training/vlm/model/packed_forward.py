"""The language model over packed lessons, without the work that a block mask would throw away.

Most places of a pack cannot see each other: a question sees the evidence and itself alone. So
attention is worked out in three parts, evidence over evidence, questions over evidence, and each
question over itself, and the last two share one softmax. The numbers are those of transformers'
own forward pass under the block mask; with eighteen questions a pack it takes half the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaModel
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from sightline.training.vlm.data.batches import Batch


def read(language: LlamaModel, embeds: Tensor, batch: Batch) -> list[Tensor]:
    """The states (batch, length, width) that enter each layer, and last those after the norm.

    ``embeds`` (batch, length, width) are what stands for ``batch.ids``.
    """
    places = _Places.of(batch, embeds.device)
    hidden = embeds
    states = []
    turn = language.rotary_emb(hidden, batch.positions.to(embeds.device))
    for layer in language.layers:
        states.append(hidden)
        given = _narrow(layer.input_layernorm(hidden))
        hidden = hidden + _attend(layer.self_attn, given, turn, places)
        hidden = hidden + layer.mlp(_narrow(layer.post_attention_layernorm(hidden)))
    return [*states, language.norm(hidden)]


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a batch's questions stand, on one device.

    The tokens behind the evidence, (batch * rest) of them, are gathered by ``own`` into
    (questions, longest), padding being -1, and scattered by ``back``, -1 for nobody's.
    """

    prefix: int
    evidence: Tensor
    own: Tensor
    back: Tensor

    @classmethod
    def of(cls, batch: Batch, device: torch.device) -> _Places:
        owner = batch.owner[:, batch.prefix :]
        rest = owner.shape[1]
        rows, columns = (owner > 0).nonzero(as_tuple=True)
        flat = rows * rest + columns
        # Questions of all packs, counted through; tokens of one stand side by side.
        most = int(owner.max()) + 1
        _, number, counts = torch.unique_consecutive(
            rows * most + owner[rows, columns], return_inverse=True, return_counts=True
        )
        starts = counts.cumsum(0) - counts
        place = torch.arange(len(flat)) - starts[number]
        longest = int(counts.max())
        own = torch.full((len(counts), longest), -1)
        own[number, place] = flat
        back = torch.full((owner.numel(),), -1)
        back[flat] = number * longest + place
        evidence = batch.owner[:, : batch.prefix] == 0
        parts = (part.to(device) for part in (evidence, own, back))
        return cls(batch.prefix, *parts)

    def gather(self, flat: Tensor) -> Tensor:
        """(batch * rest, heads, any) to (questions, heads, longest, any)."""
        taken: Tensor = _Take.apply(flat, self.own.flatten(), self.back)
        return taken.view(*self.own.shape, *taken.shape[1:]).transpose(1, 2)

    def scatter(self, gathered: Tensor) -> Tensor:
        """The way back."""
        flat = gathered.transpose(1, 2).flatten(0, 1)
        taken: Tensor = _Take.apply(flat, self.back, self.own.flatten())
        return taken


class _Take(torch.autograd.Function):
    """Rows by number. No row is taken twice, and ``inverse`` says where each went, so that the way
    back is a gathering too. What -1 takes is any row: padding, which nothing that counts looks at.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return rows.index_select(0, index.clamp(min=0))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        back = grads[0].index_select(0, inverse.clamp(min=0))
        return back.masked_fill_((inverse < 0)[:, None, None], 0.0), None, None


def _attend(attention: Any, hidden: Tensor, turn: tuple[Tensor, Tensor], at: _Places) -> Tensor:
    shape = (*hidden.shape[:2], -1, attention.head_dim)
    query, key, value = (
        project(hidden).view(shape).transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    query, key = apply_rotary_pos_emb(query, key, *turn)
    # The turn is worked out in fp32; what is multiplied next may be narrower.
    query, key = query.to(value.dtype), key.to(value.dtype)
    query = query * attention.scaling
    ahead = [part[:, :, : at.prefix] for part in (query, key, value)]
    told = _causal(ahead[0] @ ahead[1].transpose(-1, -2)).softmax(-1, value.dtype) @ ahead[2]
    flat = [part[:, :, at.prefix :].transpose(1, 2).flatten(0, 1) for part in (query, key, value)]
    near_query, near_key, near_value = (at.gather(part) for part in flat)
    near = at.scatter(_causal(near_query @ near_key.transpose(-1, -2)))
    near = near.view(len(query), -1, *near.shape[1:]).transpose(1, 2)
    far = query[:, :, at.prefix :] @ ahead[1].transpose(-1, -2)
    far += _shut(~at.evidence, far.dtype)[:, None, None]
    shares = torch.cat([far, near], -1).softmax(-1, dtype=value.dtype)
    near_shares = at.gather(shares[..., at.prefix :].transpose(1, 2).flatten(0, 1))
    own = at.scatter(near_shares @ near_value)
    own = own.view(len(query), -1, *own.shape[1:]).transpose(1, 2)
    found = shares[..., : at.prefix] @ ahead[2] + own
    seen = torch.cat([told, found], 2).transpose(1, 2).flatten(2)
    out: Tensor = attention.o_proj(seen)
    return out


def _causal(scores: Tensor) -> Tensor:
    """``scores`` (..., length, length), in place: what lies ahead is out of sight."""
    ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
    scores += _shut(ahead, scores.dtype)
    return scores


def _shut(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """Minus infinity where ``hidden``, else 0: adding it is faster than filling."""
    return torch.zeros_like(hidden, dtype=dtype).masked_fill_(hidden, -torch.inf)


def _narrow(hidden: Tensor) -> Tensor:
    """``hidden`` as the matrices will take it, once for all of them."""
    device = hidden.device.type
    if not torch.is_autocast_enabled(device):
        return hidden
    return hidden.to(torch.get_autocast_dtype(device))
