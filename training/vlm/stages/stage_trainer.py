"""Trainer of one stage: time budget, learning-rate schedule, checkpoints.

The budget of a stage is in seconds instead of steps, so that the total time does not depend on the
machine. A resumed stage continues from the elapsed seconds of its checkpoint. On CPUs, the budget
is CPU time, so that other processes do not shorten the training.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)
_WARM_UP_SHARE: Final = 0.03
_MIN_RATE_FACTOR: Final = 0.02
CHECKPOINT_INTERVAL_SECONDS: Final = 240.0
_LOG_INTERVAL_STEPS: Final = 50
_MAX_GRAD_NORM: Final = 1.0


@dataclass
class StageTrainer:
    """Trains ``modules`` for ``seconds``; ``folder/name.pt`` is the checkpoint.

    Matrices in transformer layers use Muon, scaled to the step size of AdamW. All other weights use
    AdamW. ``rate_scales`` scales the learning rate per module.
    """

    name: str
    folder: Path
    seconds: float
    rate: float
    modules: Mapping[str, nn.Module]
    rate_scales: Mapping[str, float] = field(default_factory=dict)
    decay: float = 0.05
    step: int = 0
    elapsed_seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        kinds: dict[str, list[dict[str, Any]]] = {"matrix": [], "table": [], "vector": []}
        for name, module in self.modules.items():
            share = self.rate_scales.get(name, 1.0)
            chosen: dict[str, list[nn.Parameter]] = {kind: [] for kind in kinds}
            for path, weight in module.named_parameters():
                if weight.requires_grad:
                    chosen[_kind(path, weight)].append(weight)
            for kind, weights in chosen.items():
                decay = 0.0 if kind == "vector" else self.decay
                group = {"params": weights, "weight_decay": decay, "share": share}
                kinds[kind] += [group] if weights else []
        others = [*kinds["table"], *kinds["vector"]]
        self.optimizers: list[torch.optim.Optimizer] = []
        if kinds["matrix"]:
            muon = torch.optim.Muon(kinds["matrix"], self.rate, adjust_lr_fn="match_rms_adamw")
            self.optimizers.append(muon)
        if others:
            adam = torch.optim.AdamW(others, lr=self.rate, betas=(0.9, 0.98), fused=True)
            self.optimizers.append(adam)
        self._groups = [g for optimizer in self.optimizers for g in optimizer.param_groups]
        self._weights = [p for group in self._groups for p in group["params"]]
        if self.checkpoint.exists():
            self._resume()

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint."""
        return self.folder / f"{self.name}.pt"

    @property
    def progress(self) -> float:
        """Used share of the budget, 0 to 1."""
        return min(self.elapsed_seconds / self.seconds, 1.0)

    def steps(self) -> Iterator[int]:
        """Yield step numbers until the budget is used; save checkpoints."""
        started, before = self._clock(), self.elapsed_seconds
        saved = time.monotonic()
        if self.progress >= 1.0:
            return
        while self.progress < 1.0:
            yield self.step
            self.step += 1
            self.elapsed_seconds = before + self._clock() - started
            now = time.monotonic()
            if now - saved > CHECKPOINT_INTERVAL_SECONDS:
                self.save()
                saved = now
        self.save()

    def update(self, loss: Tensor, metrics: Mapping[str, float]) -> None:
        """Run one optimizer step and log mean ``metrics`` regularly."""
        for group in self._groups:
            group["lr"] = self.rate * self._rate_factor() * group["share"]
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._weights, _MAX_GRAD_NORM)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.history.append({"loss": float(loss.detach()), **metrics})
        if self.step % _LOG_INTERVAL_STEPS == 0:
            recent = self.history[-_LOG_INTERVAL_STEPS:]
            means = {key: _mean(recent, key) for key in sorted({k for r in recent for k in r})}
            text = " ".join(f"{key} {value:.4f}" for key, value in means.items())
            logger.info("%s step %d %.0f%% %s", self.name, self.step, 100 * self.progress, text)

    def save(self) -> None:
        """Write the checkpoint atomically."""
        state: dict[str, Any] = {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "elapsed_seconds": self.elapsed_seconds,
            "history": self.history,
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)

    def curve(self, points: int = 40) -> list[dict[str, float]]:
        """Return the history as at most ``points`` means."""
        size = max(1, math.ceil(len(self.history) / points))
        chunks = [self.history[i : i + size] for i in range(0, len(self.history), size)]
        return [
            {k: round(_mean(c, k), 4) for k in sorted({k for r in c for k in r})} for c in chunks
        ]

    def write_curve(self) -> None:
        """Write the curve next to the checkpoint as JSON."""
        curve = {"stage": self.name, "steps": self.step, "seconds": round(self.elapsed_seconds)}
        text = json.dumps({**curve, "curve": self.curve()})
        (self.folder / f"{self.name}.json").write_text(text, encoding="utf-8")

    def _clock(self) -> float:
        """Return elapsed seconds; on CPU, CPU time divided by threads."""
        if self._weights[0].device.type == "cpu":
            return time.process_time() / torch.get_num_threads()
        return time.monotonic()

    def _rate_factor(self) -> float:
        """Return the rate factor: linear warm-up, then cosine to a minimum."""
        if self.progress < _WARM_UP_SHARE:
            return max(self.progress / _WARM_UP_SHARE, 0.01)
        angle = math.pi * (self.progress - _WARM_UP_SHARE) / (1 - _WARM_UP_SHARE)
        return _MIN_RATE_FACTOR + (1 - _MIN_RATE_FACTOR) * 0.5 * (1 + math.cos(angle))

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True, map_location="cpu")
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        self.step, self.elapsed_seconds = state["step"], state["elapsed_seconds"]
        self.history = state["history"]
        if self.progress < 1.0:
            for optimizer, optimizer_state in zip(
                self.optimizers, state["optimizers"], strict=True
            ):
                optimizer.load_state_dict(optimizer_state)
        logger.info("%s resumes at step %d, %.0f s", self.name, self.step, self.elapsed_seconds)


def _kind(path: str, weight: Tensor) -> str:
    """Return ``matrix`` (in a layer), ``table`` (embedding, head), ``vector``."""
    if weight.dim() < 2:
        return "vector"
    return "matrix" if weight.dim() == 2 and "layers." in path else "table"


def _mean(records: Sequence[Mapping[str, float]], key: str) -> float:
    """Return the mean of a metric over the steps that have it."""
    values = [record[key] for record in records if key in record]
    return sum(values) / len(values)
