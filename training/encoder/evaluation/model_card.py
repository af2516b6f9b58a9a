"""Model card: data, recipe, time, hardware, metrics and limits."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from sightline.training.encoder.evaluation.evaluate import short_table, table
from sightline.training.encoder.recipe import CONTEXT_TOKENS, EMBED_DIM, IMAGE_PX, NAME

_CARD = """\
# {name}

A small dual encoder for images and text in English and Chinese, in open_clip format. It is part of
the repository, so the demo and the tests run with a trained model and without any download.

    folder = "local-dir:server/models/weights/{name}"
    model, preprocess = open_clip.create_model_from_pretrained(folder)
    tokenizer = open_clip.get_tokenizer(folder)

## Limits

**Trained only on synthetic images; real photographs are out of domain.** The training data is
`training/world`: streets with vehicles, product cards, rooms, shapes, heat-sink drawings, spine
X-rays, geometry problems, charts and flowcharts. For other images and other words, the vectors are
meaningless. It is not a medical device: the X-rays are drawings. For real data, use a production
encoder (see the README).

**Short queries have lower recall than full captions.** For a query with one object ("a red bus"),
only a part of the first images is correct; the second table below shows the precision per group.
Use queries like the training captions ("a red bus to the left of two white vans, parked in a car
park by day"), or restrict the search by words and filters.

## Model

| | |
|---|---|
| parameters | {parameters} (images {image_parameters}, text {text_parameters}) |
| image tower | ViT, {vision[layers]} layers of width {vision[width]}, and a pooler |
| images | {px} x {px} px in patches of {vision[patch_size]}, squashed, bicubic |
| text tower | causal transformer, {layers} layers of width {width}, {context} tokens |
| tokenizer | byte-level BPE with {vocabulary} tokens |
| vectors | {dimension} dimensions, cosine similarity |
| weights | fp16 safetensors; computation in fp32 on CPUs |

## Data

{pictures} images of `training/world`, split `train`, with equal numbers per family and captions in
both languages. No photographs and no texts of others were used, also not for the tokenizer. The
seeds of test images do not occur in other splits, and neither do some of their attribute
combinations.

## Training

The image tower is initialized from builtin-llava, which is trained on patch targets:

    W=server/models/weights
    python -m sightline.training.encoder --out $W/{name} \\
        --tower $W/builtin-llava --start $W/{name}

{steps} steps with {batch} images, {minutes} minutes on {hardware}. Loss:

- `ClipLoss` of open_clip, images against English and against Chinese captions;
- {queries_weight:g} times the ranking loss of {queries} short queries ("a red bus", "白色灯")
  against the images of the batch, with the matches known from the ground truth;
- {languages_weight:g} times `ClipLoss` between captions and their translations;
- {words_weight:g} times a prediction of the caption tokens from the image vector (the layer is
  removed after training).

{family_weights}AdamW, cosine schedule, and an exponential moving average of the weights.
The complete recipe and the validation curve are in `training.json`.
{note}

`picture_reference.npz` has statistics of {reference_pictures} validation images: the mean vector
of each family, and one covariance. Sightline uses them to recognize pictures that are unlike these,
such as photographs. `python -m sightline.training.encoder reference` writes it.

Text-to-image retrieval on {validation_pictures} validation images:

| step | minutes | loss of a training batch | en R@1 | en R@5 | zh R@1 | zh R@5 | en P@3 | zh P@3 |
|---|---|---|---|---|---|---|---|---|
{curve}

Second stage `queries`, {query_minutes:.0f} minutes: only the text tower is trained, with short
queries, {query_steps} steps against fixed vectors of {query_pictures} images. The ranking loss uses
all matches; the vectors of full captions are kept at their previous values.

On {validation_pictures} validation images:

| step | en R@5 | zh R@5 | en P@3 | zh P@3 |
|---|---|---|---|---|
{query_curve}

## Metrics

{test_pictures} held-out test images, each with its first caption; all captions are unique. Every
query is ranked against all {test_pictures} candidates. The model was loaded from this folder by
open_clip. `python -m sightline.training.encoder evaluate` computes this table. {unseen} of the
images have an attribute combination that does not occur in the training data.

{table}

Short queries for all objects in these images ("a white lamp"): share of correct images among the
first 3 and 10 (or among the number of matches, if smaller), according to the ground truth. Chance
is the share of matching images.

{short_table}

## Speed

Towers only, fp32, {speed_hardware}, best of several rounds, texts with the full context length.

| batch | images/s | texts/s |
|---|---|---|
{speed}
"""


def card(training: dict[str, Any], figures: dict[str, Any], model: dict[str, Any]) -> str:
    """Return the text of ``MODEL_CARD.md``.

    ``training`` is ``training.json``, ``figures`` is ``figures.json``; ``model`` contains
    open_clip's ``model_cfg`` and the counts ``parameters``, ``image_parameters`` and
    ``text_parameters``.
    """
    recipe, speed, config = training["recipe"], figures["speed"], model["config"]
    short = training["queries"]
    text = config["text_cfg"]
    return _CARD.format(
        name=NAME,
        parameters=_millions(model["parameters"]),
        image_parameters=_millions(model["image_parameters"]),
        text_parameters=_millions(model["text_parameters"]),
        vision=config["vision_cfg"],
        px=IMAGE_PX,
        layers=text["layers"],
        width=text["width"],
        context=CONTEXT_TOKENS,
        vocabulary=f"{text['vocab_size']:,}",
        dimension=EMBED_DIM,
        pictures=f"{recipe['pictures']:,}",
        validation_pictures=recipe["validation_pictures"],
        reference_pictures=recipe["reference_pictures"],
        steps=f"{training['steps']:,}",
        batch=recipe["batch"],
        family_weights=_weighed(recipe["family_weights"]),
        minutes=round(training["seconds"] / 60),
        hardware=training["hardware"],
        languages_weight=recipe["languages_weight"],
        queries=recipe["queries"],
        queries_weight=recipe["queries_weight"],
        words_weight=recipe["words_weight"],
        note=fill(training["note"], 100),
        curve="\n".join(_curve_row(point) for point in _thinned(training["curve"])),
        test_pictures=f"{figures['pictures']:,}",
        unseen=figures["unseen_pictures"],
        table=table(figures),
        short_table=short_table(figures),
        query_minutes=short["seconds"] / 60,
        query_steps=f"{short['recipe']['steps']:,}",
        query_pictures=f"{short['recipe']['pictures']:,}",
        query_curve="\n".join(_query_row(point) for point in short["curve"]),
        speed_hardware=speed["hardware"],
        speed="\n".join(
            f"| {batch} | {rate:,.0f} | {speed['texts'][batch]:,.0f} |"
            for batch, rate in speed["images"].items()
        ),
    )


def _weighed(weights: dict[str, float]) -> str:
    if not weights:
        return ""
    listed = ", ".join(f"{family} {weight:g}" for family, weight in weights.items())
    return (
        fill(
            f"Families that are hard to distinguish have a higher sampling weight ({listed}).", 100
        )
        + "\n"
    )


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"


def _thinned(curve: Sequence[dict[str, float]], rows: int = 12) -> list[dict[str, float]]:
    """Return about ``rows`` evenly spaced points, including the last one."""
    stride = max(1, len(curve) // rows)
    return list(curve[::-1][::stride][::-1])


def _curve_row(point: dict[str, float]) -> str:
    keys = ("en_r1", "en_r5", "zh_r1", "zh_r5", "en_p3", "zh_p3")
    found = " | ".join(f"{point[key]:.3f}" for key in keys)
    return f"| {point['step']:,.0f} | {point['minutes']:.1f} | {point['loss']:.3f} | {found} |"


def _query_row(point: dict[str, float]) -> str:
    found = " | ".join(f"{point[key]:.3f}" for key in ("en_r5", "zh_r5", "en_p3", "zh_p3"))
    return f"| {point['step']:,.0f} | {found} |"
