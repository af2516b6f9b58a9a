"""Tests of attention supervision, oracle embeddings, tower init and targets."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from sightline.training.vlm.data.album import Item, QuestionAnswer, Record
from sightline.training.vlm.data.batches import collate
from sightline.training.vlm.data.packing import Packer
from sightline.training.vlm.data.patch_targets import (
    TargetVocabulary,
    build_targets,
    visible_attributes,
)
from sightline.training.vlm.model.attention_supervision import (
    SUPERVISED_LAYER,
    attention_loss,
    attention_targets,
    copied_positions,
    init_value_copy,
    previous_token_loss,
)
from sightline.training.vlm.model.global_qa_head import GlobalQaHead, select_questions
from sightline.training.vlm.model.llava import HEAD, build_model
from sightline.training.vlm.model.oracle_embeddings import OracleEmbedding, init_oracle
from sightline.training.vlm.model.vit_init import init_tower
from sightline.training.vlm.stages.language_model import TrainingModel
from sightline.training.vlm.stages.vision_tower import to_pixel_values
from tests.support.training_records import RECORDS, TINY

# Attention supervision


def test_attention_loss_can_be_minimized(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    shape = replace(TINY, text_layers=SUPERVISED_LAYER + 1, text_width=128, edge=64)
    fresh = build_model(shape, tokenizer)
    squares = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), np.uint8)
    training_model = TrainingModel(fresh, squares, torch.device("cpu"))
    packer = Packer(tokenizer, RECORDS, shape.patches)
    sequences = [packer.pack(random.Random(seed), seed, "picture") for seed in range(3)]
    batch = collate(sequences, 0)
    layer = fresh.model.language_model.layers[SUPERVISED_LAYER].self_attn
    learner = torch.optim.Adam([layer.q_proj.weight, layer.k_proj.weight], 1e-2)
    losses = []
    for _ in range(12):
        layer_input = training_model.forward(batch).layer_input.detach()
        loss = attention_loss(fresh, layer_input, sequences, batch, tokenizer)
        assert loss is not None
        losses.append(float(loss.detach()))
        learner.zero_grad()
        loss.backward()
        learner.step()
    assert losses[-1] < 0.7 * losses[0]


def test_previous_token_loss_can_be_minimized(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    fresh = build_model(TINY, tokenizer)
    squares = np.zeros((3, 32, 32, 3), np.uint8)
    training_model = TrainingModel(fresh, squares, torch.device("cpu"))
    packer = Packer(tokenizer, RECORDS, TINY.patches)
    batch = collate([packer.pack(random.Random(seed), seed, "picture") for seed in range(3)], 0)
    layer = fresh.model.language_model.layers[0].self_attn
    learner = torch.optim.Adam([layer.q_proj.weight, layer.k_proj.weight], 1e-2)
    losses = []
    for _ in range(12):
        loss = previous_token_loss(fresh, training_model.forward(batch).embeds.detach(), batch)
        losses.append(float(loss.detach()))
        learner.zero_grad()
        loss.backward()
        learner.step()
    assert losses[-1] < 0.7 * losses[0]


def test_global_question_targets_all_patches(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    torch.manual_seed(0)
    fresh = build_model(replace(TINY, text_layers=SUPERVISED_LAYER + 1), tokenizer)
    record = replace(
        RECORDS[0], questions=[QuestionAnswer("attribute", "en", "Day or night?", "day", None)]
    )
    sequence = Packer(tokenizer, [record], TINY.patches).pack(random.Random(0), 0, "picture")
    batch = collate([sequence], 0)
    training_model = TrainingModel(fresh, np.zeros((1, 32, 32, 3), np.uint8), torch.device("cpu"))
    layer_input = training_model.forward(batch).layer_input
    loss = attention_loss(fresh, layer_input, [sequence], batch, tokenizer)
    assert loss is not None
    # A random model has uniform attention, so the loss is the log share of target patches.
    shown = len([token for token in sequence.prefix if token == fresh.config.image_token_id])
    _, _, start, end = batch.spans[0]
    shares = [shown / (place + 1) for place in range(start, end - 1)]
    assert float(loss.detach()) == pytest.approx(-np.mean(np.log(shares)), abs=0.1)


def target_summary(
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    questions: list[QuestionAnswer],
) -> list[tuple[str, str, int]]:
    """Return token, target text and number of target patches per answer token."""
    record = replace(RECORDS[0], questions=questions)
    packer = Packer(tokenizer, [record], TINY.patches)
    sequence = packer.pack(random.Random(2), 0, "picture and passage")
    batch = collate([sequence], 0)
    found = []
    for place, at in zip(*attention_targets(model, [sequence], batch, tokenizer)[1:], strict=True):
        seen = batch.ids[0, torch.from_numpy(at)]
        patches = int((seen == model.config.image_token_id).sum())
        text = tokenizer.decode(seen[seen != model.config.image_token_id])
        found.append((tokenizer.decode([int(batch.labels[0, place])]), str(text), patches))
    return found


def test_location_of_text_targets_the_box_of_its_passage_line(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast
) -> None:
    sign = RECORDS[0].texts[0][1]
    found = target_summary(
        model, tokenizer, [QuestionAnswer("location", "en", "Where is the name?", "it", sign)]
    )
    corners = [(said, text, patches) for said, text, patches in found if "0." in said]
    assert len(corners) == 4
    for said, text, patches in corners:
        assert patches > 0
        # The same coordinate of the passage box, which has a small margin.
        assert text.strip("[],")[:2] == said.strip("[],")[:2]
    van = RECORDS[0].items[0].box
    found = target_summary(
        model, tokenizer, [QuestionAnswer("location", "en", "Where is the van?", "it", van)]
    )
    assert {text for _, text, _ in found} == {""}
    assert all(patches > 0 for _, _, patches in found)


def test_answer_in_a_passage_targets_the_passage_for_every_kind(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast
) -> None:
    sign = RECORDS[0].texts[0][1]
    for kind in ("relation", "comparison", "attribute"):
        found = target_summary(
            model, tokenizer, [QuestionAnswer(kind, "en", "What is it?", "HOTEL", sign)]
        )
        word = [(said, text) for said, text, patches in found if not patches]
        assert "".join(said for said, _ in word) == "HOTEL"
        assert "".join(text for _, text in word).replace(" ", "") == "HOTEL"
    # A count is not copied from a passage.
    assert (
        target_summary(model, tokenizer, [QuestionAnswer("count", "en", "How many?", "12", None)])
        == []
    )


def test_value_copy_initialization_passes_patches_through(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    torch.manual_seed(0)
    fresh = build_model(TINY, tokenizer)
    attention = fresh.model.language_model.layers[SUPERVISED_LAYER].self_attn
    patch = torch.randn(8, TINY.text_width)

    def likeness() -> float:
        with torch.no_grad():
            return float(cosine_similarity(attention.o_proj(attention.v_proj(patch)), patch).mean())

    before = likeness()
    init_value_copy(fresh)
    assert abs(before) < 0.3
    assert likeness() > 0.8


def test_question_without_box_has_no_attention_target(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast
) -> None:
    record = replace(RECORDS[0], questions=[RECORDS[0].questions[-1]])
    sequence = Packer(tokenizer, [record], TINY.patches).pack(random.Random(0), 0, "picture")
    batch = collate([sequence], 0)
    layer_input = torch.zeros(*batch.ids.shape, TINY.text_width)
    assert attention_loss(model, layer_input, [sequence], batch, tokenizer) is None


def test_copied_positions_follow_the_answer_tokens(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    record = replace(RECORDS[0], texts=[("HOTEL ROOMS", (0.1, 0.7, 0.4, 0.8))])
    record = replace(
        record, questions=[QuestionAnswer("reading", "en", "Which rooms?", "ROOMS", None)]
    )
    room = replace(RECORDS[0], family="room", items=[Item("sofa", {}, (0, 0, 1, 1))], texts=[])
    packer = Packer(tokenizer, [record, room], TINY.patches)
    sequence = packer.pack(random.Random(1), 0, "passages")
    places = copied_positions(sequence.segments[0], sequence.prefix, tokenizer)
    told = "".join(tokenizer.decode([sequence.prefix[place]]) for place in places).replace(" ", "")
    assert told == "ROOMS"
    assert copied_positions(sequence.segments[0], sequence.prefix[: places[0]], tokenizer) == []


# Oracle embeddings and tower initialization


def test_oracle_embeds_known_targets_and_ignores_unknown_ones(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    words = TargetVocabulary(["", "room", "van"], {"colour": ["red", "white"]}, ["", "7"])
    oracle = OracleEmbedding(words, 16).eval()
    init_oracle(oracle, words, torch.randn(len(tokenizer), 16), tokenizer)
    unknown = torch.full((1, len(words.widths)), -100)
    nowhere = torch.full((1, 4), torch.nan)
    assert not oracle(unknown, nowhere).any()
    white, red = unknown.clone(), unknown.clone()
    white[0, 1], red[0, 1] = 1, 0
    assert not torch.allclose(oracle(white, nowhere), oracle(red, nowhere))
    left, right = torch.tensor([[0.1, 0.2, 0.3, 0.4]]), torch.tensor([[0.6, 0.2, 0.8, 0.4]])
    assert not torch.allclose(oracle(red, left), oracle(red, right))
    between = oracle(red, torch.tensor([[0.125, 0.2, 0.3, 0.4]]))
    halfway = (oracle(red, left) + oracle(red, torch.tensor([[0.15, 0.2, 0.3, 0.4]]))) / 2
    torch.testing.assert_close(between, halfway)


def test_initialized_tower_attends_to_neighbors(tokenizer: PreTrainedTokenizerFast) -> None:
    shape = replace(TINY, edge=80, vision_width=6 * HEAD)
    tower = build_model(shape, tokenizer).model.vision_tower
    squares = np.random.default_rng(0).integers(0, 255, (8, 80, 80, 3), np.uint8)
    init_tower(tower, squares)
    tower.set_attn_implementation("eager")
    with torch.no_grad():
        seen = tower(to_pixel_values(squares, torch.device("cpu")), output_attentions=True)
    attention = seen.attentions[0].mean(0)  # (heads, patches, patches) of the first layer
    middle = 2 * 5 + 2
    beside = [middle + 1, middle - 1, middle + 5, middle - 5]
    assert attention[:4, middle].argmax(-1).tolist() == beside
    assert (attention[range(4), middle, beside] > 0.5).all()


# Patch targets


def test_chart_mark_is_labeled_by_its_mark_type() -> None:
    mark = Item("Paris", {"mark": "bar", "colour": "red"}, (0.0, 0.0, 1.0, 1.0))
    assert visible_attributes(mark) == (
        "bar",
        {"mark": "bar", "colour": "red", "category": "Paris"},
    )
    van = RECORDS[0].items[0]
    assert visible_attributes(van) == (van.label, van.attributes)


def test_patch_belongs_to_the_smallest_covering_object() -> None:
    boxes = [(0.0, 0.0, 1.0, 1.0), (0.5, 0.5, 1.0, 1.0)]
    items = [Item(label, {}, box) for label, box in zip(("room", "lamp"), boxes, strict=True)]
    record = Record("room", 0, "", False, False, items, [("7", (0.0, 0.0, 0.25, 0.25))], [], [])
    words = TargetVocabulary(["", "room", "lamp"], {}, ["", "7"])
    targets = build_targets([record], words, 4)
    labels = targets.classes[0, :, 0].reshape(4, 4)
    assert (labels[2:, 2:] == 2).all()
    assert (labels[:2] == 1).all()
    assert targets.boxes[0, 15].tolist() == [0.5, 0.5, 1.0, 1.0]
    assert targets.classes[0, 0, -5:].tolist() == [1, 0, 0, 0, 0]
    assert (targets.classes[0, 1, -5:] == -100).all()


# Global questions


def test_frequent_questions_with_few_answers_are_global() -> None:
    def seen(number: int) -> Record:
        light = "day" if number % 2 else "night"
        questions = [
            QuestionAnswer("attribute", "en", "Day or night?", light, None),
            QuestionAnswer("attribute", "zh", "白天还是夜晚？", light, None),
            QuestionAnswer("reading", "en", "Which number?", str(number), None),
            QuestionAnswer("existence", "en", f"Is it number {number}?", "yes", None),
            QuestionAnswer("unanswerable", "en", "Who is it?", "not shown", None),
        ]
        return replace(RECORDS[0], questions=questions)

    records = [seen(number) for number in range(100)]
    questions = select_questions(records)
    assert {question: set(answers) for question, answers in questions.items()} == {
        "Day or night?": {"day", "night"}
    }


def test_global_qa_head_can_be_trained() -> None:
    torch.manual_seed(0)
    head = GlobalQaHead(
        6, {"Day or night?": ["day", "night"], "Which room?": ["hall", "bath", "attic"]}
    )
    questions = [
        [QuestionAnswer("attribute", "en", "Day or night?", light, None)]
        + [QuestionAnswer("attribute", "en", "Which room?", room, None) for room in rooms]
        for light, rooms in (("day", ["attic"]), ("night", ["bath"]), ("night", ["cellar"]))
    ]
    records = [replace(RECORDS[0], questions=one) for one in questions]
    truths = head.targets(records)
    assert truths == [[(0, 0), (1, 2)], [(0, 1), (1, 1)], [(0, 1)]]
    features = torch.randn(3, 4, 6)
    learner = torch.optim.Adam(head.parameters(), 0.1)
    for _ in range(60):
        loss, right = head(features, truths)
        learner.zero_grad()
        loss.backward()
        learner.step()
    assert right == 1.0
    assert float(loss.detach()) < 0.1
