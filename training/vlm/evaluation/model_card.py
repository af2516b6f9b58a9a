"""Writes MODEL_CARD.md from what training and evaluation left, so that no figure is typed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any, Final

from safetensors import safe_open

from sightline.training.vlm.recipe import curves

_HEAD: Final = """# builtin-llava

A tiny LLaVA ({parameters:.1f}M parameters, {megabytes:.1f} MB, fp16) that answers questions about
the drawn world of `training/world` in English and Chinese, with evidence numbers and boxes. It
makes the demo and the tests run without any download. **It knows nothing but that world: real
photographs, documents and scans are outside it, and what it says about them means nothing.**

- Format: Hugging Face `LlavaForConditionalGeneration` (SigLIP tower, MLP projector, Llama), read by
  transformers and laid out for vLLM; served by `sightline vlm builtin`.
- Prompt, answers and the frame of boxes: `prompt.py` and `letterbox.py` in `training/vlm/data`.
- Data: pictures drawn by `training/world` from its training seeds, and their own truths. No
  photograph and no text of others went into it. Licence: as the repository's.

## Training

`python -m sightline.training.vlm train`. Stages: the vision tower on the truth of every patch
(label, attributes, box, counts, characters) and of every picture (its light, paper, room), its
heads starting as looks at their neighbours; the Llama on all forms of the prompt, told the truth of
every patch in place of the picture; the projector alone (LLaVA's first stage), to say of what the
tower saw what the Llama was told; everything together on all forms of the prompt (LLaVA's second
stage), the tower still at first. The heads of one layer are shown where each answer stands and
begin by handing over what is there; one of the first layer is shown the token before, by which
copying from passages begins. Lines of a passage bear their boxes where their picture is shown, as
loose and as uneven as a detector of text was found to draw them. Several questions are packed
behind one picture; simple pictures come first.

`python -m sightline.training.vlm train --start FOLDER` goes on from an exported folder: the tower
by itself, the projector, until it says of what the tower sees now what it said before, and
everything together; with `--keep-tower` everything together at once, the tower still at first.

{note}
"""
_FIGURES: Final = """## Figures

On {pictures} held-out {split} pictures, up to {questions} questions of each by itself and with its
text, half as many among others; greedy answers were generated and parsed. Exact: the answer's text
equals the truth; location questions are scored by their boxes alone. A question that the picture
cannot answer is exact when the model says "not shown". Unseen: a combination of attributes that no
training picture showed. Passages hold the true text, a line in twenty-five lost, with boxes drawn
as loosely as OCR draws them; answers with real OCR are measured in `docs/explanation/grounding.md`.
"""
_FORMS: Final = {
    "picture": "A picture by itself",
    "picture and passage": "A picture with its text, line by line (what Sightline sends after OCR)",
    "several": "Two or three pictures, some with passages; one is meant",
}


def write_card(model: Path, work: Path, report: Mapping[str, Any], note: str = "") -> None:
    """Write the card into the ``model`` folder from ``work``'s curves and a ``report``.

    ``note`` is what else the reader should know of how this checkpoint came about.
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
    parts.append(_FIGURES.format_map(report))
    for form, title in _FORMS.items():
        if form in report:
            parts.append(_form(title, report[form]))
    parts.append(_speed(report["speed"]))
    parts.append(_LIMITS)
    (model / "MODEL_CARD.md").write_text("\n".join(parts), encoding="utf-8")


_LIMITS: Final = """## Limits

- The aims were 0.90 exact, 0.85 acc@0.5 and 0.85 abstention F1; the tables say, kind by kind, what
  is reached. Check its claims (`answer_question` does) and trust none of them unchecked.
- Small text is not legible at 160 pixels; give what OCR reads as a passage.
- Prompts other than the two forms of `prompt.py` were not trained and get arbitrary answers.
"""


def _stages(work: Path) -> str:
    rows = ["| stage | steps | minutes | loss, first and last |", "|---|---|---|---|"]
    for stage in curves(work):
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
        f"On {speed['device']} with {speed['threads']} thread(s), fp32, through transformers, the "
        f"fastest of some rounds while other work shared the machine: first token after "
        f"{1000 * speed['first token seconds']:.0f} ms; answers a second: {', '.join(rates)}."
    )
    return f"## Speed\n\n{fill(text, 100)}\n"


def _form(title: str, figures: Mapping[str, Any]) -> str:
    lines = [f"### {title}", "", "| | n | exact |", "|---|---|---|"]
    lines.append(f"| all | {figures['exact']['n']} | {figures['exact']['exact']:.3f} |")
    for group in ("by kind", "by family", "by language", "seen and unseen"):
        for name, row in figures[group].items():
            lines.append(
                f"| {group.removeprefix('by ')}: {name} | {row['n']} | {row['exact']:.3f} |"
            )
    lines += ["", "| boxes | n | IoU mean | acc@0.5 |", "|---|---|---|---|"]
    rows = {"location questions": figures["location"], "evidence boxes": figures["evidence boxes"]}
    rows |= {f"location: {k}": v for k, v in figures["location by family"].items()}
    for name, row in rows.items():
        lines.append(f"| {name} | {row['n']} | {row['IoU mean']:.3f} | {row['acc@0.5']:.3f} |")
    abstention = figures["abstention"]
    summary = (
        f"Abstention: precision {abstention['precision']:.3f}, recall {abstention['recall']:.3f}, "
        f"F1 {abstention['F1']:.3f}. Sources exactly right: {figures['sources exact']:.3f}."
    )
    return "\n".join([*lines, "", summary, ""])
