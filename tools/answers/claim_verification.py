"""Run the checks of each claim and combine their findings into a verdict.

The answering model's word alone never supports a claim, however often it is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sightline.storage.tracing import span
from sightline.storage.types import Box
from sightline.tools.answers.answer_context import (
    Evidence,
    OcrEvidence,
    PassageEvidence,
    image_of,
)
from sightline.tools.answers.answer_parser import Claim, Verdict
from sightline.tools.answers.checks.check_types import CheckResult
from sightline.tools.answers.checks.claim_checks import (
    EVIDENCE_CHECKS,
    MODEL_CHECKS,
    TEXT_CHECKS,
    CheckContext,
    ClaimCheck,
    Finding,
    second_answer,
)
from sightline.tools.answers.checks.crop_score import CropScore
from sightline.tools.answers.statements.statement_types import Kind
from sightline.tools.answers.text_matching import contains_phrase, is_no, is_yes, normalize


@dataclass(frozen=True, slots=True)
class VerifiedClaim:
    """A claim with its verdict and the reasons. See `Finding` for the other fields."""

    claim: Claim
    verdict: Verdict
    reasons: tuple[str, ...]
    certainty: float | None = None
    agrees: bool | None = None
    crop: CropScore | None = None
    doubted: bool = False
    findings: tuple[Finding, ...] = ()

    @property
    def results(self) -> list[CheckResult]:
        """Return the results of the independent checks."""
        return [result for finding in self.findings for result in finding.results]

    @property
    def kind(self) -> Kind | None:
        """Return the kind of statement, None if the claim was not understood."""
        return next((each.kind for each in self.findings if each.kind is not None), None)


async def verify_claims(claims: Sequence[Claim], context: CheckContext) -> list[VerifiedClaim]:
    """Return the verdict of each claim, in order."""
    return list(await asyncio.gather(*(_verify(claim, context) for claim in claims)))


async def find_contradiction(claim: Claim, context: CheckContext) -> str | None:
    """Return what is wrong with a claim by its text alone, None if nothing is."""
    for check in TEXT_CHECKS:
        if (finding := await check(claim, context)) is not None:
            return finding.reasons[0]
    return None


def unverified(claims: Sequence[Claim]) -> list[VerifiedClaim]:
    """Return claims whose checks were skipped."""
    return [VerifiedClaim(each, "unchecked", ("the checks were skipped",)) for each in claims]


async def _verify(claim: Claim, context: CheckContext) -> VerifiedClaim:
    verdict: Verdict = "unchecked"
    # The second answer of a model with a fixed format is a feature of the confidence.
    is_stable = context.model.profile.answer_format == "cited"
    for checks in (TEXT_CHECKS, EVIDENCE_CHECKS, MODEL_CHECKS):
        stage: list[Finding] = []
        for check in checks:
            finding, context = await _run(check, claim, context)
            if finding is not None:
                stage.append(finding)
                if finding.is_final:
                    break
        if checks is EVIDENCE_CHECKS:
            claim = with_box(claim, context.evidence)
        verdict = _verdict(stage)
        if verdict != "unchecked" or any(each.is_final for each in stage):
            if is_stable and checks is EVIDENCE_CHECKS and _cites_image(claim, context):
                _, context = await _run(second_answer, claim, context)
            break
    findings = context.findings
    return VerifiedClaim(
        claim,
        verdict,
        tuple(reason for each in findings for reason in each.reasons),
        certainty=next((each.certainty for each in findings if each.certainty is not None), None),
        agrees=next((each.agrees for each in findings if each.agrees is not None), None),
        crop=next((each.crop for each in findings if each.crop is not None), None),
        doubted=any(each.is_doubtful for each in findings),
        findings=findings,
    )


async def _run(
    check: ClaimCheck, claim: Claim, context: CheckContext
) -> tuple[Finding | None, CheckContext]:
    """Return the finding of a check, and the context with it."""
    with span(f"check {check.__name__}"):
        finding = await check(claim, context)
    if finding is None:
        return None, context
    finding = replace(finding, check=check.__name__)
    return finding, replace(context, findings=(*context.findings, finding))


def _cites_image(claim: Claim, context: CheckContext) -> bool:
    return any(image_of(item) is not None for item in context.cited(claim))


def _verdict(findings: Sequence[Finding]) -> Verdict:
    """Combine the findings of one stage.

    A doubt about words or colors cancels support, but not that of a check of the statement.
    """
    if any(each.supports is False for each in findings):
        return "contradicted"
    supporting = [each for each in findings if each.supports]
    if any(each.results and not each.is_doubtful for each in supporting):
        return "supported"
    if supporting and not any(each.is_doubtful for each in findings):
        return "supported"
    return "unchecked"


def with_box(claim: Claim, evidence: Mapping[int, Evidence]) -> Claim:
    """Return the claim with the box of its words, if they are in exactly one OCR line.

    If a cited passage belongs to an image (its caption, say), its OCR text is searched too; then
    the claim cites that text first.
    """
    if claim.box is not None:
        return claim
    if (box := locate_words(claim, evidence[claim.citations[0]])) is not None:
        return replace(claim, box=box)
    assets = {
        item.asset.id
        for number in claim.citations
        if isinstance(item := evidence[number], PassageEvidence) and item.asset is not None
    }
    for number, item in evidence.items():
        if (
            isinstance(item, OcrEvidence)
            and item.image_evidence.asset.id in assets
            and (box := locate_words(claim, item)) is not None
        ):
            others = tuple(cited for cited in claim.citations if cited != number)
            return replace(claim, box=box, citations=(number, *others))
    return claim


def locate_words(claim: Claim, item: Evidence) -> Box | None:
    """Return the box of the only OCR line that contains the claim's words.

    A line that equals the words is preferred to lines that contain them.
    """
    phrase = claim.words
    if not isinstance(item, OcrEvidence) or is_yes(phrase) or is_no(phrase):
        return None
    lines = [line for line in item.image_evidence.ocr_lines if contains_phrase(line.text, phrase)]
    lines = [line for line in lines if normalize(line.text) == normalize(phrase)] or lines
    return lines[0].box if len(lines) == 1 else None
