"""Tests of the encoder training: tokenizer, album, batches, losses, recall."""

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
from sightline.training.vlm.stages.vision_tower import tower_features
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
def test_every_text_has_one_start_and_one_end_token(
    tokens: PreTrainedTokenizerFast, text: str
) -> None:
    ids = tokens(text, truncation=True, max_length=recipe.CONTEXT_TOKENS)["input_ids"]
    assert ids[0] == recipe.START_ID
    assert ids[-1] == recipe.END_ID
    assert recipe.START_ID not in ids[1:]
    assert recipe.END_ID not in ids[:-1]
    assert recipe.PAD_ID not in ids
    assert len(ids) <= recipe.CONTEXT_TOKENS


def test_tokenizer_splits_digits_and_ignores_case(
    tokens: PreTrainedTokenizerFast,
) -> None:
    assert len(tokens("98765", add_special_tokens=False)["input_ids"]) == 5
    assert tokens("A Red Car")["input_ids"] == tokens("a red car")["input_ids"]


def test_tokenizer_training_is_deterministic(
    pictures: album.Album, tokens: PreTrainedTokenizerFast
) -> None:
    again = tokenizer.learn(
        text for e in pictures.entries for group in e.captions.values() for text in group
    )
    assert again.get_vocab() == tokens.get_vocab()


def test_tokenizer_round_trips_through_its_folder(
    tokens: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tokenizer.write(tokens, tmp_path)
    text = "two white vans 两辆白色面包车 <|end|> 17:30"
    assert tokenizer.read(tmp_path)(text)["input_ids"] == tokens(text)["input_ids"]


def test_saved_tokenizer_has_no_padding_state(
    tokens: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tokenizer.write(tokens, tmp_path / "before")
    tokens(["a", "a red car"], padding=True, truncation=True, max_length=9)
    tokenizer.write(tokens, tmp_path / "after")
    before, after = ((tmp_path / n / "tokenizer.json").read_bytes() for n in ("before", "after"))
    assert before == after


def test_drawing_twice_changes_nothing_and_leaves_no_partial_files(
    folder: Path, pictures: album.Album, tmp_path: Path
) -> None:
    album.draw(tmp_path, "train", 36, PX, say=lambda _: None)
    again = album.load(tmp_path, "train")
    assert again.entries == pictures.entries
    assert all((again.pixels(i) == pictures.pixels(i)).all() for i in range(len(again)))
    assert not list(tmp_path.rglob("*.tmp"))


def test_drawing_resumes(tmp_path: Path) -> None:
    album.draw(tmp_path, "validation", 9, PX, say=lambda _: None)
    said: list[str] = []
    album.draw(tmp_path, "validation", 9, PX, say=said.append)
    assert said == []
    album.draw(tmp_path, "validation", 18, PX, say=said.append)
    assert len(said) == 1
    assert len(album.load(tmp_path, "validation")) == 18


def test_missing_album_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="no 'train' pictures"):
        album.load(tmp_path, "train")


def test_batch_depends_only_on_its_step(pictures: album.Album, captions: Captions) -> None:
    plan = Recipe(batch=18, family_weights={})
    sampler = Sampler(pictures, captions, plan)
    first, again = sampler.batch(7), Sampler(pictures, captions, plan).batch(7)
    other = sampler.batch(8)
    assert first.pixels.shape == (18, 3, PX, PX)
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.english, again.english)
    assert not torch.equal(first.pixels, other.pixels)
    assert first.english.shape[0] == first.chinese.shape[0] == first.words.shape[0] == 18


def test_batch_families_follow_the_recipe_weights(
    pictures: album.Album, captions: Captions
) -> None:
    sampler = Sampler(pictures, captions, Recipe(batch=24, family_weights={"spine": 4.0}))
    shown = Counter(pictures.entries[i].family for i in sampler.chosen(3))
    assert shown.pop("spine") == 8
    assert len(shown) == 8
    assert set(shown.values()) == {2}


