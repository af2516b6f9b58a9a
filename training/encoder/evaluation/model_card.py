"""Write the model card: data, recipe, time, hardware, figures and limits."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from sightline.training.encoder.evaluation.evaluate import short_table, table
from sightline.training.encoder.recipe import CONTEXT_TOKENS, EMBED_DIM, IMAGE_PX, NAME

_CARD = """\
# {name}

A small dual encoder for pictures and text in English and Chinese, in open_clip's format. It ships
with Sightline so that the demo and the tests run on a trained model without any download.

    folder = "local-dir:server/models/weights/{name}"
    model, preprocess = open_clip.create_model_from_pretrained(folder)
    tokenizer = open_clip.get_tokenizer(folder)

## Limits

**Real photographs are outside its world.** It has seen the drawn world of `training/world` and
nothing else: streets with vehicles, product cards, rooms, shapes, heat-sink drawings, spine X-rays,
geometry problems, charts and flowcharts. On anything else its vectors mean nothing, and it will not
say so. It knows the words of the world's captions; other words fall apart into bytes and carry no
meaning. It is no medical device: the X-rays are drawings. For real material use a production
encoder (see the README).

**Short queries find less than whole captions do.** Asked for one thing ("a red bus") it gets part
of the first pictures right; the second table of the figures says how many, by the sort of thing.
Ask as the world's captions do ("a red bus to the left of two white vans, parked in a car park by
day"), or narrow the search by words and filters.

## Model

| | |
|---|---|
| parameters | {parameters} (pictures {image_parameters}, text {text_parameters}) |
| picture tower | ViT, {vision[layers]} layers of width {vision[width]}, and a pooler |
| pictures | {px} x {px} px in patches of {vision[patch_size]}, squashed, bicubic |
| text tower | causal transformer, {layers} layers of width {width}, {context} tokens |
| tokenizer | byte-level BPE of {vocabulary} tokens |
| vectors | {dimension} dimensions, compared by cosine |
| weights | fp16 safetensors; compute in fp32 on CPUs |

## Data

{pictures} pictures drawn by `training/world` for the split `train`, the families in equal parts,
each with its captions in both languages. No photograph and no text of others went in, the tokenizer
included. Test pictures come from seeds, and in part from combinations of attributes, that occur in
no other split.

## Training

The picture tower starts as that of builtin-llava, which was taught the truth of every patch:

    W=server/models/weights
    python -m sightline.training.encoder --out $W/{name} \\
        --tower $W/builtin-llava --start $W/{name}

{steps} steps of {batch} pictures, {minutes} minutes on {hardware}. Loss:

- open_clip's `ClipLoss`, pictures against English and against Chinese captions;
- {queries_weight:g} times the fit of {queries} short wordings ("a red bus", "白色灯") to
  the pictures of the batch, by the truth of the drawing;
- {languages_weight:g} times `ClipLoss` between a caption and its translation;
- {words_weight:g} times a prediction of the caption's tokens from the picture's vector (its
  layer is dropped after training).

{family_weights}AdamW, cosine, and an exponential average of the weights.
The whole recipe and the validation curve are in `training.json`.
{note}

On {validation_pictures} validation pictures, text to image:

| step | minutes | loss of a training batch | en R@1 | en R@5 | zh R@1 | zh R@5 | en P@3 | zh P@3 |
|---|---|---|---|---|---|---|---|---|
{curve}

Then `queries`, the second stage, {query_minutes:.0f} minutes: the text tower alone goes on with
short wordings, {query_steps} steps against the fixed vectors of {query_pictures} pictures. A
query is drawn to every picture that it fits and away from those that it does not; whole captions
are held where they were.

On {validation_pictures} validation pictures:

| step | en R@5 | zh R@5 | en P@3 | zh P@3 |
|---|---|---|---|---|
{query_curve}

## Figures

{test_pictures} held-out test pictures, each with its most exact caption; all captions differ. Every
query competes with all {test_pictures} candidates. Read through open_clip from this folder;
`python -m sightline.training.encoder evaluate` makes the table again. {unseen} of the pictures show
a combination of attributes that training never saw.

{table}

Short queries, the plain wording of everything that these pictures show ("a white lamp"): the share
of right pictures among the first 3 and 10 (or as many as fit, where fewer do), by the truth of the
drawing. Chance is the share of pictures that fit.

{short_table}

## Speed

Towers alone, fp32, {speed_hardware}, the fastest of several rounds, every text as long as the
context.

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
        fill(f"Families that are hard to tell apart are shown more often ({listed}).", 100) + "\n"
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
