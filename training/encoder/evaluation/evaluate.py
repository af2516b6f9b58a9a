"""Evaluate retrieval on test images: languages, directions, families, seen and unseen.

The exported folder is loaded and preprocessed by open_clip, and compared with chance and with an
untrained model. Every query is ranked against all candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip.model import CustomTextCLIP
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from sightline.training.encoder.data.album import Entry, pictures, through_jpeg
from sightline.training.encoder.evaluation.precision import precision
from sightline.training.encoder.evaluation.recall import Ranks, Vectors, ranks, recall
from sightline.training.encoder.evaluation.validate import text_vectors
from sightline.training.encoder.model import export
from sightline.training.encoder.model.towers import build
from sightline.training.encoder.query_finetune import Lookup
from sightline.training.world.core.scene import LANGUAGES, Language, Scene

_BATCH = 64

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exam:
    """Test images as (n, 3, px, px) tensors with labels; captions are unique."""

    pixels: torch.Tensor
    entries: tuple[Entry, ...]

    def texts(self, language: Language) -> list[str]:
        """Return the exact caption of every image."""
        return [entry.captions[language][0] for entry in self.entries]


def draw_exam(pictures_wanted: int, preprocess: Callable[..., torch.Tensor]) -> Exam:
    """Draw test images and skip those with a caption that occurred before."""
    tensors: list[torch.Tensor] = []
    entries: list[Entry] = []
    for picture in _unique(pictures_wanted):
        tensors.append(preprocess(through_jpeg(picture)))
        entries.append(Entry.of(picture))
    return Exam(torch.stack(tensors), tuple(entries))


def evaluate(folder: Path, pictures_wanted: int, device: torch.device, seed: int = 0) -> Figures:
    """Return figures of the model and of an untrained model, as plain JSON."""
    model, preprocess, tokenizer = export.load(folder, device)
    exam = draw_exam(pictures_wanted, preprocess)
    torch.manual_seed(seed)
    twin = build(len(tokenizer)).to(device).eval()
    return {
        "pictures": len(exam.entries),
        "unseen_pictures": sum(entry.unseen for entry in exam.entries),
        "trained": _figures(model, tokenizer, exam, device),
        "untrained": _figures(twin, tokenizer, exam, device),
    }


def _figures(
    model: CustomTextCLIP, tokenizer: PreTrainedTokenizerFast, exam: Exam, device: torch.device
) -> Figures:
    seen = _picture_vectors(model, exam.pixels, device)
    figures: Figures = {}
    for language in LANGUAGES:
        said = text_vectors(model, tokenizer, exam.texts(language), device)
        lookup = Lookup.of(exam.entries)
        figures[language] = {
            "text_to_image": _by_group(ranks(said, seen), exam.entries),
            "image_to_text": _by_group(ranks(seen, said), exam.entries),
            "short_queries": precision(
                model, tokenizer, lookup.wanted, lookup.fits.numpy(), seen, language, device
            ),
        }
    return figures


def _by_group(rank: Ranks, entries: Sequence[Entry]) -> Figures:
    groups: dict[str, list[bool]] = {
        "all": [True for _ in entries],
        "seen combinations": [not entry.unseen for entry in entries],
        "unseen combinations": [entry.unseen for entry in entries],
    }
    for family in dict.fromkeys(entry.family for entry in entries):
        groups[family] = [entry.family == family for entry in entries]
    return {
        name: asdict(recall(rank, len(entries), among))
        for name, among in groups.items()
        if any(among)
    }


@torch.no_grad()
def _picture_vectors(model: CustomTextCLIP, pixels: torch.Tensor, device: torch.device) -> Vectors:
    parts: list[Vectors] = []
    for batch in torch.split(pixels, _BATCH):
        vectors = functional.normalize(model.encode_image(batch.to(device)), dim=-1)
        parts.append(vectors.float().cpu().numpy())
    return np.concatenate(parts)


def _unique(wanted: int) -> Iterator[Scene]:
    captions: dict[Language, set[str]] = {language: set() for language in LANGUAGES}
    found = 0
    for number in count():
        if found == wanted:
            return
        (picture,) = pictures("test", number, number + 1)
        if any(picture.captions[k][0] in known for k, known in captions.items()):
            continue
        for language, known in captions.items():
            known.add(picture.captions[language][0])
        found += 1
        yield picture


def table(figures: Figures) -> str:
    """Format recall at 1, 5 and 10 per group as a Markdown table."""
    head = "| pictures of | n | " + " | ".join(
        f"{language} {arrow} R@1 / 5 / 10"
        for language in LANGUAGES
        for arrow in ("text→image", "image→text")
    )
    lines = [head + " |", "|---|---|" + "---|" * 4]
    trained = figures["trained"]
    for group, found in trained["en"]["text_to_image"].items():
        lines.append(_row(group, found["queries"], _cells(trained, group)))
    lines.append(
        _row("all, untrained twin", figures["pictures"], _cells(figures["untrained"], "all"))
    )
    chance = trained["en"]["text_to_image"]["all"]["chance"]
    lines.append(_row("chance", figures["pictures"], [_triple(chance)] * 4))
    return "\n".join(lines)


def short_table(figures: Figures) -> str:
    """Format precision at 3 and 10 of short queries as a Markdown table."""
    lines = ["| short queries | n | en P@3 / 10 | zh P@3 / 10 | chance |", "|---|---|---|---|---|"]
    for name, key in (("", "trained"), (", untrained twin", "untrained")):
        both = [figures[key][language]["short_queries"] for language in LANGUAGES]
        groups = both[0] if key == "trained" else ["all"]
        for group in groups:
            cells = " | ".join(_triple(found[group]["at"]) for found in both)
            row = both[0][group]
            lines.append(f"| {group}{name} | {row['queries']} | {cells} | {row['chance']:.3f} |")
    return "\n".join(lines)


def _cells(figures: Figures, group: str) -> list[str]:
    return [
        _triple(figures[language][direction][group]["at"])
        for language in LANGUAGES
        for direction in ("text_to_image", "image_to_text")
    ]


def _row(name: str, queries: int, cells: Sequence[str]) -> str:
    return f"| {name} | {queries:,} | " + " | ".join(cells) + " |"


def _triple(at: dict[Any, float]) -> str:
    return " / ".join(f"{value:.3f}" for value in at.values())
