"""Tests of sequence packing and the answer loss."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from sightline.training.vlm.data import packing, prompt
from sightline.training.vlm.data.album import Item, QuestionAnswer
from sightline.training.vlm.data.batches import Batch, collate
from sightline.training.vlm.data.packing import FORMS, Form, PackedSequence, Packer
from sightline.training.vlm.data.prompt import ImageEvidence, TextEvidence
from sightline.training.vlm.data.tokenizer import coordinate_ids
from sightline.training.vlm.data.wordings.rephrase import Wordings
from sightline.training.vlm.stages.language_model import TrainingModel, answer_loss
from sightline.training.vlm.stages.vision_tower import to_pixel_values
from tests.support.training_records import RECORDS, TINY


def composed(tokenizer: PreTrainedTokenizerFast, form: Form) -> PackedSequence:
    packer = Packer(tokenizer, RECORDS, TINY.patches)
    sequence = packer.sample_sequence(random.Random(1), form)
    assert sequence.segments
    return sequence


@pytest.mark.parametrize("form", ["plain", "picture", "picture and passage", "several"])
def test_packed_questions_equal_separate_sequences(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, form: Form
) -> None:
    # Different lengths, so that prefixes and questions are padded.
    composers = (Packer(tokenizer, RECORDS, TINY.patches, max_questions=n) for n in (1, 3, 12))
    several = [c.pack(random.Random(n), n, form) for n, c in enumerate(composers)]
    several = [sequence for sequence in several if sequence.segments]
    assert len({len(sequence.segments) for sequence in several}) > 1
    squares = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), np.uint8)
    values = to_pixel_values(squares, torch.device("cpu"))
    training_model = TrainingModel(model, squares, torch.device("cpu"))
    batch = collate(several, 0)
    packed = training_model.forward(batch).last
    weights = [p for p in model.model.language_model.parameters() if p.requires_grad]
    asked = (batch.owner > 0).nonzero(as_tuple=True)
    taught = torch.autograd.grad(packed[asked].square().sum(), weights)
    alone, loss = [], torch.zeros(())
    for sequence in several:
        for segment in sequence.segments:
            ids = sequence.prefix + segment.question + segment.answer
            last = model(
                input_ids=torch.tensor([ids]),
                pixel_values=values[sequence.rows],
                output_hidden_states=True,
            ).hidden_states[-1][0, len(sequence.prefix) :]
            alone.append(last.detach())
            loss = loss + last.square().sum()
    torch.testing.assert_close(packed[asked], torch.cat(alone), atol=1e-5, rtol=1e-4)
    for found, expected in zip(taught, torch.autograd.grad(loss, weights), strict=True):
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("box_rate", [0.0, 1.0])
def test_packed_prompt_equals_the_chat_template(
    tokenizer: PreTrainedTokenizerFast, box_rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_BOX_MARGIN", (0.0, 0.0))
    packer = Packer(tokenizer, RECORDS, TINY.patches, box_rate=box_rate)
    sequence = packer.sample_sequence(random.Random(1), "picture and passage")
    asked = tokenizer.decode(sequence.prefix + sequence.segments[0].question)
    lines = [(text, box if box_rate else None) for text, box in RECORDS[0].texts]
    evidence: list[prompt.Evidence] = [
        ImageEvidence("data:,"),
        TextEvidence(prompt.join_passage_lines(lines)),
    ]
    if asked.index("Passage") < asked.index("Picture"):
        evidence.reverse()
    messages = prompt.grounded_messages(sequence.segments[0].qa.question, evidence)
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert asked == str(rendered).replace("<image>", "<image>" * TINY.patches)


def test_passage_lines_have_detector_like_boxes_if_their_image_is_shown(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    packer = Packer(tokenizer, RECORDS, TINY.patches)
    off = []
    for seed in range(40):
        sequence = packer.pack(random.Random(seed), 0, "picture and passage")
        for line in sequence.lines:
            assert line.box in [box for _, box in RECORDS[0].texts]
            told = prompt.parse_answer(tokenizer.decode(sequence.prefix[line.at : line.at + 4])).box
            assert told is not None
            off.append([abs(a - b) for a, b in zip(told, line.box, strict=True)])
    assert len(off) > 70
    assert 0.005 < np.mean(off) < 0.02  # lines are 0.1 high
    assert np.max(off) < 0.05
    unseen = packer.pack(random.Random(0), 0, "passages")
    assert unseen.prefix
    assert not unseen.lines


def test_text_answers_cite_the_passage(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    room = replace(RECORDS[0], family="room", items=[Item("sofa", {}, (0, 0, 1, 1))], texts=[])
    packer = Packer(tokenizer, [RECORDS[0], room], TINY.patches)
    sequence = packer.pack(random.Random(1), 0, "passages")
    answers = [tokenizer.decode(s.answer) for s in sequence.segments if s.qa.kind == "reading"]
    assert answers
    assert all(answer.startswith("HOTEL [") and "0." not in answer for answer in answers)


def test_ambiguous_questions_are_skipped(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    packer = Packer(tokenizer, RECORDS, TINY.patches)
    for seed in range(20):
        sequence = packer.sample_sequence(random.Random(seed), "several")
        if len(sequence.rows) > 1:
            assert not [s for s in sequence.segments if "van" in s.qa.question]


def test_labels_are_the_answer_tokens_shifted_by_one(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    sequence = composed(tokenizer, "picture")
    batch = collate([sequence], 0)
    for (kind, row, start, end), segment in zip(batch.spans, sequence.segments, strict=True):
        assert kind == segment.qa.kind
        assert batch.labels[row, start:end].tolist() == segment.answer
        assert batch.ids[row, start + 1 : end].tolist() == segment.answer[:-1]
    assert int((batch.labels >= 0).sum()) == sum(len(s.answer) for s in sequence.segments)


def batch_of(answer: list[int], kind: str) -> Batch:
    zeros = torch.zeros(1, len(answer), dtype=torch.long)
    return Batch(zeros, zeros, zeros, 0, torch.tensor([answer]), [], [(kind, 0, 0, len(answer))])


def test_near_coordinates_have_lower_loss_than_far_ones(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast
) -> None:
    runs = coordinate_ids(tokenizer)
    weight = model.lm_head.weight
    losses = []
    for guess in (50, 51, 90):
        hidden = weight[runs[0] + guess][None, None] * 40
        loss, _ = answer_loss(model, hidden, batch_of([runs[0] + 50], "location"), runs)
        losses.append(float(loss.detach()))
    assert losses[0] < losses[2]
    assert losses[1] < losses[2]


def test_words_weigh_more_than_location_boxes_and_these_more_than_evidence_boxes(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast
) -> None:
    runs = coordinate_ids(tokenizer)
    word, place = 1, runs[0]
    sure = model.lm_head.weight[word].detach() * 1000

    def loss(answer: list[int], kind: str) -> float:
        hidden = sure.expand(1, len(answer), -1)
        found, right = answer_loss(model, hidden, batch_of(answer, kind), runs)
        assert right == 1.0 or word not in answer
        return float(found.detach())

    alone = loss([place], "count")
    assert loss([word], "count") < 0.1 * alone
    assert loss([word, place], "count") < 0.3 * alone
    assert loss([word, place], "count") < loss([word, place], "location") < 0.5 * alone


def test_kind_weights_change_the_sampling_rate(tokenizer: PreTrainedTokenizerFast) -> None:
    asked: dict[bool, int] = {}
    for kind_weights in ({}, {"attribute": 5.0, "unanswerable": 0.1}):
        packer = Packer(
            tokenizer, RECORDS, TINY.patches, max_questions=1, kind_weights=kind_weights
        )
        made = [packer.pack(random.Random(seed), 0, "plain") for seed in range(200)]
        kinds = [sequence.segments[0].qa.kind for sequence in made]
        asked[bool(kind_weights)] = kinds.count("attribute")
        assert len(made[0].segments) == 1
    assert asked[True] > 1.5 * asked[False]


def test_form_probabilities_sum_to_one() -> None:
    assert sum(FORMS.values()) == pytest.approx(1)


@pytest.mark.parametrize("form", ["plain", "picture"])
def test_wordings_change_questions_but_not_answers(
    tokenizer: PreTrainedTokenizerFast, form: Form
) -> None:
    packer = Packer(tokenizer, RECORDS, TINY.patches, wordings=Wordings.load(rate=1.0))
    rng = random.Random(0)
    answers = {qa.question: qa.answer for qa in RECORDS[0].questions}
    reworded, more = set(), set()
    for _ in range(30):
        for segment in packer.pack(rng, 0, form).segments:
            question = tokenizer.decode(segment.question)
            if segment.qa.question not in answers:
                assert (segment.qa.kind, segment.qa.box) == ("unanswerable", None)
                assert segment.qa.answer in prompt.NOT_SHOWN
                more.add(segment.qa.question)
            elif segment.qa.kind == "attribute":
                assert "white" in tokenizer.decode(segment.answer)
                reworded.add(question)
    assert len(reworded) > 15
    assert len(more) > 15


def test_questions_about_objects_of_another_family_are_unanswerable(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    mug = QuestionAnswer("attribute", "en", "What colour is the mug?", "red", None)
    chinese = QuestionAnswer("attribute", "zh", "马克杯是什么颜色？", "红色", None)
    card = replace(
        RECORDS[0],
        family="product",
        items=[Item("mug", {"colour": "red"}, (0.1, 0.1, 0.6, 0.5))],
        questions=[mug, chinese],
    )
    packer = Packer(tokenizer, [RECORDS[0], card], TINY.patches, wordings=Wordings.load(rate=0.0))
    rng = random.Random(0)
    found = {
        (segment.qa.kind, segment.qa.question, segment.qa.answer)
        for _ in range(60)
        for segment in packer.pack(rng, 0, "picture").segments
    }
    assert ("unanswerable", mug.question, "not shown") in found
    assert ("unanswerable", chinese.question, "图中没有") in found
    assert ("attribute", mug.question, "red") not in found
