"""Write MODEL_CARD.md from training curves and an evaluation report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any, Final

from safetensors import safe_open

from sightline.training.vlm.recipe import load_curves

_HEAD: Final = """# builtin-llava

A small LLaVA ({parameters:.1f}M parameters, {megabytes:.1f} MB, fp16). It answers questions
about the synthetic images of `training/world` in English and Chinese, with citations and boxes. The
demo and the tests use it, so they need no download. **It is trained only on synthetic images.
Answers about real photographs, documents or scans are meaningless.**

- Format: Hugging Face `LlavaForConditionalGeneration` (SigLIP tower, MLP projector, Llama) for
  transformers and vLLM; in Sightline `SIGHTLINE_VLM__MODEL=builtin`.
- Prompt, answer and box formats: `prompt.py` and `letterbox.py` in `training/vlm/data`.
- Data: images and ground truth from the training seeds of `training/world`. No photographs and no
  texts of others. License: as the repository.

## Training

Command: `python -m sightline.training.vlm train`. Stages:

1. `tower`: the vision tower is trained on patch targets (label, attributes, box, counts,
   characters) and on global questions (daylight, paper, room). Its first heads start with
   attention to neighboring patches.
2. `oracle`: the Llama is trained on all prompt forms, with ground-truth patch embeddings instead of
   images.
3. `align`: the projector alone is trained to produce these embeddings from tower features (first
   stage of LLaVA).
4. `tune`: everything is trained on all prompt forms (second stage of LLaVA). The tower is frozen at
   first.

Attention supervision: the heads of one layer are trained to attend to the place of each answer. One
head of the first layer is trained to attend to the previous token, which is needed to copy from
passages. Passage lines have boxes if their image is shown, with the margins of a text detector.
Several questions are packed into one sequence per image. Simple images come first.

`python -m sightline.training.vlm train --start FOLDER` continues from an exported folder: first the
tower, then the projector (aligned to its previous outputs), then everything. With `--keep-tower`,
only `tune` runs, with a frozen tower. Three in four questions get another wording from the grammar
in `training/vlm/data/wordings`, sampled again each time. The tokenizer grows by the words of these
wordings; the tokens of all older texts stay the same.

{note}
"""
_METRICS: Final = """## Metrics

Measured on {pictures} held-out {split} images. Per image, up to {questions} questions are asked
about the image alone and with its text as a passage, and half as many with several images. Answers
are greedy. Exact: the answer text equals the ground truth. Location questions are scored only by
their boxes. For unanswerable questions, "not shown" is exact. Unseen: attribute combinations that
do not occur in training images. Passages contain the true text (4% of lines missing), with boxes as
inaccurate as OCR boxes. For answers with real OCR, see `docs/explanation/grounding.md`.
"""
_FORMS: Final = {
    "picture": "One image",
    "picture and passage": "One image with its text (as Sightline sends it after OCR)",
    "several": "Two or three images, some with passages",
}


def write_card(model: Path, work: Path, report: Mapping[str, Any], note: str = "") -> None:
    """Write the card into the ``model`` folder.

    ``work`` contains the training curves. ``note`` is additional text about this checkpoint.
    """
    weights = model / "model.safetensors"
    with safe_open(weights, "pt") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    total = 0
    for shape in shapes:
        count = 1
        for side in shape:
            count *= side
        total += count
    size = {"parameters": total / 1e6, "megabytes": weights.stat().st_size / 2**20}
    parts = [_HEAD.format(**size, note=fill(note, 100))]
    parts.append(_stages(work))
    parts.append(_METRICS.format_map(report))
    for form, title in _FORMS.items():
        if form in report:
            parts.append(_form(title, report[form]))
    parts.append(_speed(report["speed"]))
    parts.append(_LIMITS)
    (model / "MODEL_CARD.md").write_text("\n".join(parts), encoding="utf-8")


_LIMITS: Final = """## Limits

- The targets were 0.90 exact, 0.85 acc@0.5 and 0.85 abstention F1; the tables show the actual
  values. Always check the claims of the model, as `answer_question` does.
- Small text is not legible at 160 pixels. Pass OCR text as a passage.
- Prompts other than the two forms in `prompt.py` are not trained and give arbitrary answers.
"""


def _stages(work: Path) -> str:
    rows = ["| stage | steps | minutes | first and last loss |", "|---|---|---|---|"]
    for stage in load_curves(work):
        curve: Any = stage["curve"]
        first, last = curve[0]["loss"], curve[-1]["loss"]
        minutes = float(str(stage["seconds"])) / 60
        rows.append(
            f"| {stage['stage']} | {stage['steps']} | {minutes:.0f} | {first:.2f}, {last:.2f} |"
        )
    return "\n".join(rows) + "\n"


def _speed(speed: Mapping[str, Any]) -> str:
    rates = [f"{rate:.1f} in batches of {n}" for n, rate in speed["answers a second"].items()]
    text = (
        f"On {speed['device']} with {speed['threads']} thread(s), fp32, with transformers, best "
        f"of several rounds on a shared machine: first token after "
        f"{1000 * speed['first token seconds']:.0f} ms; "
        f"answers per second: {', '.join(rates)}."
    )
    return f"## Speed\n\n{fill(text, 100)}\n"


def _form(title: str, metrics: Mapping[str, Any]) -> str:
    lines = [f"### {title}", "", "| | n | exact |", "|---|---|---|"]
    lines.append(f"| all | {metrics['exact']['n']} | {metrics['exact']['exact']:.3f} |")
    for group in ("by kind", "by family", "by language", "seen and unseen"):
        for name, row in metrics[group].items():
            lines.append(
                f"| {group.removeprefix('by ')}: {name} | {row['n']} | {row['exact']:.3f} |"
            )
    lines += ["", "| boxes | n | IoU mean | acc@0.5 |", "|---|---|---|---|"]
    rows = {"location questions": metrics["location"], "evidence boxes": metrics["evidence boxes"]}
    rows |= {f"location: {k}": v for k, v in metrics["location by family"].items()}
    for name, row in rows.items():
        lines.append(f"| {name} | {row['n']} | {row['IoU mean']:.3f} | {row['acc@0.5']:.3f} |")
    abstention = metrics["abstention"]
    summary = (
        f"Abstention: precision {abstention['precision']:.3f}, recall {abstention['recall']:.3f}, "
        f"F1 {abstention['F1']:.3f}. Exact citations: {metrics['sources exact']:.3f}."
    )
    return "\n".join([*lines, "", summary, ""])
