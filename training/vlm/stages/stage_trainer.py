"""One stage of training: a time budget, a learning rate over it, checkpoints that resume it.

Stages are measured in seconds of work rather than steps, so that a machine of any speed spends the
time that it was given; a resumed stage goes on from the seconds that its checkpoint has used. On a
CPU they are seconds of its time, so that a machine that others share is not given less.
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

_log = logging.getLogger(__name__)
_WARM_UP: Final = 0.03
_FLOOR: Final = 0.02
CHECKPOINT_EVERY_S: Final = 240.0
_LOG_EVERY: Final = 50
_CLIP: Final = 1.0


@dataclass
class Course:
    """Trains ``modules`` for ``seconds``; ``folder/name.pt`` is its checkpoint.

    The matrices inside transformer layers learn by Muon, scaled to AdamW's step, everything else
    by AdamW. ``slower`` gives modules a share of the learning rate.
    """

    name: str
    folder: Path
    seconds: float
    rate: float
    modules: Mapping[str, nn.Module]
    slower: Mapping[str, float] = field(default_factory=dict)
    decay: float = 0.05
    step: int = 0
    spent: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        kinds: dict[str, list[dict[str, Any]]] = {"matrix": [], "table": [], "vector": []}
        for name, module in self.modules.items():
            share = self.slower.get(name, 1.0)
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
        """Where this stage is kept."""
        return self.folder / f"{self.name}.pt"

    @property
    def progress(self) -> float:
        """The share of the budget that is used, 0 to 1."""
        return min(self.spent / self.seconds, 1.0)

    def steps(self) -> Iterator[int]:
        """Yield step numbers until the budget is used; checkpoints on the way and at the end."""
        began, before = self._clock(), self.spent
        saved = time.monotonic()
        if self.progress >= 1.0:
            return
        while self.progress < 1.0:
            yield self.step
            self.step += 1
            self.spent = before + self._clock() - began
            now = time.monotonic()
            if now - saved > CHECKPOINT_EVERY_S:
                self.save()
                saved = now
        self.save()

    def learn(self, loss: Tensor, figures: Mapping[str, float]) -> None:
        """One step down ``loss``; logs a mean of ``figures`` now and then."""
        for group in self._groups:
            group["lr"] = self.rate * self._factor() * group["share"]
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._weights, _CLIP)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.history.append({"loss": float(loss.detach()), **figures})
        if self.step % _LOG_EVERY == 0:
            recent = self.history[-_LOG_EVERY:]
            shown = {key: _mean(recent, key) for key in sorted({k for r in recent for k in r})}
            text = " ".join(f"{key} {value:.4f}" for key, value in shown.items())
            _log.info("%s step %d %.0f%% %s", self.name, self.step, 100 * self.progress, text)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state: dict[str, Any] = {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "spent": self.spent,
            "history": self.history,
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)

    def curve(self, points: int = 40) -> list[dict[str, float]]:
        """The history in at most ``points`` means, for the model card."""
        size = max(1, math.ceil(len(self.history) / points))
        chunks = [self.history[i : i + size] for i in range(0, len(self.history), size)]
        return [
            {k: round(_mean(c, k), 4) for k in sorted({k for r in c for k in r})} for c in chunks
        ]

    def write_curve(self) -> None:
        """Leave the curve beside the checkpoint as JSON."""
        curve = {"stage": self.name, "steps": self.step, "seconds": round(self.spent)}
        text = json.dumps({**curve, "curve": self.curve()})
        (self.folder / f"{self.name}.json").write_text(text, encoding="utf-8")

    def _clock(self) -> float:
        """Seconds of work so far; threads that work side by side count once."""
        if self._weights[0].device.type == "cpu":
            return time.process_time() / torch.get_num_threads()
        return time.monotonic()

    def _factor(self) -> float:
        """The share of the full rate: a short ramp up, then a cosine down to a floor."""
        if self.progress < _WARM_UP:
            return max(self.progress / _WARM_UP, 0.01)
        angle = math.pi * (self.progress - _WARM_UP) / (1 - _WARM_UP)
        return _FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(angle))

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True, map_location="cpu")
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        self.step, self.spent = state["step"], state["spent"]
        self.history = state["history"]
        if self.progress < 1.0:
            for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(kept)
        _log.info("%s goes on from step %d, %.0f s", self.name, self.step, self.spent)


def _kind(path: str, weight: Tensor) -> str:
    """``matrix`` inside a layer, another ``table`` (an embedding, a head), or ``vector``."""
    if weight.dim() < 2:
        return "vector"
    return "matrix" if weight.dim() == 2 and "layers." in path else "table"


def _mean(records: Sequence[Mapping[str, float]], key: str) -> float:
    """The mean of a figure over the steps that have it."""
    values = [record[key] for record in records if key in record]
    return sum(values) / len(values)
