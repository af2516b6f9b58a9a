"""What the language model is taught: packs of questions, and the loss of answers."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from sightline.training.vlm.data import packing, prompt
from sightline.training.vlm.data.album import Item
from sightline.training.vlm.data.batches import Batch, collate
from sightline.training.vlm.data.packing import FORMS, Composer, Form, Pack
from sightline.training.vlm.data.prompt import Passage, Shown
from sightline.training.vlm.data.tokenizer import coordinate_ids
from sightline.training.vlm.stages.language_model import Pupil, answer_loss
from sightline.training.vlm.stages.vision_tower import pixels
from tests.support.lessons import RECORDS, TINY


def composed(tokenizer: PreTrainedTokenizerFast, form: Form) -> Pack:
    composer = Composer(tokenizer, RECORDS, TINY.patches)
    pack = composer.compose(random.Random(1), form)
    assert pack.segments
    return pack


@pytest.mark.parametrize("form", ["plain", "picture", "picture and passage", "several"])
def test_packed_questions_read_and_teach_as_if_each_were_asked_alone(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, form: Form
) -> None:
    # Packs of unlike lengths, so that evidence and questions are padded.
    composers = (Composer(tokenizer, RECORDS, TINY.patches, questions=n) for n in (1, 3, 12))
    several = [c.about(random.Random(n), n, form) for n, c in enumerate(composers)]
    several = [pack for pack in several if pack.segments]
    assert len({len(pack.segments) for pack in several}) > 1
    squares = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), np.uint8)
    values = pixels(squares, torch.device("cpu"))
    pupil = Pupil(model, squares, torch.device("cpu"))
    batch = collate(several, 0)
    packed = pupil.read(batch).last
    weights = [p for p in model.model.language_model.parameters() if p.requires_grad]
    asked = (batch.owner > 0).nonzero(as_tuple=True)
    taught = torch.autograd.grad(packed[asked].square().sum(), weights)
    alone, loss = [], torch.zeros(())
    for pack in several:
        for segment in pack.segments:
            ids = pack.prefix + segment.question + segment.answer
            last = model(
                input_ids=torch.tensor([ids]),
                pixel_values=values[pack.rows],
                output_hidden_states=True,
            ).hidden_states[-1][0, len(pack.prefix) :]
            alone.append(last.detach())
            loss = loss + last.square().sum()
    torch.testing.assert_close(packed[asked], torch.cat(alone), atol=1e-5, rtol=1e-4)
    for found, expected in zip(taught, torch.autograd.grad(loss, weights), strict=True):
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("placed", [0.0, 1.0])
def test_the_lesson_is_what_the_chat_template_makes_of_the_messages(
    tokenizer: PreTrainedTokenizerFast, placed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_LOOSE", (0.0, 0.0))
    composer = Composer(tokenizer, RECORDS, TINY.patches, placed=placed)
    pack = composer.compose(random.Random(1), "picture and passage")
    asked = tokenizer.decode(pack.prefix + pack.segments[0].question)
    lines = [(text, box if placed else None) for text, box in RECORDS[0].readings]
    evidence: list[prompt.Evidence] = [Shown("data:,"), Passage(prompt.passage_text(lines))]
    if asked.index("Passage") < asked.index("Picture"):
        evidence.reverse()
    messages = prompt.grounded_messages(pack.segments[0].ask.question, evidence)
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert asked == str(rendered).replace("<image>", "<image>" * TINY.patches)


def test_lines_bear_the_boxes_that_a_detector_draws_where_their_picture_is_shown(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    composer = Composer(tokenizer, RECORDS, TINY.patches)
    off = []
    for seed in range(40):
        pack = composer.about(random.Random(seed), 0, "picture and passage")
        for line in pack.lines:
            assert line.box in [box for _, box in RECORDS[0].readings]
            told = prompt.parse_answer(tokenizer.decode(pack.prefix[line.at : line.at + 4])).box
            assert told is not None
            off.append([abs(a - b) for a, b in zip(told, line.box, strict=True)])
    assert len(off) > 70
    assert 0.005 < np.mean(off) < 0.02  # lines are 0.1 high
    assert np.max(off) < 0.05
    unseen = composer.about(random.Random(0), 0, "passages")
    assert unseen.prefix
    assert not unseen.lines


def test_text_that_stands_in_a_passage_is_cited_from_there(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    room = replace(RECORDS[0], family="room", items=[Item("sofa", {}, (0, 0, 1, 1))], readings=[])
    composer = Composer(tokenizer, [RECORDS[0], room], TINY.patches)
    pack = composer.about(random.Random(1), 0, "passages")
    answers = [tokenizer.decode(s.answer) for s in pack.segments if s.ask.kind == "reading"]
    assert answers
    assert all(answer.startswith("HOTEL [") and "0." not in answer for answer in answers)


def test_a_question_that_fits_two_pictures_is_not_asked_of_both(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    composer = Composer(tokenizer, RECORDS, TINY.patches)
    for seed in range(20):
        pack = composer.compose(random.Random(seed), "several")
        if len(pack.rows) > 1:
            assert not [s for s in pack.segments if "van" in s.ask.question]


def test_only_answers_are_learnt_and_each_token_from_the_one_before(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    pack = composed(tokenizer, "picture")
    batch = collate([pack], 0)
    for (kind, row, start, end), segment in zip(batch.spans, pack.segments, strict=True):
        assert kind == segment.ask.kind
        assert batch.labels[row, start:end].tolist() == segment.answer
        assert batch.ids[row, start + 1 : end].tolist() == segment.answer[:-1]
    assert int((batch.labels >= 0).sum()) == sum(len(s.answer) for s in pack.segments)


def batch_of(answer: list[int], kind: str) -> Batch:
    """One answer and nothing else."""
    zeros = torch.zeros(1, len(answer), dtype=torch.long)
    return Batch(zeros, zeros, zeros, 0, torch.tensor([answer]), [], [(kind, 0, 0, len(answer))])


def test_a_near_coordinate_costs_less_than_a_far_one(
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


def test_a_word_weighs_more_than_a_place_and_a_place_asked_for_more_than_evidence(
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


def test_what_is_emphasised_is_asked_more_often(tokenizer: PreTrainedTokenizerFast) -> None:
    asked: dict[bool, int] = {}
    for emphasis in ({}, {"attribute": 5.0, "unanswerable": 0.1}):
        composer = Composer(tokenizer, RECORDS, TINY.patches, questions=1, emphasis=emphasis)
        made = [composer.about(random.Random(seed), 0, "plain") for seed in range(200)]
        kinds = [pack.segments[0].ask.kind for pack in made]
        asked[bool(emphasis)] = kinds.count("attribute")
        assert len(made[0].segments) == 1
    assert asked[True] > 1.5 * asked[False]


def test_every_form_is_taught() -> None:
    assert sum(FORMS.values()) == pytest.approx(1)
