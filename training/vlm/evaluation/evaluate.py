"""Metrics on held-out images from greedy, parsed answers.

Three prompt forms (see ``data.prompt``): one image; one image with its text as a passage, as
Sightline sends it after OCR; two or three images, some with passages. An answer is exact if its
text equals the ground truth, ignoring case and whitespace. "not shown" is the exact answer to
unanswerable questions.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from transformers import AutoTokenizer, LlavaForConditionalGeneration

from sightline.training.vlm.data.album import Record, Squares, open_album
from sightline.training.vlm.data.drawing import draw_album
from sightline.training.vlm.data.letterbox import iou
from sightline.training.vlm.data.packing import Form, Packer, Segment
from sightline.training.vlm.data.prompt import Answer, parse_answer
from sightline.training.vlm.evaluation.speed import measure_speed
from sightline.training.vlm.stages.vision_tower import to_pixel_values

#: Prompt forms and their relative number of questions per image.
_FORMS: Final[dict[Form, float]] = {"picture": 1, "picture and passage": 1, "several": 0.5}
MAX_QUESTIONS: Final = 2
_BATCH: Final = 24
_MAX_NEW_TOKENS: Final = 32
Metrics = dict[str, object]


@dataclass(frozen=True, slots=True)
class EvaluatedAnswer:
    """One question with expected and generated answer."""

    form: str
    segment: Segment
    record: Record
    expected: Answer
    answer: Answer

    @property
    def exact(self) -> bool:
        """Whether the answer text is correct."""
        return _normalize(self.expected.text) == _normalize(self.answer.text)

    @property
    def kind(self) -> str:
        """Question kind; reading from a passage is a kind of its own."""
        qa = self.segment.qa
        from_passage = qa.kind == "reading" and qa.box is not None and self.expected.box is None
        return "reading from a passage" if from_passage else qa.kind

    @property
    def overlap(self) -> float:
        """IoU of the answer box and the true box; 0 without a box."""
        if self.expected.box is None or self.answer.box is None:
            return 0.0
        return iou(self.expected.box, self.answer.box)


def evaluate(
    folder: Path, split: str, images: int, device: torch.device, questions: int = MAX_QUESTIONS
) -> Metrics:
    """Draw images of ``split`` ("test" or "validation") and compute metrics.

    Per image, up to ``questions`` questions are asked about the image alone, as many with its text
    as a passage, and half as many with several images.
    """
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    model = model.to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    patches = model.config.image_seq_length
    with tempfile.TemporaryDirectory() as temporary:
        album = Path(temporary) / "album"
        edge = model.config.vision_config.image_size
        draw_album(album, "test" if split == "test" else "validation", images, edge=edge)
        squares, records = open_album(album, edge)
        answers: list[EvaluatedAnswer] = []
        started = time.monotonic()
        for form, share in _FORMS.items():
            limit = max(1, round(share * questions))
            packer = Packer(tokenizer, records, patches, max_questions=limit)
            answers += _generate_answers(model, packer, form, squares, device)
        seconds = time.monotonic() - started
        speed = measure_speed(model, Packer(tokenizer, records, patches), squares, device)
    head: Metrics = {
        "split": split,
        "pictures": images,
        "questions": questions,
        "seconds": round(seconds),
    }
    return {**head, "speed": speed, **compute_metrics(answers)}


def compute_metrics(answers: Sequence[EvaluatedAnswer]) -> Metrics:
    """Compute all metrics by prompt form."""
    result: Metrics = {}
    for form in dict.fromkeys(g.form for g in answers):
        part = [g for g in answers if g.form == form]
        texts = [g for g in part if g.segment.qa.kind != "location"]
        result[form] = {
            "questions": len(part),
            "exact": _exact(texts),
            "by kind": _exact_by(texts, lambda g: g.kind),
            "by family": _exact_by(texts, lambda g: g.record.family),
            "by language": _exact_by(texts, lambda g: g.segment.qa.language),
            "seen and unseen": _exact_by(texts, lambda g: "unseen" if g.record.unseen else "seen"),
            "location": _box_metrics([g for g in part if g.segment.qa.kind == "location"]),
            "location by family": {
                family: _box_metrics([g for g in located if g.record.family == family])
                for located in [[g for g in part if g.segment.qa.kind == "location"]]
                for family in sorted({g.record.family for g in located})
            },
            "evidence boxes": _box_metrics([g for g in texts if g.expected.box is not None]),
            "abstention": _abstention(part),
            "sources exact": _share([g.expected.sources == g.answer.sources for g in part]),
        }
    return result


@torch.no_grad()
def _generate_answers(
    model: LlavaForConditionalGeneration,
    packer: Packer,
    form: Form,
    squares: Squares,
    device: torch.device,
) -> list[EvaluatedAnswer]:
    """Ask questions about all images in one form, batched by prompt length."""
    rng = random.Random(f"evaluate/{form}")
    prompts: list[tuple[list[int], list[int], Segment]] = []
    for row in range(len(packer.records)):
        sequence = packer.pack(rng, row, form)
        prompts += [(sequence.prefix + s.question, sequence.rows, s) for s in sequence.segments]
    prompts.sort(key=lambda one: len(one[0]))
    tokenizer = packer.tokenizer
    answers = []
    for start in range(0, len(prompts), _BATCH):
        batch = prompts[start : start + _BATCH]
        padded = tokenizer.pad({"input_ids": [ids for ids, _, _ in batch]}, return_tensors="pt")
        rows = [row for _, rows, _ in batch for row in rows]
        values = to_pixel_values(squares[rows], device) if rows else None
        output = model.generate(
            **padded.to(device),
            pixel_values=values,
            do_sample=False,
            max_new_tokens=_MAX_NEW_TOKENS,
        )
        lines = tokenizer.batch_decode(
            output[:, padded["input_ids"].shape[1] :], skip_special_tokens=True
        )
        for line, (_, _, segment) in zip(lines, batch, strict=True):
            expected = parse_answer(tokenizer.decode(segment.answer, skip_special_tokens=True))
            record = packer.records[segment.row]
            answers.append(EvaluatedAnswer(form, segment, record, expected, parse_answer(line)))
    return answers


def _normalize(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".。")


def _share(hits: Sequence[bool]) -> float:
    return round(sum(hits) / len(hits), 4) if hits else 0.0


def _exact(answers: Sequence[EvaluatedAnswer]) -> Metrics:
    return {"n": len(answers), "exact": _share([g.exact for g in answers])}


def _exact_by(answers: Sequence[EvaluatedAnswer], key: Callable[[EvaluatedAnswer], str]) -> Metrics:
    groups = sorted({key(g) for g in answers})
    return {group: _exact([g for g in answers if key(g) == group]) for group in groups}


def _box_metrics(answers: Sequence[EvaluatedAnswer]) -> Metrics:
    overlaps = [g.overlap for g in answers]
    mean = sum(overlaps) / len(overlaps) if overlaps else 0.0
    return {
        "n": len(answers),
        "IoU mean": round(mean, 4),
        "acc@0.5": _share([overlap >= 0.5 for overlap in overlaps]),
    }


def _abstention(answers: Sequence[EvaluatedAnswer]) -> Metrics:
    unanswerable = [g.segment.qa.kind == "unanswerable" for g in answers]
    abstained = [g.answer.status == "not shown" for g in answers]
    correct = sum(a and b for a, b in zip(unanswerable, abstained, strict=True))
    precision, recall = correct / max(sum(abstained), 1), correct / max(sum(unanswerable), 1)
    return {
        "n": len(answers),
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "F1": round(2 * precision * recall / max(precision + recall, 1e-9), 4),
    }
