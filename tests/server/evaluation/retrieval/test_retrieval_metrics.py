"""Measures, intervals and overlaps, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sightline.server.evaluation.bootstrap import estimate
from sightline.server.evaluation.retrieval.rank_overlap import rank_biased_overlap
from sightline.server.evaluation.retrieval.retrieval_metrics import score


def test_measures_are_those_of_the_field() -> None:
    found = score(
        {"graded": ["x", "b", "a"], "late": [*"mnopqrstuvw", "a"], "empty": []},
        {"graded": {"a": 2, "b": 1, "c": 0}, "late": {"a": 1}, "empty": {"a": 1}, "none": {"a": 1}},
    )
    gained = 1 / math.log2(3) + 2 / math.log2(4)
    ideal = 2 + 1 / math.log2(3)
    assert found["nDCG@10"].tolist() == pytest.approx([gained / ideal, 0, 0, 0])
    assert found["R@1"].tolist() == [0, 0, 0, 0]
    assert found["R@5"].tolist() == [1, 0, 0, 0]
    assert found["R@10"].tolist() == [1, 0, 0, 0]
    assert found["MRR"].tolist() == pytest.approx([1 / 2, 1 / 12, 0, 0])


def test_an_interval_holds_what_the_bootstrap_says() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.2, 400)
    found = estimate(values, [str(n) for n in range(400)])
    error = values.std() / math.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)
    assert found == estimate(values, [str(n) for n in range(400)])
    assert found.n == 400


def test_queries_of_one_topic_are_no_independent_evidence() -> None:
    values = np.repeat(np.random.default_rng(0).normal(0.5, 0.2, 100), 2)
    twins = estimate(values, [str(n // 2) for n in range(200)])
    apart = estimate(values, [str(n) for n in range(200)])
    assert twins.value == apart.value
    assert twins.high - twins.low > 1.25 * (apart.high - apart.low)


def test_a_difference_is_measured_on_the_same_queries() -> None:
    """Queries differ much and the systems little: apart, their intervals would overlap."""
    base = np.random.default_rng(0).uniform(0, 1, 50)
    better = estimate(base + 0.01, [str(n) for n in range(50)])
    worse = estimate(base, [str(n) for n in range(50)])
    gain = estimate(base + 0.01 - base, [str(n) for n in range(50)])
    assert better.low < worse.high
    assert gain.is_above_zero
    assert not estimate(base - base, [str(n) for n in range(50)]).is_above_zero


def test_nothing_has_no_mean() -> None:
    assert math.isnan(estimate([], []).value)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("abc", "abc", 1),
        ("abc", "xyz", 0),
        ("", "", 1),
        ("a", "", 0),
        # 0.1/0.9 * (1 * 0.9 + 1/2 * 0.81 + 1 * 0.729) + 1 * 0.729
        ("abc", "acb", 0.955),
        # Agreement 1 as far as both go, and assumed beyond.
        ("abcdef", "abc", 1),
    ],
)
def test_rank_biased_overlap(one: str, other: str, overlap: float) -> None:
    assert rank_biased_overlap(one, other) == pytest.approx(overlap)
    assert rank_biased_overlap(other, one) == pytest.approx(overlap)


def test_overlap_at_the_top_counts_more() -> None:
    top = rank_biased_overlap("abcdefgh", "abcdxyzw")
    bottom = rank_biased_overlap("abcdefgh", "xyzwefgh")
    assert top > bottom
