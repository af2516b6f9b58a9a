"""The pieces of the encoder's training: tokenizer, album, batches, losses, recall."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.model import CustomTextCLIP
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn.functional import cosine_similarity
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from sightline.storage.errors import ConfigurationError, InvalidArgumentError
from sightline.training.encoder import recipe
from sightline.training.encoder.data import album, tokenizer
from sightline.training.encoder.data.batches import Captions, Sampler, normalised
from sightline.training.encoder.data.query_templates import wanted_of
from sightline.training.encoder.evaluation.precision import shares
from sightline.training.encoder.evaluation.recall import ranks, recall
from sightline.training.encoder.evaluation.validate import first_unique, text_vectors
from sightline.training.encoder.model import export
from sightline.training.encoder.model.ema import Average
from sightline.training.encoder.model.losses import (
    Objective,
    encode_text,
    fit_loss,
    word_loss,
    word_weights,
)
from sightline.training.encoder.model.towers import build, parameters, take_text, take_tower
from sightline.training.encoder.recipe import SMOKE, Recipe
from sightline.training.encoder.train import Run, learning_rate
from sightline.training.vlm.stages.vision_tower import features_of
from sightline.training.world.core.scene import LANGUAGES

PX = recipe.IMAGE_PX
WEIGHTS = Path(__file__).parents[3] / "server" / "models" / "weights"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    drawn = tmp_path_factory.mktemp("album")
    album.draw(drawn, "train", 36, PX, say=lambda _: None)
    return drawn


@pytest.fixture(scope="module")
def pictures(folder: Path) -> album.Album:
    return album.load(folder, "train")


@pytest.fixture(scope="module")
def tokens(pictures: album.Album) -> PreTrainedTokenizerFast:
    return tokenizer.learn(
        text for e in pictures.entries for group in e.captions.values() for text in group
    )


@pytest.fixture(scope="module")
def captions(pictures: album.Album, tokens: PreTrainedTokenizerFast) -> Captions:
    return Captions(pictures.entries, tokens)


@pytest.mark.parametrize(
    "text",
    ["", " ", "a red car", "红色的车", "龘 🚗 é", "x" * 5_000, "<|end|> <|pad|>", "\x00\ufffd"],
)
def test_any_text_has_one_start_and_one_end(tokens: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokens(text, truncation=True, max_length=recipe.CONTEXT_TOKENS)["input_ids"]
    assert ids[0] == recipe.START_ID
    assert ids[-1] == recipe.END_ID
    assert recipe.START_ID not in ids[1:]
    assert recipe.END_ID not in ids[:-1]
    assert recipe.PAD_ID not in ids
    assert len(ids) <= recipe.CONTEXT_TOKENS


def test_numbers_are_read_digit_by_digit_and_case_does_not_count(
    tokens: PreTrainedTokenizerFast,
) -> None:
    assert len(tokens("98765", add_special_tokens=False)["input_ids"]) == 5
    assert tokens("A Red Car")["input_ids"] == tokens("a red car")["input_ids"]


def test_the_same_captions_give_the_same_tokenizer(
    pictures: album.Album, tokens: PreTrainedTokenizerFast
) -> None:
    again = tokenizer.learn(
        text for e in pictures.entries for group in e.captions.values() for text in group
    )
    assert again.get_vocab() == tokens.get_vocab()


def test_a_tokenizer_reads_back_as_it_was_written(
    tokens: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tokenizer.write(tokens, tmp_path)
    text = "two white vans 两辆白色面包车 <|end|> 17:30"
    assert tokenizer.read(tmp_path)(text)["input_ids"] == tokens(text)["input_ids"]


def test_how_the_last_texts_were_padded_is_not_written(
    tokens: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tokenizer.write(tokens, tmp_path / "before")
    tokens(["a", "a red car"], padding=True, truncation=True, max_length=9)
    tokenizer.write(tokens, tmp_path / "after")
    before, after = ((tmp_path / n / "tokenizer.json").read_bytes() for n in ("before", "after"))
    assert before == after


def test_drawing_again_changes_nothing_and_leaves_no_half_files(
    folder: Path, pictures: album.Album, tmp_path: Path
) -> None:
    album.draw(tmp_path, "train", 36, PX, say=lambda _: None)
    again = album.load(tmp_path, "train")
    assert again.entries == pictures.entries
    assert all((again.pixels(i) == pictures.pixels(i)).all() for i in range(len(again)))
    assert not list(tmp_path.rglob("*.tmp"))


def test_drawing_goes_on_where_it_stopped(tmp_path: Path) -> None:
    album.draw(tmp_path, "validation", 9, PX, say=lambda _: None)
    said: list[str] = []
    album.draw(tmp_path, "validation", 9, PX, say=said.append)
    assert said == []
    album.draw(tmp_path, "validation", 18, PX, say=said.append)
    assert len(said) == 1
    assert len(album.load(tmp_path, "validation")) == 18


def test_an_album_that_was_not_drawn_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="no 'train' pictures"):
        album.load(tmp_path, "train")


def test_a_batch_depends_on_its_step_alone(pictures: album.Album, captions: Captions) -> None:
    plan = Recipe(batch=18, family_weights={})
    sampler = Sampler(pictures, captions, plan)
    first, again = sampler.batch(7), Sampler(pictures, captions, plan).batch(7)
    other = sampler.batch(8)
    assert first.pixels.shape == (18, 3, PX, PX)
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.english, again.english)
    assert not torch.equal(first.pixels, other.pixels)
    assert first.english.shape[0] == first.chinese.shape[0] == first.words.shape[0] == 18


def test_a_batch_holds_every_family_as_often_as_the_recipe_weighs_it(
    pictures: album.Album, captions: Captions
) -> None:
    sampler = Sampler(pictures, captions, Recipe(batch=24, family_weights={"spine": 4.0}))
    shown = Counter(pictures.entries[i].family for i in sampler.chosen(3))
    assert shown.pop("spine") == 8
    assert len(shown) == 8
    assert set(shown.values()) == {2}


def test_a_batch_asks_short_wordings_of_its_own_pictures(
    pictures: album.Album, captions: Captions
) -> None:
    sampler = Sampler(pictures, captions, Recipe(batch=18, queries=12, family_weights={}))
    batch, chosen = sampler.batch(1), sampler.chosen(1)
    assert batch.fits.shape == (12, 18)
    for row, padded in enumerate(batch.queries.tolist()):
        ids = [token for token in padded if token != recipe.PAD_ID]
        fitting = []
        for entry in (pictures.entries[i] for i in chosen):
            asked = [o.query(la, n) for o in entry.wanted for la in LANGUAGES for n in range(5)]
            fitting.append(bool(asked) and ids in captions.encode(asked))
        assert batch.fits[row].tolist() == fitting
        assert any(fitting)


def test_an_epoch_shows_every_picture_once(pictures: album.Album, captions: Captions) -> None:
    sampler = Sampler(pictures, captions, Recipe(batch=18, family_weights={}))
    shown = [i for step in range(2) for i in sampler.chosen(step)]
    assert sorted(shown) == list(range(36))


def test_pixels_are_scaled_as_open_clip_scales_them() -> None:
    pixels = np.array([[[[0, 127, 255]]]], dtype=np.uint8)
    assert normalised(pixels).flatten().tolist() == pytest.approx([-2.0, -0.00784, 2.0], abs=1e-4)


def test_short_and_padded_texts_have_the_same_vectors(tokens: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    model = build(len(tokens)).eval()
    texts = ["a red car", "两辆白色面包车停在左边"]
    short = tokens(texts, return_tensors="pt", padding=True)["input_ids"]
    full = tokens(
        texts, return_tensors="pt", padding="max_length", max_length=recipe.CONTEXT_TOKENS
    )["input_ids"]
    assert short.shape[1] < full.shape[1]
    with torch.no_grad():
        torch.testing.assert_close(encode_text(model, short), model.encode_text(full))


def test_the_model_keeps_to_its_size() -> None:
    assert parameters(build(recipe.VOCABULARY)) <= 12_000_000


def test_the_picture_tower_starts_as_that_of_the_llava(pictures: album.Album) -> None:
    model = build(recipe.VOCABULARY).eval()
    llava = LlavaForConditionalGeneration.from_pretrained(
        WEIGHTS / "builtin-llava", dtype=torch.float32
    )
    pixels = normalised(np.stack([pictures.pixels(i) for i in range(3)])) / 2
    found = []
    # What the pooler is given: (pictures, 1 + patches, width), the class token first.
    model.visual.attn_pool.register_forward_hook(lambda _, given, __: found.append(given[0]))
    with torch.no_grad():
        seen = features_of(llava.model.vision_tower, pixels)
        model.visual(pixels)
        take_tower(model, WEIGHTS / "builtin-llava")
        model.visual(pixels)
    before, after = (cosine_similarity(seen, x[:, 1:], dim=-1).mean() for x in found)
    # The class token, of which that tower has none, is looked at a little.
    assert abs(float(before)) < 0.3
    assert float(after) > 0.98


def test_the_text_tower_goes_on_from_the_encoder_that_is_given(
    tokens: PreTrainedTokenizerFast,
) -> None:
    shipped, _, reader = export.load(WEIGHTS / "builtin-clip", torch.device("cpu"))
    model = build(len(reader)).eval()
    take_text(model, WEIGHTS / "builtin-clip")
    texts = ["a red bus", "白色灯"]
    with torch.no_grad():
        said, expected = (
            text_vectors(one, reader, texts, torch.device("cpu")) for one in (model, shipped)
        )
    np.testing.assert_allclose(said, expected, atol=1e-6)
    with pytest.raises(ConfigurationError, match="token_embedding"):
        take_text(build(len(tokens)), WEIGHTS / "builtin-clip")


@pytest.mark.parametrize("take", [take_tower, take_text])
def test_a_start_that_is_not_there_is_named(
    take: Callable[[CustomTextCLIP, Path], None], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(str(tmp_path))):
        take(build(300), tmp_path)


def test_a_tower_of_another_shape_is_refused(tmp_path: Path) -> None:
    with safe_open(WEIGHTS / "builtin-llava" / "model.safetensors", "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    places = "vision_tower.vision_model.embeddings.position_embedding.weight"
    save_file(weights | {places: torch.zeros(49, 192)}, tmp_path / "model.safetensors")
    with pytest.raises(ConfigurationError, match="positional_embedding"):
        take_tower(build(300), tmp_path)


def test_what_sees_already_learns_more_slowly(pictures: album.Album, tmp_path: Path) -> None:
    reader = tokenizer.read(WEIGHTS / "builtin-clip")
    plan = Recipe(batch=18, warmup_steps=1, family_weights={}, tower_share=0.0)
    run = Run(tmp_path, plan, pictures, pictures, reader, torch.device("cpu"), "fp32")
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.step(0)
    moved = {n for n, v in run.model.state_dict().items() if not torch.equal(v, before[n])}
    frozen = ("visual.conv1", "visual.positional_embedding", "visual.transformer")
    assert not [name for name in moved if name.startswith(frozen)]
    assert {"visual.proj", "text.token_embedding.weight", "logit_scale"} <= moved


def test_the_loss_of_a_random_model_is_that_of_guessing(
    pictures: album.Album, captions: Captions
) -> None:
    torch.manual_seed(0)
    plan = Recipe(batch=18)
    objective = Objective(build(captions.vocabulary), captions.word_frequency(), plan)
    losses = objective(Sampler(pictures, captions, plan).batch(0))
    assert losses.contrastive.item() == pytest.approx(math.log(18), rel=0.5)
    assert losses.total.requires_grad
    assert torch.isfinite(losses.total)


def test_tokens_that_say_nothing_have_no_weight() -> None:
    weights = word_weights(torch.tensor([0.0, 1.0, 0.5]))
    assert weights.tolist() == pytest.approx([0.0, 0.0, math.log(2)])


def test_word_loss_is_least_where_the_words_are() -> None:
    words, weight = torch.tensor([[1.0, 0.0, 0.0]]), torch.ones(3)
    right = word_loss(torch.tensor([[5.0, 0.0, 0.0]]), words, weight)
    wrong = word_loss(torch.tensor([[0.0, 5.0, 0.0]]), words, weight)
    assert right < wrong


@pytest.mark.parametrize(
    ("queries", "expected"),
    [
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [0, 0, 0]),
        ([[0, 1, 0], [1, 0, 0], [0, 0, 1]], [2, 2, 0]),
        ([[1, 1, 1], [1, 1, 1], [1, 1, 1]], [2, 2, 2]),
    ],
)
def test_ranks_count_what_is_nearer_or_as_near(
    queries: list[list[float]], expected: list[int]
) -> None:
    candidates = np.eye(3, dtype=np.float32)
    found = ranks(np.array(queries, dtype=np.float32), candidates)
    assert found.tolist() == expected


def test_recall_of_a_group_competes_with_all_candidates() -> None:
    rank = np.array([0, 3, 7, 20])
    assert recall(rank, 100).at == {1: 0.25, 5: 0.5, 10: 0.75}
    assert recall(rank, 100, [False, True, True, False]).at == {1: 0.0, 5: 0.5, 10: 1.0}
    assert recall(rank, 100).chance == {1: 0.01, 5: 0.05, 10: 0.1}


def test_recall_of_nobody_is_no_number() -> None:
    assert math.isnan(recall(np.array([0]), 1, [False]).at[1])


def test_a_caption_that_occurs_twice_is_asked_once() -> None:
    assert first_unique(["a", "b", "a", "c"]) == [0, 1, 3]


def test_the_average_follows_the_weights_slowly_and_copies_counters() -> None:
    model = torch.nn.BatchNorm1d(2)
    average = Average(model, decay=0.9)
    with torch.no_grad():
        model.weight.fill_(3.0)
        model.num_batches_tracked.fill_(4)
    average.update(model, step=10_000)
    assert average.weights["weight"].tolist() == pytest.approx([1.2, 1.2])
    assert average.weights["num_batches_tracked"].item() == 4


def test_the_learning_rate_warms_up_and_falls() -> None:
    rates = [learning_rate(step, SMOKE) for step in range(SMOKE.steps)]
    peak = rates.index(max(rates))
    assert peak == SMOKE.warmup_steps - 1 or peak == SMOKE.warmup_steps
    assert rates[0] < rates[1]
    assert rates[-1] < 0.05 * SMOKE.learning_rate


# Short queries ----------------------------------------------------------------------------------


def test_a_picture_is_wanted_for_each_thing_it_shows_in_both_languages() -> None:
    (street,) = album.pictures("validation", 0, 1)
    wanted = {(one.query("en"), one.query("zh")) for one in wanted_of(street)}
    assert wanted == {
        ("a truck", "卡车"),
        ("a van", "面包车"),
        ("a grey truck", "灰色卡车"),
        ("a white van", "白色面包车"),
    }


def test_what_is_wanted_comes_back_from_the_album(pictures: album.Album) -> None:
    (first,) = album.pictures("train", 0, 1)
    assert pictures.entries[0].wanted == wanted_of(first)


def test_a_picture_that_fits_never_competes_with_another_that_fits() -> None:
    fits = torch.tensor([[True, True, False]])
    alone = fit_loss(torch.tensor([[2.0, 2.0, 0.0]]), fits)
    assert torch.allclose(alone, torch.tensor([2.0]).neg().exp().log1p())
    better = fit_loss(torch.tensor([[9.0, 2.0, 0.0]]), fits)
    assert better < alone
    assert fit_loss(torch.tensor([[2.0, 2.0, 3.0]]), fits) > alone
    nothing = fit_loss(torch.ones(1, 3), torch.zeros(1, 3, dtype=torch.bool))
    assert float(nothing) == 0.0


def test_precision_counts_the_right_ones_among_as_many_as_can_be_right() -> None:
    fits = np.array([[True, False, True, False], [False, False, False, True]])
    scores = np.array([[0.9, 0.8, 0.1, 0.0], [0.5, 0.5, 0.5, 0.5]], dtype=np.float32)
    found = shares(scores, fits)
    # Two fit the first query, one of them comes first; ties go against the second.
    assert found[3].tolist() == [0.5, 0.0]
    assert shares(-scores, ~fits)[3].tolist() == [0.5, pytest.approx(2 / 3)]
