"""Metrics, intervals and overlaps, compared with values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sightline.server.evaluation.bootstrap import bootstrap_mean
from sightline.server.evaluation.retrieval_results import compute_metrics, rank_biased_overlap


def test_metrics_match_their_definitions() -> None:
    found = compute_metrics(
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


def test_the_interval_matches_the_standard_error() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.2, 400)
    found = bootstrap_mean(values, [str(n) for n in range(400)])
    error = values.std() / math.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)
    assert found == bootstrap_mean(values, [str(n) for n in range(400)])
    assert found.n == 400


def test_values_of_one_topic_are_not_independent() -> None:
    values = np.repeat(np.random.default_rng(0).normal(0.5, 0.2, 100), 2)
    twins = bootstrap_mean(values, [str(n // 2) for n in range(200)])
    apart = bootstrap_mean(values, [str(n) for n in range(200)])
    assert twins.value == apart.value
    assert twins.high - twins.low > 1.25 * (apart.high - apart.low)


def test_a_difference_is_measured_on_the_same_queries() -> None:
    # Queries differ more than systems, so the intervals of the systems overlap.
    base = np.random.default_rng(0).uniform(0, 1, 50)
    better = bootstrap_mean(base + 0.01, [str(n) for n in range(50)])
    worse = bootstrap_mean(base, [str(n) for n in range(50)])
    gain = bootstrap_mean(base + 0.01 - base, [str(n) for n in range(50)])
    assert better.low < worse.high
    assert gain.low > 0
    assert bootstrap_mean(base - base, [str(n) for n in range(50)]).low <= 0


def test_the_mean_of_no_values_is_nan() -> None:
    assert math.isnan(bootstrap_mean([], []).value)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("abc", "abc", 1),
        ("abc", "xyz", 0),
        ("", "", 1),
        ("a", "", 0),
        # 0.1/0.9 * (1 * 0.9 + 1/2 * 0.81 + 1 * 0.729) + 1 * 0.729
        ("abc", "acb", 0.955),
        # Agreement 1 as far as both lists go, and extrapolated.
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
