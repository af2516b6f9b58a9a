"""What teaches to see and to look: truths of patches and pictures, the tower, the looks."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from sightline.training.vlm.data.album import Ask, Item, Record
from sightline.training.vlm.data.batches import collate
from sightline.training.vlm.data.packing import Composer
from sightline.training.vlm.data.patch_targets import Words, targets_of, visible
from sightline.training.vlm.model.attention_supervision import (
    LAYER,
    copied,
    look_loss,
    looked_at,
    previous_loss,
    start_looks,
)
from sightline.training.vlm.model.global_qa_head import AskedHead, questions_of
from sightline.training.vlm.model.llava import HEAD, build_model
from sightline.training.vlm.model.oracle_embeddings import Oracle, start_oracle
from sightline.training.vlm.model.vit_init import start_tower
from sightline.training.vlm.stages.language_model import Pupil
from sightline.training.vlm.stages.vision_tower import pixels
from tests.support.lessons import RECORDS, TINY

# Looks --------------------------------------------------------------------------------------------


def test_heads_learn_to_look_where_the_answer_is(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    shape = replace(TINY, text_layers=LAYER + 1, text_width=128, edge=64)
    fresh = build_model(shape, tokenizer)
    squares = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), np.uint8)
    pupil = Pupil(fresh, squares, torch.device("cpu"))
    composer = Composer(tokenizer, RECORDS, shape.patches)
    packs = [composer.about(random.Random(seed), seed, "picture") for seed in range(3)]
    batch = collate(packs, 0)
    layer = fresh.model.language_model.layers[LAYER].self_attn
    learner = torch.optim.Adam([layer.q_proj.weight, layer.k_proj.weight], 1e-2)
    losses = []
    for _ in range(12):
        entering = pupil.read(batch).entering.detach()
        loss = look_loss(fresh, entering, packs, batch, tokenizer)
        assert loss is not None
        losses.append(float(loss.detach()))
        learner.zero_grad()
        loss.backward()
        learner.step()
    assert losses[-1] < 0.7 * losses[0]


def test_a_head_learns_to_know_the_token_before(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    fresh = build_model(TINY, tokenizer)
    squares = np.zeros((3, 32, 32, 3), np.uint8)
    pupil = Pupil(fresh, squares, torch.device("cpu"))
    composer = Composer(tokenizer, RECORDS, TINY.patches)
    batch = collate([composer.about(random.Random(seed), seed, "picture") for seed in range(3)], 0)
    layer = fresh.model.language_model.layers[0].self_attn
    learner = torch.optim.Adam([layer.q_proj.weight, layer.k_proj.weight], 1e-2)
    losses = []
    for _ in range(12):
        loss = previous_loss(fresh, pupil.read(batch).embeds.detach(), batch)
        losses.append(float(loss.detach()))
        learner.zero_grad()
        loss.backward()
        learner.step()
    assert losses[-1] < 0.7 * losses[0]


def test_a_question_about_the_whole_picture_is_answered_by_a_look_at_all_of_it(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    torch.manual_seed(0)
    fresh = build_model(replace(TINY, text_layers=LAYER + 1), tokenizer)
    record = replace(RECORDS[0], asks=[Ask("attribute", "en", "Day or night?", "day", None)])
    pack = Composer(tokenizer, [record], TINY.patches).about(random.Random(0), 0, "picture")
    batch = collate([pack], 0)
    pupil = Pupil(fresh, np.zeros((1, 32, 32, 3), np.uint8), torch.device("cpu"))
    entering = pupil.read(batch).entering
    loss = look_loss(fresh, entering, [pack], batch, tokenizer)
    assert loss is not None
    # A fresh model looks everywhere alike, so the loss tells the share that would have been right.
    shown = len([token for token in pack.prefix if token == fresh.config.image_token_id])
    _, _, start, end = batch.spans[0]
    shares = [shown / (place + 1) for place in range(start, end - 1)]
    assert float(loss.detach()) == pytest.approx(-np.mean(np.log(shares)), abs=0.1)


def looks(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, asks: list[Ask]
) -> list[tuple[str, str, int]]:
    """Of each answer's tokens that look somewhere: it, the text and the patches it looks at."""
    record = replace(RECORDS[0], asks=asks)
    composer = Composer(tokenizer, [record], TINY.patches)
    pack = composer.about(random.Random(2), 0, "picture and passage")
    batch = collate([pack], 0)
    found = []
    for place, at in zip(*looked_at(model, [pack], batch, tokenizer)[1:], strict=True):
        seen = batch.ids[0, torch.from_numpy(at)]
        patches = int((seen == model.config.image_token_id).sum())
        text = tokenizer.decode(seen[seen != model.config.image_token_id])
        found.append((tokenizer.decode([int(batch.labels[0, place])]), str(text), patches))
    return found


