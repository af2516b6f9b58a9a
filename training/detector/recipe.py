"""Recipe of a run: shape of the detector, data and schedule, in one frozen value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

NAME: Final = "builtin-detector"
#: Width of the shared space of patches and phrases.
PHRASE_DIM: Final = 128
#: Blocks of the encoder's image tower that stay as they are; the later ones are trained on.
FROZEN_BLOCKS: Final = 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """All parameters that change the result of a run."""

    pictures: int = 9_216
    validation_pictures: int = 900
    test_pictures: int = 1_000
    steps: int = 2_400
    batch: int = 48
    #: Phrases a step. Each is looked for in every picture of the batch.
    phrases: int = 192
    learning_rate: float = 8e-4
    #: Learning rate factor of the blocks that come from the encoder.
    tower_share: float = 0.5
    weight_decay: float = 0.05
    warmup_steps: int = 100
    #: Share of the steps, at the end, in which the learning rate falls to 0.
    decay_share: float = 0.3
    average_decay: float = 0.995
    #: Weights of the losses: corners (L1) and overlap (generalized IoU).
    corner_weight: float = 5.0
    overlap_weight: float = 2.0
    validate_every_steps: int = 300
    checkpoint_every_steps: int = 50
    seed: int = 5

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain JSON."""
        return asdict(self)


#: A few minutes on one CPU core: enough to show that the detector learns.
SMOKE: Final = Recipe(
    pictures=432,
    validation_pictures=90,
    test_pictures=90,
    steps=60,
    batch=24,
    phrases=128,
    warmup_steps=10,
    average_decay=0.9,
    validate_every_steps=30,
)
