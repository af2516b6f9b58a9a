"""Forward pass of the language model over packed sequences, without block mask.

A question attends only to the prefix and itself. Attention is therefore computed in three parts:
prefix to prefix, questions to prefix, and each question to itself. The last two share one softmax.
The result equals the forward pass of transformers with a block mask, in half the time for 18
questions per sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaModel
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from sightline.training.vlm.data.batches import Batch


def forward(language: LlamaModel, embeds: Tensor, batch: Batch) -> list[Tensor]:
    """Return the input states of each layer and the states after the final norm.

    ``embeds`` are the input embeddings. All shapes are (batch, length, width).
    """
    questions = _QuestionIndex.of(batch, embeds.device)
    hidden = embeds
    states = []
    rotary = language.rotary_emb(hidden, batch.positions.to(embeds.device))
    for layer in language.layers:
        states.append(hidden)
        normed = _autocast(layer.input_layernorm(hidden))
        hidden = hidden + _attention(layer.self_attn, normed, rotary, questions)
        hidden = hidden + layer.mlp(_autocast(layer.post_attention_layernorm(hidden)))
    return [*states, language.norm(hidden)]


@dataclass(frozen=True, slots=True)
class _QuestionIndex:
    """Index tensors that gather and scatter the question tokens of a batch.

    ``own`` (questions, max_length) gathers the (batch * rest) tokens after the prefix, ``back``
    scatters them. -1 is padding.
    """

    prefix: int
    is_prefix: Tensor
    own: Tensor
    back: Tensor

    @classmethod
    def of(cls, batch: Batch, device: torch.device) -> _QuestionIndex:
        owner = batch.owner[:, batch.prefix :]
        rest = owner.shape[1]
        rows, columns = (owner > 0).nonzero(as_tuple=True)
        flat = rows * rest + columns
        # Number the questions of all sequences; tokens of a question are adjacent.
        stride = int(owner.max()) + 1
        _, number, counts = torch.unique_consecutive(
            rows * stride + owner[rows, columns], return_inverse=True, return_counts=True
        )
        starts = counts.cumsum(0) - counts
        place = torch.arange(len(flat)) - starts[number]
        max_length = int(counts.max())
        own = torch.full((len(counts), max_length), -1)
        own[number, place] = flat
        back = torch.full((owner.numel(),), -1)
        back[flat] = number * max_length + place
        is_prefix = batch.owner[:, : batch.prefix] == 0
        parts = (part.to(device) for part in (is_prefix, own, back))
        return cls(batch.prefix, *parts)

    def gather(self, flat: Tensor) -> Tensor:
        """Map (batch * rest, heads, any) to (questions, heads, max_length, any)."""
        selected: Tensor = _SelectRows.apply(flat, self.own.flatten(), self.back)
        return selected.view(*self.own.shape, *selected.shape[1:]).transpose(1, 2)

    def scatter(self, gathered: Tensor) -> Tensor:
        """Invert ``gather``."""
        flat = gathered.transpose(1, 2).flatten(0, 1)
        selected: Tensor = _SelectRows.apply(flat, self.back, self.own.flatten())
        return selected


class _SelectRows(torch.autograd.Function):
    """Select rows by index, with a fast backward pass.

    No row is selected twice, so the backward pass is also a selection, with ``inverse``. -1 selects
    an arbitrary row as padding, which no valid token attends to.
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


def _attention(
    attention: Any, hidden: Tensor, rotary: tuple[Tensor, Tensor], questions: _QuestionIndex
) -> Tensor:
    shape = (*hidden.shape[:2], -1, attention.head_dim)
    query, key, value = (
        project(hidden).view(shape).transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    query, key = apply_rotary_pos_emb(query, key, *rotary)
    # Rotary embeddings are fp32; the matrix products can use a smaller type.
    query, key = query.to(value.dtype), key.to(value.dtype)
    query = query * attention.scaling
    prefix_parts = [part[:, :, : questions.prefix] for part in (query, key, value)]
    prefix_output = (
        _causal(prefix_parts[0] @ prefix_parts[1].transpose(-1, -2)).softmax(-1, value.dtype)
        @ prefix_parts[2]
    )
    flat = [
        part[:, :, questions.prefix :].transpose(1, 2).flatten(0, 1) for part in (query, key, value)
    ]
    own_query, own_key, own_value = (questions.gather(part) for part in flat)
    to_own = questions.scatter(_causal(own_query @ own_key.transpose(-1, -2)))
    to_own = to_own.view(len(query), -1, *to_own.shape[1:]).transpose(1, 2)
    to_prefix = query[:, :, questions.prefix :] @ prefix_parts[1].transpose(-1, -2)
    to_prefix += _additive_mask(~questions.is_prefix, to_prefix.dtype)[:, None, None]
    weights = torch.cat([to_prefix, to_own], -1).softmax(-1, dtype=value.dtype)
    own_weights = questions.gather(weights[..., questions.prefix :].transpose(1, 2).flatten(0, 1))
    own_output = questions.scatter(own_weights @ own_value)
    own_output = own_output.view(len(query), -1, *own_output.shape[1:]).transpose(1, 2)
    question_output = weights[..., : questions.prefix] @ prefix_parts[2] + own_output
    output = torch.cat([prefix_output, question_output], 2).transpose(1, 2).flatten(2)
    out: Tensor = attention.o_proj(output)
    return out


def _causal(scores: Tensor) -> Tensor:
    """Apply the causal mask to ``scores`` (..., length, length) in place."""
    ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
    scores += _additive_mask(ahead, scores.dtype)
    return scores


def _additive_mask(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """Return minus infinity where ``hidden``, else 0 (faster than fill)."""
    return torch.zeros_like(hidden, dtype=dtype).masked_fill_(hidden, -torch.inf)


def _autocast(hidden: Tensor) -> Tensor:
    """Cast to the autocast type once for all projections."""
    device = hidden.device.type
    if not torch.is_autocast_enabled(device):
        return hidden
    return hidden.to(torch.get_autocast_dtype(device))