def test_a_line_of_text_is_found_by_the_box_that_it_bears(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast
) -> None:
    sign = RECORDS[0].readings[0][1]
    found = looks(model, tokenizer, [Ask("location", "en", "Where is the name?", "it", sign)])
    corners = [(said, text, patches) for said, text, patches in found if "0." in said]
    assert len(corners) == 4
    for said, text, patches in corners:
        assert patches > 0
        # The same corner of the box that the passage bears, drawn a little too large.
        assert text.strip("[],")[:2] == said.strip("[],")[:2]
    van = RECORDS[0].items[0].box
    found = looks(model, tokenizer, [Ask("location", "en", "Where is the van?", "it", van)])
    assert {text for _, text, _ in found} == {""}
    assert all(patches > 0 for _, _, patches in found)


def test_an_answer_that_a_passage_holds_is_looked_up_there_whatever_its_kind(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast
) -> None:
    sign = RECORDS[0].readings[0][1]
    for kind in ("relation", "comparison", "attribute"):
        found = looks(model, tokenizer, [Ask(kind, "en", "What is it?", "HOTEL", sign)])
        word = [(said, text) for said, text, patches in found if not patches]
        assert "".join(said for said, _ in word) == "HOTEL"
        assert "".join(text for _, text in word).replace(" ", "") == "HOTEL"
    # That 12 is written somewhere is not why there are so many.
    assert looks(model, tokenizer, [Ask("count", "en", "How many?", "12", None)]) == []


