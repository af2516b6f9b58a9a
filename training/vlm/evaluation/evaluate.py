"""Figures on held-out pictures, from greedy answers that were generated and parsed.

Three ways of asking (see ``prompt``): a picture by itself; a picture with the text that stands on
it as a passage, which is what Sightline sends after OCR; and two or three pictures, some with
passages, of which one is meant. An answer is exact when its text equals the truth but for case and
blanks; "not shown" is the exact answer to a question that cannot be answered.
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
from sightline.training.vlm.data.packing import Composer, Form, Segment
from sightline.training.vlm.data.prompt import Answer, parse_answer
from sightline.training.vlm.evaluation.speed import measure
from sightline.training.vlm.stages.vision_tower import pixels

#: The ways of asking, and how many questions each asks of a picture beside the others.
_FORMS: Final[dict[Form, float]] = {"picture": 1, "picture and passage": 1, "several": 0.5}
QUESTIONS: Final = 2
_BATCH: Final = 24
_LONGEST: Final = 32
Figures = dict[str, object]


@dataclass(frozen=True, slots=True)
class Given:
    """One question as it was asked and answered."""

    form: str
    segment: Segment
    record: Record
    truth: Answer
    answer: Answer

    @property
    def exact(self) -> bool:
        """Whether the text is the true one."""
        return _plain(self.truth.text) == _plain(self.answer.text)

    @property
    def kind(self) -> str:
        """The kind of question; what is read from a passage is no reading of a picture."""
        ask = self.segment.ask
        from_passage = ask.kind == "reading" and ask.box is not None and self.truth.box is None
        return "reading from a passage" if from_passage else ask.kind

    @property
    def overlap(self) -> float:
        """IoU of the answer's box with the true box; 0 without one."""
        if self.truth.box is None or self.answer.box is None:
            return 0.0
        return iou(self.truth.box, self.answer.box)


def evaluate(
    folder: Path, split: str, pictures: int, device: torch.device, questions: int = QUESTIONS
) -> Figures:
    """Draw ``pictures`` of ``split`` ("test" or "validation"), ask, and count.

    Of each picture up to ``questions`` are asked by itself, as many with its text as a passage, and
    half as many among other pictures.
    """
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    model = model.to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    patches = model.config.image_seq_length
    with tempfile.TemporaryDirectory() as place:
        album = Path(place) / "album"
        edge = model.config.vision_config.image_size
        draw_album(album, "test" if split == "test" else "validation", pictures, edge=edge)
        squares, records = open_album(album, edge)
        given: list[Given] = []
        began = time.monotonic()
        for form, share in _FORMS.items():
            most = max(1, round(share * questions))
            composer = Composer(tokenizer, records, patches, questions=most)
            given += _ask(model, composer, form, squares, device)
        seconds = time.monotonic() - began
        speed = measure(model, Composer(tokenizer, records, patches), squares, device)
    head: Figures = {
        "split": split,
        "pictures": pictures,
        "questions": questions,
        "seconds": round(seconds),
    }
    return {**head, "speed": speed, **figures(given)}


def figures(given: Sequence[Given]) -> Figures:
    """All figures of the answers given, by way of asking."""
    result: Figures = {}
    for form in dict.fromkeys(g.form for g in given):
        part = [g for g in given if g.form == form]
        texts = [g for g in part if g.segment.ask.kind != "location"]
        result[form] = {
            "questions": len(part),
            "exact": _exact(texts),
            "by kind": _by(texts, lambda g: g.kind),
            "by family": _by(texts, lambda g: g.record.family),
            "by language": _by(texts, lambda g: g.segment.ask.language),
            "seen and unseen": _by(texts, lambda g: "unseen" if g.record.unseen else "seen"),
            "location": _boxes([g for g in part if g.segment.ask.kind == "location"]),
            "location by family": {
                family: _boxes([g for g in located if g.record.family == family])
                for located in [[g for g in part if g.segment.ask.kind == "location"]]
                for family in sorted({g.record.family for g in located})
            },
            "evidence boxes": _boxes([g for g in texts if g.truth.box is not None]),
            "abstention": _abstention(part),
            "sources exact": _share([g.truth.sources == g.answer.sources for g in part]),
        }
    return result


@torch.no_grad()
def _ask(
    model: LlavaForConditionalGeneration,
    composer: Composer,
    form: Form,
    squares: Squares,
    device: torch.device,
) -> list[Given]:
    """Ask about every picture in one form; questions of one length of evidence go together."""
    rng = random.Random(f"evaluate/{form}")
    asked: list[tuple[list[int], list[int], Segment]] = []
    for row in range(len(composer.records)):
        pack = composer.about(rng, row, form)
        asked += [(pack.prefix + s.question, pack.rows, s) for s in pack.segments]
    asked.sort(key=lambda one: len(one[0]))
    tokenizer = composer.tokenizer
    given = []
    for start in range(0, len(asked), _BATCH):
        batch = asked[start : start + _BATCH]
        padded = tokenizer.pad({"input_ids": [ids for ids, _, _ in batch]}, return_tensors="pt")
        rows = [row for _, rows, _ in batch for row in rows]
        images = pixels(squares[rows], device) if rows else None
        output = model.generate(
            **padded.to(device), pixel_values=images, do_sample=False, max_new_tokens=_LONGEST
        )
        lines = tokenizer.batch_decode(
            output[:, padded["input_ids"].shape[1] :], skip_special_tokens=True
        )
        for line, (_, _, segment) in zip(lines, batch, strict=True):
            truth = parse_answer(tokenizer.decode(segment.answer, skip_special_tokens=True))
            record = composer.records[segment.row]
            given.append(Given(form, segment, record, truth, parse_answer(line)))
    return given


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".。")


def _share(hits: Sequence[bool]) -> float:
    return round(sum(hits) / len(hits), 4) if hits else 0.0


def _exact(given: Sequence[Given]) -> Figures:
    return {"n": len(given), "exact": _share([g.exact for g in given])}


def _by(given: Sequence[Given], key: Callable[[Given], str]) -> Figures:
    groups = sorted({key(g) for g in given})
    return {group: _exact([g for g in given if key(g) == group]) for group in groups}


def _boxes(given: Sequence[Given]) -> Figures:
    overlaps = [g.overlap for g in given]
    mean = sum(overlaps) / len(overlaps) if overlaps else 0.0
    return {
        "n": len(given),
        "IoU mean": round(mean, 4),
        "acc@0.5": _share([overlap >= 0.5 for overlap in overlaps]),
    }


def _abstention(given: Sequence[Given]) -> Figures:
    should = [g.segment.ask.kind == "unanswerable" for g in given]
    did = [g.answer.status == "not shown" for g in given]
    both = sum(a and b for a, b in zip(should, did, strict=True))
    precision, recall = both / max(sum(did), 1), both / max(sum(should), 1)
    return {
        "n": len(given),
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "F1": round(2 * precision * recall / max(precision + recall, 1e-9), 4),
    }
