"""A confidence is valid only for the model it was fitted on."""

from __future__ import annotations

import hashlib

import pytest

from sightline.server.models.vision_language.builtin.llava_model import BUILTIN_FOLDER
from sightline.tools.answers.answer_parser import Draft
from sightline.tools.answers.rating.confidence import compute_features, load_calibration
from sightline.tools.vlm.vision_language_model import Reply, Token


def reply(*log_probabilities: float) -> Reply:
    tokens = tuple(Token("x", each) for each in log_probabilities)
    return Reply("x", "stop", "m", 0.0, tokens=tokens or None)


def test_the_built_in_models_calibration_was_fitted_on_the_weights_that_ship() -> None:
    fitted = load_calibration(BUILTIN_FOLDER.name)
    assert fitted is not None
    weights = (BUILTIN_FOLDER / "model.safetensors").read_bytes()
    assert fitted.provenance["weights_sha256"] == hashlib.sha256(weights).hexdigest(), (
        "the weights have changed since: run `python -m benchmarks.answers calibrate`, then `test`"
    )


def test_its_coefficients_are_of_the_features_that_answers_have() -> None:
    fitted = load_calibration(BUILTIN_FOLDER.name)
    assert fitted is not None
    known = compute_features(Draft("white", shown=True), reply(-0.1), [], [])
    assert set(fitted.weights) == set(known)
    assert 0 < fitted.confidence(known) < 1


def test_a_model_that_nothing_was_fitted_on_has_no_calibration() -> None:
    assert load_calibration("qwen3-vl") is None
    assert load_calibration("../builtin-llava") is None


def test_the_surer_a_model_is_of_its_words_the_surer_the_features_are() -> None:
    draft = Draft("white", shown=True)
    sure, unsure = (compute_features(draft, reply(each, -0.1), [], []) for each in (-0.01, -3.0))
    assert sure["mean_log_probability"] > unsure["mean_log_probability"]
    assert sure["min_log_probability"] > unsure["min_log_probability"]
    # Where a server tells no log-probabilities, the features are there all the same.
    assert set(compute_features(draft, reply(), [], [])) == set(sure)


@pytest.mark.parametrize(("answer", "kind"), [("yes", "yes_or_no"), ("32 mm", "number")])
def test_what_kind_of_answer_it_is_is_a_feature(answer: str, kind: str) -> None:
    assert compute_features(Draft(answer, shown=True), reply(), [], [])[kind] == 1
    assert compute_features(Draft("white", shown=True), reply(), [], [])[kind] == 0