def test_heads_that_look_begin_by_handing_over_what_is_there(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    torch.manual_seed(0)
    fresh = build_model(TINY, tokenizer)
    attention = fresh.model.language_model.layers[LAYER].self_attn
    patch = torch.randn(8, TINY.text_width)

    def likeness() -> float:
        with torch.no_grad():
            return float(cosine_similarity(attention.o_proj(attention.v_proj(patch)), patch).mean())

    before = likeness()
    start_looks(fresh)
    assert abs(before) < 0.3
    assert likeness() > 0.8


def test_a_question_without_a_place_gives_nothing_to_look_at(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast
) -> None:
    record = replace(RECORDS[0], asks=[RECORDS[0].asks[-1]])
    pack = Composer(tokenizer, [record], TINY.patches).about(random.Random(0), 0, "picture")
    batch = collate([pack], 0)
    entering = torch.zeros(*batch.ids.shape, TINY.text_width)
    assert look_loss(model, entering, [pack], batch, tokenizer) is None


def test_what_is_copied_from_a_passage_is_looked_up_letter_by_letter(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    record = replace(RECORDS[0], readings=[("HOTEL ROOMS", (0.1, 0.7, 0.4, 0.8))])
    record = replace(record, asks=[Ask("reading", "en", "Which rooms?", "ROOMS", None)])
    room = replace(RECORDS[0], family="room", items=[Item("sofa", {}, (0, 0, 1, 1))], readings=[])
    composer = Composer(tokenizer, [record, room], TINY.patches)
    pack = composer.about(random.Random(1), 0, "passages")
    places = copied(pack.segments[0], pack.prefix, tokenizer)
    told = "".join(tokenizer.decode([pack.prefix[place]]) for place in places).replace(" ", "")
    assert told == "ROOMS"
    assert copied(pack.segments[0], pack.prefix[: places[0]], tokenizer) == []


# Perfect eyes and the tower's start -------------------------------------------------------------


def test_the_oracle_says_what_is_known_of_a_patch_and_nothing_of_the_unknown(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    words = Words(["", "room", "van"], {"colour": ["red", "white"]}, ["", "7"])
    oracle = Oracle(words, 16).eval()
    start_oracle(oracle, words, torch.randn(len(tokenizer), 16), tokenizer)
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


def test_a_fresh_tower_looks_at_its_neighbours(tokenizer: PreTrainedTokenizerFast) -> None:
    shape = replace(TINY, edge=80, vision_width=6 * HEAD)
    tower = build_model(shape, tokenizer).model.vision_tower
    squares = np.random.default_rng(0).integers(0, 255, (8, 80, 80, 3), np.uint8)
    start_tower(tower, squares)
    tower.set_attn_implementation("eager")
    with torch.no_grad():
        seen = tower(pixels(squares, torch.device("cpu")), output_attentions=True)
    attention = seen.attentions[0].mean(0)  # (heads, patches, patches) of the first layer
    middle = 2 * 5 + 2
    beside = [middle + 1, middle - 1, middle + 5, middle - 5]
    assert attention[:4, middle].argmax(-1).tolist() == beside
    assert (attention[range(4), middle, beside] > 0.5).all()


# Truths of patches ------------------------------------------------------------------------------


def test_a_mark_of_a_chart_is_told_by_what_it_is_and_not_by_the_name_beside_it() -> None:
    mark = Item("Paris", {"mark": "bar", "colour": "red"}, (0.0, 0.0, 1.0, 1.0))
    assert visible(mark) == ("bar", {"mark": "bar", "colour": "red", "category": "Paris"})
    van = RECORDS[0].items[0]
    assert visible(van) == (van.label, van.attributes)


def test_a_patch_belongs_to_the_smallest_thing_that_covers_it() -> None:
    boxes = [(0.0, 0.0, 1.0, 1.0), (0.5, 0.5, 1.0, 1.0)]
    items = [Item(label, {}, box) for label, box in zip(("room", "lamp"), boxes, strict=True)]
    record = Record("room", 0, "", False, False, items, [("7", (0.0, 0.0, 0.25, 0.25))], [], [])
    words = Words(["", "room", "lamp"], {}, ["", "7"])
    targets = targets_of([record], words, 4)
    labels = targets.classes[0, :, 0].reshape(4, 4)
    assert (labels[2:, 2:] == 2).all()
    assert (labels[:2] == 1).all()
    assert targets.boxes[0, 15].tolist() == [0.5, 0.5, 1.0, 1.0]
    assert targets.classes[0, 0, -5:].tolist() == [1, 0, 0, 0, 0]
    assert (targets.classes[0, 1, -5:] == -100).all()


# Truths of whole pictures -----------------------------------------------------------------------


def test_what_is_asked_often_and_has_few_answers_is_true_of_the_whole_picture() -> None:
    def seen(number: int) -> Record:
        light = "day" if number % 2 else "night"
        asks = [
            Ask("attribute", "en", "Day or night?", light, None),
            Ask("attribute", "zh", "白天还是夜晚？", light, None),
            Ask("reading", "en", "Which number?", str(number), None),
            Ask("existence", "en", f"Is it number {number}?", "yes", None),
            Ask("unanswerable", "en", "Who is it?", "not shown", None),
        ]
        return replace(RECORDS[0], asks=asks)

    records = [seen(number) for number in range(100)]
    questions = questions_of(records)
    assert {question: set(answers) for question, answers in questions.items()} == {
        "Day or night?": {"day", "night"}
    }


def test_the_mean_of_a_picture_learns_to_tell_what_is_true_of_it() -> None:
    torch.manual_seed(0)
    head = AskedHead(
        6, {"Day or night?": ["day", "night"], "Which room?": ["hall", "bath", "attic"]}
    )
    asks = [
        [Ask("attribute", "en", "Day or night?", light, None)]
        + [Ask("attribute", "en", "Which room?", room, None) for room in rooms]
        for light, rooms in (("day", ["attic"]), ("night", ["bath"]), ("night", ["cellar"]))
    ]
    records = [replace(RECORDS[0], asks=one) for one in asks]
    truths = head.truths(records)
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
