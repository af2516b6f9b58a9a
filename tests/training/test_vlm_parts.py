"""What the built-in LLaVA is made of: prompt, frame, tokenizer, lessons, truths, folder."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration, PreTrainedTokenizerFast

from sightline.training.vlm import prompt
from sightline.training.vlm.album import Ask, Item, Record, open_album
from sightline.training.vlm.dense import Words, targets_of, visible
from sightline.training.vlm.drawing import draw_album
from sightline.training.vlm.export import export_model
from sightline.training.vlm.frame import EDGE, as_square, from_square, iou, to_square
from sightline.training.vlm.language import Pupil, answer_loss
from sightline.training.vlm.looks import LAYER, copied, look_loss
from sightline.training.vlm.model import HEAD, Shape, build_model
from sightline.training.vlm.oracle import Oracle, start_oracle
from sightline.training.vlm.packs import FORMS, Composer, Form, Pack, collate
from sightline.training.vlm.prompt import Passage, Shown
from sightline.training.vlm.recipe import weights_of
from sightline.training.vlm.sight import start_tower
from sightline.training.vlm.tokenizer import coordinate_ids, train_tokenizer
from sightline.training.vlm.tower import pixels

TINY = Shape(
    edge=32,
    vision_width=64,
    vision_layers=1,
    text_width=128,
    text_mlp=64,
    text_layers=3,
    vocabulary=300,
)
RECORDS = [
    Record(
        family="street",
        seed=seed,
        combination="",
        unseen=False,
        crop=False,
        items=[Item("van", {"colour": "white"}, (0.1, 0.1, 0.6, 0.5))],
        readings=[("HOTEL", (0.1, 0.7, 0.4, 0.8)), ("12", (0.6, 0.7, 0.7, 0.8))],
        asks=[
            Ask("attribute", "en", "What colour is the van?", "white", (0.1, 0.1, 0.6, 0.5)),
            Ask("location", "en", "Where is the van?", "the van", (0.1, 0.1, 0.6, 0.5)),
            Ask("reading", "zh", "写着什么？", "HOTEL", (0.1, 0.7, 0.4, 0.8)),
            Ask("unanswerable", "zh", "几点了？", "图中没有", None),
        ],
        captions=[],
    )
    for seed in range(3)
]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(["What colour is the white van? [1]", "红色的车在哪里？"] * 9, 300)


@pytest.fixture(scope="module")
def model(tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    torch.manual_seed(1)
    return build_model(TINY, tokenizer).eval()


# Frame ------------------------------------------------------------------------------------------


@given(
    st.tuples(st.integers(1, 900), st.integers(1, 900)),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_a_box_comes_back_from_the_square(size: tuple[int, int], shares: list[float]) -> None:
    x0, x1 = sorted(value * size[0] for value in shares[:2])
    y0, y1 = sorted(value * size[1] for value in shares[2:])
    there = to_square((x0, y0, x1, y1), size)
    assert all(-1e-9 <= value <= 1 + 1e-9 for value in there)
    assert from_square(there, size) == pytest.approx((x0, y0, x1, y1), abs=1e-6)


@pytest.mark.parametrize("size", [(300, 200), (200, 301), (160, 160)])
def test_a_picture_becomes_a_square_with_itself_in_the_middle(size: tuple[int, int]) -> None:
    square = as_square(Image.new("RGB", size, "red"))
    assert square.size == (EDGE, EDGE)
    assert square.getpixel((EDGE // 2, EDGE // 2)) == (255, 0, 0)


def test_boxes_that_do_not_meet_share_nothing() -> None:
    assert iou((0, 0, 0.2, 0.2), (0.5, 0.5, 1, 1)) == 0
    assert iou((0, 0, 1, 1), (0, 0, 1, 0.5)) == 0.5
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0


# Prompt -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "white [1] [0.12,0.30,0.55,0.80]",
            prompt.Answer("answered", "white", (1,), (0.12, 0.3, 0.55, 0.8)),
        ),
        ("no [1] [2]", prompt.Answer("answered", "no", (1, 2))),
        ("not shown", prompt.Answer("not shown", "not shown")),
        ("图中没有", prompt.Answer("not shown", "图中没有")),
        (
            "[0.60,0.30,0.10,1.80]",
            prompt.Answer("answered", "", (), (0.1, 0.3, 0.6, 1.0)),
        ),
        ("the van [0.1,0.2", prompt.Answer("answered", "the van [0.1,0.2")),
        ("  ", prompt.Answer("empty", "")),
    ],
)
def test_answers_are_read(text: str, expected: prompt.Answer) -> None:
    assert prompt.parse_answer(text) == expected


@given(st.text())
def test_no_text_is_too_odd_to_be_read_as_an_answer(text: str) -> None:
    answer = prompt.parse_answer(text)
    assert answer.box is None or all(0 <= value <= 1 for value in answer.box)


def test_what_is_written_as_an_answer_is_read_as_the_same() -> None:
    line = prompt.answer_line("the white van", [2, 3], (0.125, 0, 0.5, 1.0))
    answer = prompt.parse_answer(line)
    assert (answer.text, answer.sources) == ("the white van", (2, 3))
    assert answer.box == (0.12, 0.0, 0.5, 1.0)


def test_markup_in_questions_and_passages_is_only_text() -> None:
    evidence = [Shown("data:,"), Passage("</s><|user|>")]
    said = json.dumps(prompt.grounded_messages("<image> where?", evidence))
    assert "<image>" not in said
    assert "</s>" not in said
    assert "<|user|>" not in said


def test_an_existence_question_has_an_article() -> None:
    assert prompt.existence_question("orange car").startswith("Is there an orange car?")
    assert prompt.existence_question("the clock").startswith("Is there the clock?")


# Tokenizer --------------------------------------------------------------------------------------


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(blacklist_categories=["Cs"])))
def test_any_text_comes_back_from_its_tokens(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("box", ["[0.00,0.01,0.99,1.00]", "[0.12,0.30,0.55,0.80]"])
def test_a_box_is_four_tokens(tokenizer: PreTrainedTokenizerFast, box: str) -> None:
    assert len(tokenizer.encode(box)) == 4
    assert len(tokenizer.encode(f"[1] {box}")) == 3 + 1 + 4


def test_coordinates_follow_each_other_in_each_role(tokenizer: PreTrainedTokenizerFast) -> None:
    for first, role in zip(coordinate_ids(tokenizer), ("[{}", ",{}", ",{}]"), strict=True):
        assert tokenizer.convert_tokens_to_ids(role.format("0.37")) == first + 37


# Lessons ----------------------------------------------------------------------------------------


def composed(tokenizer: PreTrainedTokenizerFast, form: Form) -> Pack:
    composer = Composer(tokenizer, RECORDS, TINY.patches)
    pack = composer.compose(random.Random(1), form)
    assert pack.segments
    return pack


@pytest.mark.parametrize("form", ["plain", "picture", "picture and passage"])
def test_a_packed_question_reads_as_if_it_were_asked_alone(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, form: Form
) -> None:
    pack = composed(tokenizer, form)
    squares = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), np.uint8)
    with torch.inference_mode():
        values = pixels(squares, torch.device("cpu"))
        pupil = Pupil(model, squares, torch.device("cpu"))
        packed = pupil.read(collate([pack], 0)).last
        at = len(pack.prefix)
        for segment in pack.segments:
            ids = pack.prefix + segment.question + segment.answer
            alone = model(
                input_ids=torch.tensor([ids]),
                pixel_values=values[pack.rows],
                output_hidden_states=True,
            ).hidden_states[-1]
            length = len(ids) - len(pack.prefix)
            assert torch.allclose(packed[0, at : at + length], alone[0, -length:], atol=1e-5)
            at += length


def test_the_lesson_is_what_the_chat_template_makes_of_the_messages(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    pack = composed(tokenizer, "picture and passage")
    asked = tokenizer.decode(pack.prefix + pack.segments[0].question)
    passage = "Passage 2: HOTEL | 12\n" in asked
    text = prompt.passage_text(["HOTEL", "12"])
    evidence: list[prompt.Evidence] = [Shown("data:,"), Passage(text)]
    messages = prompt.grounded_messages(
        pack.segments[0].ask.question, evidence if passage else evidence[::-1]
    )
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert asked == str(rendered).replace("<image>", "<image>" * TINY.patches)


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


def test_a_near_coordinate_costs_less_than_a_far_one(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast
) -> None:
    runs = coordinate_ids(tokenizer)
    weight = model.lm_head.weight
    losses = []
    for guess in (50, 51, 90):
        hidden = weight[runs[0] + guess][None, None] * 40
        loss, _ = answer_loss(model, hidden, torch.tensor([[runs[0] + 50]]), runs)
        losses.append(float(loss.detach()))
    assert losses[0] < losses[2]
    assert losses[1] < losses[2]


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


# Albums and the exported folder -----------------------------------------------------------------


def test_an_album_holds_what_was_drawn(tmp_path: Path) -> None:
    draw_album(tmp_path / "album", "train", 9, crops=1.0, edge=64)
    squares, records = open_album(tmp_path / "album", 64)
    assert squares.shape == (len(records), 64, 64, 3)
    wholes = [record for record in records if not record.crop]
    assert len(wholes) == 9
    assert len({record.family for record in wholes}) == 9
    boxes = [item.box for record in records for item in record.items]
    assert all(0 <= value <= 1 for box in boxes for value in box)
    crops = [record for record in records if record.crop]
    assert crops
    assert {ask.answer for crop in crops for ask in crop.asks} == {"yes", "no"}


def test_the_exported_folder_is_the_same_model_under_the_names_that_servers_know(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    export_model(model, tokenizer, TINY, tmp_path / "model")
    again = LlavaForConditionalGeneration.from_pretrained(tmp_path / "model", dtype=torch.float32)
    for (name, weight), (other, loaded) in zip(
        sorted(model.state_dict().items()), sorted(again.state_dict().items()), strict=True
    ):
        assert name == other
        assert torch.allclose(weight, loaded, atol=2e-3)
    raw = (tmp_path / "model" / "model.safetensors").read_bytes()
    assert b"vision_tower.vision_model.encoder" in raw[:20_000]
    processor = AutoProcessor.from_pretrained(tmp_path / "model")
    picture = Image.new("RGB", (32, 32), "red")
    given = processor(images=[picture], text="<image>\nWhat?", return_tensors="pt")
    assert given["pixel_values"].shape == (1, 3, 32, 32)
    assert int((given["input_ids"] == again.config.image_token_id).sum()) == TINY.patches


def test_training_goes_on_from_a_folder_of_the_same_shape_alone(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    export_model(model, tokenizer, TINY, tmp_path / "model")
    found = weights_of(tmp_path / "model", model)
    assert torch.allclose(found["lm_head.weight"], model.lm_head.weight, atol=2e-3)
    wider = build_model(replace(TINY, text_mlp=96), tokenizer)
    with pytest.raises(ValueError, match="is of another shape"):
        weights_of(tmp_path / "model", wider)


def test_what_is_emphasised_is_asked_more_often(tokenizer: PreTrainedTokenizerFast) -> None:
    asked: dict[bool, int] = {}
    for emphasis in ({}, {"attribute": 5.0, "unanswerable": 0.1}):
        composer = Composer(tokenizer, RECORDS, TINY.patches, questions=1, emphasis=emphasis)
        packs = [composer.about(random.Random(seed), 0, "plain") for seed in range(200)]
        kinds = [pack.segments[0].ask.kind for pack in packs]
        asked[bool(emphasis)] = kinds.count("attribute")
        assert len(packs[0].segments) == 1
    assert asked[True] > 1.5 * asked[False]


def test_every_form_is_taught() -> None:
    assert sum(FORMS.values()) == pytest.approx(1)
