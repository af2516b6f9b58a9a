"""Model card of the detector: data, recipe, figures and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from sightline.training.detector.recipe import FROZEN_BLOCKS, NAME, PHRASE_DIM

_CARD = """\
# {name}

A small open-vocabulary detector for phrases in English and Chinese: it finds "the red van" and
"红色的面包车". It is part of the repository, so that boxes can be searched and answers be checked
without any download.

## Limits

**Trained only on synthetic images; photographs are out of domain.** The training data is
`training/world`: streets with vehicles, product cards, rooms, shapes, heat-sink drawings, spine
X-rays, geometry problems, charts and flowcharts. On other pictures its boxes and scores mean
nothing. For photographs use OWLv2 or Grounding DINO (`SIGHTLINE_DETECTOR__MODEL`).

**It does not read.** A picture is reduced to {px} x {px} pixels in patches of 16. Things that only
their print tells apart ("the bar of Lime", "vertebra L4") are found poorly; see the table.

**Small things have inexact boxes**, such as the holes of a heat sink and the points of a line.

## Model

As in OWL-ViT, each patch of a vision transformer predicts a box and a vector of {dim} numbers,
which is compared with the vector of the phrase. {frozen} blocks and the text tower are those of
builtin-clip, unchanged; the last two blocks are trained on. Weights are fp16, computation is fp32.

| file | content |
|---|---|
| `image_model.onnx` | pixels to boxes and vectors of {patches} patches |
| `phrase_model.onnx` | token ids to a vector |
| `detector.safetensors` | the weights of both graphs |
| `detector_config.json` | preprocessing and calibration |

A score is the probability that a box is right (IoU of at least 0.5), from a logistic regression on
{validation_pictures} validation pictures, with as many absent as present phrases.

## Training

    W=server/models/weights
    python -m sightline.training.detector --encoder $W/builtin-clip --out $W/{name}

{steps:,} steps with {batch} of {pictures:,} pictures and {phrases} phrases each, {minutes} minutes
on {hardware}, beside other programs. A patch belongs to the smallest
thing around its center. Loss: quality focal loss of all pairs of patch and phrase, {corner:g} times
the distance of the corners, and {overlap:g} times the generalized IoU. AdamW with a constant rate
that falls to 0 at the end, and an exponential moving average of the weights. `training.json` has
the recipe and the validation curve.
{note}
| step | loss | AP50 | with a color | mean IoU of right boxes |
|---|---|---|---|---|
{curve}

## Figures

{test_pictures:,} held-out test pictures, {count:,} phrases in random wordings, more than half of
them absent.
`python -m sightline.training.detector evaluate` computes this from the exported files.
A count is exact if there are as many boxes with at least this score as things.

| | AP50 | recall at 0.5 | exact counts at 0.5 | at 0.3 |
|---|---|---|---|---|
{families}

| | AP50 |
|---|---|
| English | {en:.3f} |
| Chinese | {zh:.3f} |
| color and thing of which training pictures exist | {seen:.3f} |
| color and thing of which no training picture exists ({unseen_boxes} boxes) | {unseen:.3f} |
{owns}

Absent phrases that got a box with a score of at least 0.5:

| phrase | phrases | with a box |
|---|---|---|
{absent}

Calibration on the test pictures, of boxes with a score of at least 0.1; the expected calibration
error is {error:.3f}.

| mean score | right | boxes |
|---|---|---|
{bins}

One picture with ten phrases takes {one} ms on one thread, and {two} ms on two, beside other
programs ({hardware}, best of several rounds).
"""


def card(training: Mapping[str, Any], figures: Mapping[str, Any], px: int) -> str:
    """Return the text of ``MODEL_CARD.md``."""
    recipe, ap = training["recipe"], figures["ap50"]
    families = sorted(figures["recall"])
    return _CARD.format(
        name=NAME,
        px=px,
        patches=(px // 16) ** 2,
        dim=PHRASE_DIM,
        frozen=f"The first {FROZEN_BLOCKS}",
        validation_pictures=recipe["validation_pictures"],
        steps=training["steps"],
        batch=recipe["batch"],
        pictures=recipe["pictures"],
        phrases=recipe["phrases"],
        minutes=round(training["seconds"] / 60),
        hardware=training["hardware"],
        corner=recipe["corner_weight"],
        overlap=recipe["overlap_weight"],
        note=f"\n{fill(training['note'], 100)}\n" if training["note"] else "",
        curve="\n".join(map(_curve_row, training["curve"])),
        test_pictures=figures["pictures"],
        count=figures["phrases"],
        families="\n".join(
            [f"| all | {ap['all']:.3f} | | | |"]
            + [
                f"| {name} | {ap[name]:.3f} | {figures['recall'][name]:.3f} "
                f"| {figures['counts'][name]:.3f} | {figures['counts_likely'][name]:.3f} |"
                for name in families
            ]
        ),
        en=ap["en"],
        zh=ap["zh"],
        seen=figures["coloured"]["seen combinations"],
        unseen=figures["coloured"]["unseen combinations"],
        unseen_boxes=figures["coloured"]["unseen boxes"],
        owns="\n".join(
            f"| named by its print ({name}) | {value:.3f} |"
            for name, value in figures["own_names"].items()
        ),
        absent="\n".join(
            f"| {name} | {value['phrases']:,} | {value['share']:.3f} |"
            for name, value in figures["false_positives"].items()
        ),
        error=figures["calibration_bins"]["expected_error"],
        bins="\n".join(map(_bin_row, figures["calibration_bins"]["score_right_boxes"])),
        one=figures["milliseconds"]["1"],
        two=figures["milliseconds"]["2"],
    )


def _curve_row(point: Mapping[str, float]) -> str:
    values = " | ".join(f"{point[key]:.3f}" for key in ("loss", "ap", "coloured", "iou"))
    return f"| {point['step']:,.0f} | {values} |"


def _bin_row(row: Sequence[float]) -> str:
    return f"| {row[0]:.2f} | {row[1]:.2f} | {row[2]:,.0f} |"
