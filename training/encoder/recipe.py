"""Recipe of a run: tower shapes, data and schedule, in one frozen value."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

NAME: Final = "builtin-clip"
EMBED_DIM: Final = 256
IMAGE_PX: Final = 160
CONTEXT_TOKENS: Final = 64
VOCABULARY: Final = 4096
PAD_ID, START_ID, END_ID = 0, 1, 2

#: Approximate mean and standard deviation of the pixels of the synthetic world.
PIXEL_MEAN: Final = (0.5, 0.5, 0.5)
PIXEL_STD: Final = (0.25, 0.25, 0.25)


def model_config(vocabulary: int = VOCABULARY) -> dict[str, Any]:
    """Return open_clip's ``model_cfg`` of both towers.

    The image tower has the shape of builtin-llava's tower and a pooler over all patches. The text
    tower is causal and uses the state at the end token, so that padding does not change a vector
    and batches can be cut to their longest text.
    """
    return {
        "embed_dim": EMBED_DIM,
        "custom_text": True,
        "vision_cfg": {
            "image_size": IMAGE_PX,
            "patch_size": 16,
            "width": 192,
            "layers": 6,
            "head_width": 32,
            "no_ln_pre": True,
            "attentional_pool": True,
            "attn_pooler_queries": 1,
            "attn_pooler_heads": 8,
        },
        "text_cfg": {
            "context_length": CONTEXT_TOKENS,
            "vocab_size": vocabulary,
            "hf_tokenizer_name": NAME,
            "width": 192,
            "heads": 3,
            "layers": 3,
            "pad_id": PAD_ID,
            "eos_id": END_ID,
            "pool_type": "eos",
        },
    }


def preprocess_config() -> dict[str, Any]:
    """Return open_clip's ``preprocess_cfg``: squash, so that nothing is cropped."""
    return {
        "size": [IMAGE_PX, IMAGE_PX],
        "mode": "RGB",
        "mean": list(PIXEL_MEAN),
        "std": list(PIXEL_STD),
        "interpolation": "bicubic",
        "resize_mode": "squash",
        "fill_color": 0,
    }


@dataclass(frozen=True, slots=True)
class Queries:
    """Recipe of the second stage, with short queries (see ``query_finetune``).

    Each step has ``queries`` queries per language, ``captions`` captions and ``pool`` images.
    ``hold`` is the weight of keeping the caption vectors. Targets in fewer than ``fewest`` images
    are skipped.
    """

    pictures: int = 9_216
    steps: int = 400
    queries: int = 96
    captions: int = 64
    pool: int = 2_048
    fewest: int = 3
    learning_rate: float = 1e-3
    warmup_steps: int = 30
    scale: float = 30.0
    hold: float = 20.0
    validate_every_steps: int = 100
    seed: int = 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """All parameters that change the result of a run."""

    pictures: int = 18_432
    validation_pictures: int = 500
    #: Validation images whose statistics tell known from unknown pictures.
    reference_pictures: int = 900
    test_pictures: int = 1_000
    steps: int = 900
    batch: int = 128
    learning_rate: float = 1e-3
    #: Learning rate factor of the pretrained part of the image tower.
    tower_share: float = 0.5
    weight_decay: float = 0.05
    warmup_steps: int = 60
    exact_caption_share: float = 0.6
    words_weight: float = 0.3
    languages_weight: float = 0.3
    #: Short queries: number per step, and weight and temperature of their loss.
    queries: int = 96
    queries_weight: float = 1.0
    queries_scale: float = 30.0
    average_decay: float = 0.99
    shift_px: int = 5
    #: Sampling weight of a family; 1 for all others. These families differ in small text.
    family_weights: dict[str, float] = field(
        default_factory=lambda: {
            "spine": 3.0,
            "heatsink": 3.0,
            "chart": 1.5,
            "shapes": 1.5,
            "street": 1.5,
        }
    )
    validate_every_steps: int = 100
    checkpoint_every_steps: int = 25
    seed: int = 3
    short: Queries = field(default_factory=Queries)

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain JSON."""
        return asdict(self)


#: Five minutes on one CPU core: enough to show that the model learns.
SMOKE: Final = Recipe(
    pictures=960,
    validation_pictures=96,
    reference_pictures=96,
    test_pictures=96,
    steps=60,
    batch=48,
    warmup_steps=10,
    validate_every_steps=20,
    checkpoint_every_steps=20,
    average_decay=0.9,
    short=Queries(pictures=960, steps=30, queries=32, captions=32, pool=512, warmup_steps=5),
)
