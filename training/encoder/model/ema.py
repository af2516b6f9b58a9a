"""Exponential moving average (EMA) of model weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Average:
    """EMA of every tensor of a model, including batch statistics."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Update with the weights after ``step`` (from 0); early steps have more weight."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            kept = self.weights[name]
            if kept.is_floating_point():
                kept.lerp_(value.to(kept), 1 - decay)
            else:
                kept.copy_(value)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load the average of a checkpoint."""
        for name, kept in self.weights.items():
            kept.copy_(weights[name])