def test_batch_has_short_queries_for_its_own_images(
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


def test_epoch_contains_every_image_once(pictures: album.Album, captions: Captions) -> None:
    sampler = Sampler(pictures, captions, Recipe(batch=18, family_weights={}))
    shown = [i for step in range(2) for i in sampler.chosen(step)]
    assert sorted(shown) == list(range(36))


def test_pixel_scaling_equals_open_clip() -> None:
    pixels = np.array([[[[0, 127, 255]]]], dtype=np.uint8)
    assert normalised(pixels).flatten().tolist() == pytest.approx([-2.0, -0.00784, 2.0], abs=1e-4)


def test_padding_does_not_change_text_vectors(tokens: PreTrainedTokenizerFast) -> None:
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


def test_model_size_is_limited() -> None:
    assert parameters(build(recipe.VOCABULARY)) <= 12_000_000


def test_image_tower_is_initialized_from_the_llava(pictures: album.Album) -> None:
    model = build(recipe.VOCABULARY).eval()
    llava = LlavaForConditionalGeneration.from_pretrained(
        WEIGHTS / "builtin-llava", dtype=torch.float32
    )
    pixels = normalised(np.stack([pictures.pixels(i) for i in range(3)])) / 2
    found = []
    # Pooler input: (images, 1 + patches, width), class token first.
    model.visual.attn_pool.register_forward_hook(lambda _, given, __: found.append(given[0]))
    with torch.no_grad():
        seen = tower_features(llava.model.vision_tower, pixels)
        model.visual(pixels)
        take_tower(model, WEIGHTS / "builtin-llava")
        model.visual(pixels)
    before, after = (cosine_similarity(seen, x[:, 1:], dim=-1).mean() for x in found)
    # The class token does not exist in that tower, so it has a small weight.
    assert abs(float(before)) < 0.3
    assert float(after) > 0.98


def test_text_tower_is_initialized_from_the_given_encoder(
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
def test_missing_start_folder_is_reported(
    take: Callable[[CustomTextCLIP, Path], None], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(str(tmp_path))):
        take(build(300), tmp_path)


def test_tower_of_another_shape_is_rejected(tmp_path: Path) -> None:
    with safe_open(WEIGHTS / "builtin-llava" / "model.safetensors", "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    places = "vision_tower.vision_model.embeddings.position_embedding.weight"
    save_file(weights | {places: torch.zeros(49, 192)}, tmp_path / "model.safetensors")
    with pytest.raises(ConfigurationError, match="positional_embedding"):
        take_tower(build(300), tmp_path)


def test_pretrained_tower_has_a_lower_learning_rate(pictures: album.Album, tmp_path: Path) -> None:
    reader = tokenizer.read(WEIGHTS / "builtin-clip")
    plan = Recipe(batch=18, warmup_steps=1, family_weights={}, tower_share=0.0)
    run = Run(tmp_path, plan, pictures, pictures, reader, torch.device("cpu"), "fp32")
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.step(0)
    moved = {n for n, v in run.model.state_dict().items() if not torch.equal(v, before[n])}
    frozen = ("visual.conv1", "visual.positional_embedding", "visual.transformer")
    assert not [name for name in moved if name.startswith(frozen)]
    assert {"visual.proj", "text.token_embedding.weight", "logit_scale"} <= moved


def test_loss_of_a_random_model_is_the_chance_level(
    pictures: album.Album, captions: Captions
) -> None:
    torch.manual_seed(0)
    plan = Recipe(batch=18)
    objective = Objective(build(captions.vocabulary), captions.word_frequency(), plan)
    losses = objective(Sampler(pictures, captions, plan).batch(0))
    assert losses.contrastive.item() == pytest.approx(math.log(18), rel=0.5)
    assert losses.total.requires_grad
    assert torch.isfinite(losses.total)


def test_uninformative_tokens_have_no_weight() -> None:
    weights = word_weights(torch.tensor([0.0, 1.0, 0.5]))
    assert weights.tolist() == pytest.approx([0.0, 0.0, math.log(2)])


def test_word_loss_is_minimal_for_the_correct_words() -> None:
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
def test_ranks_count_ties(queries: list[list[float]], expected: list[int]) -> None:
    candidates = np.eye(3, dtype=np.float32)
    found = ranks(np.array(queries, dtype=np.float32), candidates)
    assert found.tolist() == expected


def test_group_recall_ranks_against_all_candidates() -> None:
    rank = np.array([0, 3, 7, 20])
    assert recall(rank, 100).at == {1: 0.25, 5: 0.5, 10: 0.75}
    assert recall(rank, 100, [False, True, True, False]).at == {1: 0.0, 5: 0.5, 10: 1.0}
    assert recall(rank, 100).chance == {1: 0.01, 5: 0.05, 10: 0.1}


def test_recall_of_an_empty_group_is_nan() -> None:
    assert math.isnan(recall(np.array([0]), 1, [False]).at[1])


def test_duplicate_captions_are_evaluated_once() -> None:
    assert first_unique(["a", "b", "a", "c"]) == [0, 1, 3]


def test_moving_average_follows_weights_and_copies_counters() -> None:
    model = torch.nn.BatchNorm1d(2)
    average = Average(model, decay=0.9)
    with torch.no_grad():
        model.weight.fill_(3.0)
        model.num_batches_tracked.fill_(4)
    average.update(model, step=10_000)
    assert average.weights["weight"].tolist() == pytest.approx([1.2, 1.2])
    assert average.weights["num_batches_tracked"].item() == 4


def test_learning_rate_warms_up_and_decays() -> None:
    rates = [learning_rate(step, SMOKE) for step in range(SMOKE.steps)]
    peak = rates.index(max(rates))
    assert peak == SMOKE.warmup_steps - 1 or peak == SMOKE.warmup_steps
    assert rates[0] < rates[1]
    assert rates[-1] < 0.05 * SMOKE.learning_rate


# Short queries


def test_image_matches_a_query_per_object_and_language() -> None:
    (street,) = album.pictures("validation", 0, 1)
    wanted = {(one.query("en"), one.query("zh")) for one in wanted_of(street)}
    assert wanted == {
        ("a truck", "卡车"),
        ("a van", "面包车"),
        ("a grey truck", "灰色卡车"),
        ("a white van", "白色面包车"),
    }


def test_query_targets_round_trip_through_the_album(pictures: album.Album) -> None:
    (first,) = album.pictures("train", 0, 1)
    assert pictures.entries[0].wanted == wanted_of(first)


def test_matching_images_do_not_compete_with_each_other() -> None:
    fits = torch.tensor([[True, True, False]])
    alone = fit_loss(torch.tensor([[2.0, 2.0, 0.0]]), fits)
    assert torch.allclose(alone, torch.tensor([2.0]).neg().exp().log1p())
    better = fit_loss(torch.tensor([[9.0, 2.0, 0.0]]), fits)
    assert better < alone
    assert fit_loss(torch.tensor([[2.0, 2.0, 3.0]]), fits) > alone
    nothing = fit_loss(torch.ones(1, 3), torch.zeros(1, 3, dtype=torch.bool))
    assert float(nothing) == 0.0


def test_precision_is_limited_to_the_number_of_matches() -> None:
    fits = np.array([[True, False, True, False], [False, False, False, True]])
    scores = np.array([[0.9, 0.8, 0.1, 0.0], [0.5, 0.5, 0.5, 0.5]], dtype=np.float32)
    found = shares(scores, fits)
    # Two images match the first query, one is ranked first; ties count against the second query.
    assert found[3].tolist() == [0.5, 0.0]
    assert shares(-scores, ~fits)[3].tolist() == [0.5, pytest.approx(2 / 3)]
