"""The status of an answer follows from its claims, its confidence and its domain."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sightline.tools.answers.answer_parser import Claim, Draft, Verdict
from sightline.tools.answers.checks.check_types import CheckResult
from sightline.tools.answers.checks.claim_checks import Finding
from sightline.tools.answers.claim_verification import VerifiedClaim
from sightline.tools.answers.rating.answer_status import Decision, Domain, decide
from sightline.tools.answers.rating.confidence import Calibration, Thresholds, settle
from sightline.tools.vlm.vision_language_model import Reply

FITTED = Calibration("m", 0.0, {}, {}, Thresholds(0.9, 0.2, 0.6))
REPLY = Reply("x", "stop", "m", 0.0)


def claim(verdict: Verdict = "unchecked", *, agrees: bool | None = None) -> VerifiedClaim:
    return VerifiedClaim(Claim("3 vans", (1,)), verdict, ("a reason",), agrees=agrees)


def decided(
    *claims: VerifiedClaim,
    confidence: float | None = 0.8,
    domain: Domain | None = None,
    draft: Draft | None = None,
    least: float = 0.0,
) -> Decision:
    return decide(
        draft or Draft("3", shown=True),
        REPLY,
        claims,
        domain or Domain(),
        confidence=confidence,
        calibration=FITTED if confidence is not None else None,
        min_confidence=least,
    )


def test_an_answer_of_sufficient_confidence_is_given() -> None:
    assert decided(claim()) == Decision("answered", 0.8)
    assert decided(claim(), confidence=None) == Decision("answered")


def test_a_contradicted_claim_withholds_the_answer() -> None:
    found = decided(claim(), claim("contradicted"), confidence=None)
    assert (found.status, found.confidence) == ("uncertain", None)
    assert "a reason" in str(found.missing)


def test_an_unsupported_answer_below_the_threshold_is_withheld() -> None:
    found = decided(claim(agrees=False), confidence=0.5)
    assert found.status == "uncertain"
    assert "its confidence is 0.50" in str(found.missing)
    assert "second answer was another" in str(found.missing)
    assert decided(claim("supported"), confidence=0.5).status == "answered"


def test_an_unknown_picture_needs_support() -> None:
    unknown = Domain(pictures=(1,))
    found = decided(claim(), confidence=0.99, domain=unknown)
    assert found.status == "uncertain"
    assert "[1] is unlike the pictures that the model knows" in str(found.missing)
    given = decided(claim("supported"), confidence=0.9, domain=unknown)
    assert (given.status, given.confidence) == ("answered", pytest.approx(0.45))


def test_unknown_words_are_named_where_the_answer_is_withheld() -> None:
    found = decided(claim(), confidence=0.5, domain=Domain(words=("hue",), word_share=0.25))
    assert found.status == "uncertain"
    assert "'hue'" in str(found.missing)


def test_an_answer_about_an_unknown_thing_needs_support() -> None:
    unknown = Domain(words=("frisbee",), subjects=("frisbee",))
    withheld = decided(claim(), confidence=0.99, domain=unknown)
    assert withheld.status == "uncertain"
    assert "'frisbee'" in str(withheld.missing)
    assert decided(claim("supported"), confidence=0.99, domain=unknown).status == "answered"


def test_only_reading_supports_claims_about_unlike_pictures() -> None:
    unlike = Domain(pictures=(1,), evidence=frozenset({1, 2}))
    supported = claim("supported")
    assert unlike.limit(supported).verdict == "unchecked"
    assert Domain().limit(supported).verdict == "supported"
    for check, verdict in (("reading", "supported"), ("existence", "unchecked")):
        finding = Finding(results=(CheckResult(check, "supported", "it was read"),))
        assert unlike.limit(replace(supported, findings=(finding,))).verdict == verdict


def test_the_required_confidence_withholds_supported_answers_too() -> None:
    assert decided(claim("supported"), confidence=0.7, least=0.75).status == "uncertain"


def test_an_answer_without_citations_is_none() -> None:
    uncited = VerifiedClaim(Claim("3", ()), "unchecked", ("it cites no evidence",))
    assert decided(uncited).status == "not_shown"
    assert decided(draft=Draft("", shown=False)).status == "not_shown"
    assert decided(draft=Draft("", shown=False, interpretations=("a",))).status == "ambiguous"
    assert decided(draft=Draft("", shown=False, readable=False)).status == "unreadable"


@pytest.mark.parametrize(
    ("verdict", "chance", "settled"),
    [
        ("supported", 0.95, "supported"),
        ("supported", 0.85, "unchecked"),
        ("contradicted", 0.1, "contradicted"),
        ("contradicted", 0.3, "unchecked"),
        ("unchecked", 0.99, "unchecked"),
    ],
)
def test_a_verdict_needs_its_chance(verdict: Verdict, chance: float, settled: str) -> None:
    own = {"score": math.log(chance / (1 - chance))}
    (found,) = settle([claim(verdict)], [own], replace(FITTED, weights={"score": 1.0}))
    assert found.verdict == settled


@pytest.mark.parametrize(
    ("verdict", "outcome", "settled"),
    [
        ("supported", "count supported", "supported"),
        ("supported", "color supported", "unchecked"),
        ("contradicted", "location contradicted", "contradicted"),
        ("contradicted", "count contradicted", "unchecked"),
    ],
)
def test_a_trusted_outcome_decides_the_verdict(
    verdict: Verdict, outcome: str, settled: str
) -> None:
    trusted = frozenset({"count supported", "location contradicted"})
    (found,) = settle([claim(verdict)], [{outcome: 1.0}], replace(FITTED, trusted=trusted))
    assert found.verdict == settled
