"""A tiny LLaVA shape and three training records."""

from __future__ import annotations

from sightline.training.vlm.data.album import Item, QuestionAnswer, Record
from sightline.training.vlm.model.llava import Shape

TINY = Shape(
    edge=32,
    vision_width=64,
    vision_layers=1,
    text_width=128,
    text_mlp=64,
    text_layers=3,
    vocabulary=300,
)
RECORDS = [
    Record(
        family="street",
        seed=seed,
        combination="",
        unseen=False,
        crop=False,
        items=[Item("van", {"colour": "white"}, (0.1, 0.1, 0.6, 0.5))],
        texts=[("HOTEL", (0.1, 0.7, 0.4, 0.8)), ("12", (0.6, 0.7, 0.7, 0.8))],
        questions=[
            QuestionAnswer(
                "attribute", "en", "What colour is the van?", "white", (0.1, 0.1, 0.6, 0.5)
            ),
            QuestionAnswer("location", "en", "Where is the van?", "the van", (0.1, 0.1, 0.6, 0.5)),
            QuestionAnswer("reading", "zh", "写着什么？", "HOTEL", (0.1, 0.7, 0.4, 0.8)),
            QuestionAnswer("unanswerable", "zh", "几点了？", "图中没有", None),
        ],
        captions=[],
    )
    for seed in range(3)
]
