"""``answer_question``: answer a question with citations that were checked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sightline.storage.errors import InvalidArgumentError, ModelError
from sightline.storage.ingest.decode.render.overlays import BoxOverlay
from sightline.storage.interfaces import Detector, ImageEncoder
from sightline.storage.isolation.caller import message_for_caller
from sightline.storage.records.assets import Asset
from sightline.storage.retrieval.search_types import Selection
from sightline.storage.retrieval.stage_runner import StageTimer
from sightline.tools.answers.answer_context import (
    CROP_EDGE_PIXELS,
    Evidence,
    ImageEvidence,
    evidence_of_assets,
    image_of,
    search_evidence,
)
from sightline.tools.answers.answer_drawing import claim_overlays
from sightline.tools.answers.answer_parser import MAX_CLAIMS
from sightline.tools.answers.answer_results import (
    AnswerResult,
    AnswerStatus,
    without_answer,
    without_repetition,
)
from sightline.tools.boxes.letterbox import source_edge
from sightline.tools.boxes.model_families import PLAIN
from sightline.tools.shared.argument_types import (
    Collection,
    Filters,
    Inline,
    ListedId,
    selection,
)
from sightline.tools.shared.dependencies import Call, Dependencies, dependencies, principal
from sightline.tools.shared.image_delivery import image_url, inline_by_default
from sightline.tools.shared.image_loading import image_memory, render_asset
from sightline.tools.shared.images import EncodedImage
from sightline.tools.shared.overlay_uri import overlay_code, overlay_uri
from sightline.tools.shared.tool_results import to_tool_result
from sightline.tools.vlm.phrase_grounding import NO_VLM
from sightline.tools.vlm.vision_language_model import VisionLanguageModel

if TYPE_CHECKING:
    from sightline.tools.answers.answer_pipeline import (
        AnsweringModels,
        RatedAnswer,
        ReportProgress,
    )

DESCRIPTION = """\
Answer a question about images and text, from `assets` or what it finds. Claims cite evidence
[number] and have a verdict: 'supported', 'unchecked' or 'contradicted' (do not repeat it). Status
'uncertain': checks withheld the answer."""

RESULT = AnswerResult

MAX_ASSETS = 8
_MAX_IMAGES_PER_PROMPT = 4
_ANNOTATED_EDGE_PIXELS = 768
_ANSWER_YOURSELF = (
    "Or answer from the evidence yourself: view_image shows images, read_text returns texts."
)


async def _no_progress(_done: float, _message: str) -> None: ...


async def answer_with_evidence(
    deps: Dependencies,
    question: str,
    *,
    about: str = "",
    assets: Sequence[str] = (),
    chosen: Selection,
    checks: bool = True,
    principal: str | None = None,
    report_progress: ReportProgress = _no_progress,
) -> tuple[RatedAnswer, Sequence[Evidence]]:
    """Return the answer with its features, and all collected evidence."""
    if not question.strip():
        raise InvalidArgumentError("The question is empty. Ask one, such as 'How many vans?'.")
    # Imports numpy, for which the handshake must not wait.
    from sightline.tools.answers.answer_pipeline import (
        AnswerRequest,
        RatedAnswer,
        answer,
    )
    from sightline.tools.answers.image_groups import merge_answers, split_by_image

    timer = StageTimer()
    model = deps.vlm
    profile = PLAIN if model is None else model.profile
    max_assets = min(profile.max_images, _MAX_IMAGES_PER_PROMPT)
    if len(assets) > max_assets:
        raise InvalidArgumentError(
            f"{len(assets)} assets are too many for one question. Give at most {max_assets}."
        )
    max_edge = None if model is None else source_edge(profile.fit)
    await report_progress(0, "looking for evidence")
    with timer.stage("evidence"):
        if assets:
            evidence = await evidence_of_assets(deps, assets, max_edge=max_edge)
        else:
            evidence = await search_evidence(
                deps,
                about if about.strip() else question,
                chosen,
                max_images=profile.max_found_images,
                max_passages=profile.max_found_passages,
                max_edge=max_edge,
                principal=principal,
            )

    def unanswered(status: AnswerStatus, missing: str) -> tuple[RatedAnswer, Sequence[Evidence]]:
        timings = {**timer.stages, "total": timer.total()}
        return RatedAnswer(without_answer(status, evidence, missing, timings), {}), evidence

    no_answer = "There is evidence but no answer: "
    if not evidence:
        return unanswered("not_shown", "Nothing in the collections matches the question.")
    if model is None:
        return unanswered("no_model", f"{no_answer}{NO_VLM} {_ANSWER_YOURSELF}")
    limits = deps.limits
    request = AnswerRequest(
        question,
        about,
        time.monotonic() + limits.answer_timeout_seconds,
        limits.min_answer_confidence,
        checks,
    )
    one_by_one = not assets and min(profile.max_images, profile.max_found_images) == 1
    groups = split_by_image(evidence) if one_by_one else [evidence]
    models = await _answering_models(deps, model, with_checks=checks)
    try:
        answers = [
            await answer(
                models,
                request,
                group,
                report_progress=_group_progress(report_progress, done, len(groups)),
                timer=timer,
            )
            for done, group in enumerate(groups)
        ]
    except ModelError as error:
        return unanswered("no_model", f"{no_answer}{message_for_caller(error)}")
    return merge_answers(question, answers), evidence


async def _answering_models(
    deps: Dependencies, model: VisionLanguageModel, *, with_checks: bool
) -> AnsweringModels:
    """Return the model with those that check it, as far as they are available."""
    from sightline.tools.answers.answer_pipeline import AnsweringModels
    from sightline.tools.answers.rating.confidence import load_calibration

    encoder: ImageEncoder | None = None
    detector: Detector | None = None
    if with_checks:
        with suppress(ModelError):  # some checks are left out without it
            encoder = await deps.encoder.get()
        with suppress(ModelError):
            detector = None if deps.detector is None else await deps.detector.get()
    calibration = load_calibration(model.model, deps.calibrations)
    return AnsweringModels(model, encoder, detector, calibration)


def _group_progress(report_progress: ReportProgress, done: int, groups: int) -> ReportProgress:
    """Scale the stages 1 and 2 of each group, because progress must never decrease."""

    async def report(stage: float, message: str) -> None:
        await report_progress(1 + (2 * done + stage - 1) / groups, message)

    return report


def _image_memory(deps: Dependencies) -> AbstractAsyncContextManager[None]:
    """Hold the memory of the images and crops of a question."""
    if deps.vlm is None:
        return nullcontext()
    edge = source_edge(deps.vlm.profile.fit)
    edges = [edge] * _MAX_IMAGES_PER_PROMPT + [CROP_EDGE_PIXELS] * MAX_CLAIMS
    return image_memory(deps, *edges)


def _claim_overlays(
    result: AnswerResult, evidence: Sequence[Evidence]
) -> list[tuple[Asset, list[BoxOverlay]]]:
    """Return the cited images with the boxes of their claims and checks."""
    images = {item.number: image_of(item) for item in evidence}
    overlays: dict[int, list[BoxOverlay]] = {}
    for claim in result.claims:
        image = images[claim.citations[0]] if claim.citations else None
        if image is not None:
            overlays.setdefault(image.number, []).extend(claim_overlays(claim))
    overlays = {number: drawn for number, drawn in overlays.items() if drawn}
    return [
        (item.asset, overlays[item.number])
        for item in evidence
        if isinstance(item, ImageEvidence) and item.number in overlays
    ]


async def _draw(
    deps: Dependencies, claimed: Sequence[tuple[Asset, list[BoxOverlay]]]
) -> list[EncodedImage]:
    return [
        await render_asset(
            deps,
            asset,
            overlays=overlays,
            max_edge=_ANNOTATED_EDGE_PIXELS,
            max_bytes=deps.limits.max_inline_bytes // MAX_ASSETS,
        )
        for asset, overlays in claimed
    ]


def _links(claimed: Sequence[tuple[Asset, list[BoxOverlay]]]) -> list[str]:
    """Return the addresses of the images with boxes, over stdio the URIs of resources."""
    codes = [(asset.id, overlay_code(overlays, "box")) for asset, overlays in claimed]
    return [
        image_url(asset, boxes=code) or overlay_uri(asset, code)
        for asset, code in codes
        if code is not None
    ]


async def tool(
    ctx: Call,
    question: Annotated[
        str, Field(max_length=2_000, description="One question, in English or Chinese.")
    ],
    about: Annotated[
        str,
        Field(
            max_length=2_000,
            description="What to search instead.",
        ),
    ] = "",
    assets: Annotated[
        list[ListedId] | None,
        Field(max_length=MAX_ASSETS, description="Use only these assets."),
    ] = None,
    collection: Collection = "",
    filters: Filters = None,
    annotate: Annotated[bool, Field(description="Return cited images with boxes.")] = False,
    checks: Annotated[bool, Field(description="False skips checks.")] = True,
    inline: Inline = None,
) -> CallToolResult:
    async def report_progress(done: float, message: str) -> None:
        await ctx.report_progress(done, 3, message)

    deps = dependencies(ctx)
    async with _image_memory(deps):
        rated, evidence = await answer_with_evidence(
            deps,
            question,
            about=about,
            assets=assets or (),
            chosen=selection(collection, filters),
            checks=checks,
            principal=principal(),
            report_progress=report_progress,
        )
        result = without_repetition(rated.result)
        claimed = _claim_overlays(result, evidence) if annotate else []
        if inline_by_default(deps) if inline is None else inline:
            return to_tool_result(result, await _draw(deps, claimed))
    return to_tool_result(result.model_copy(update={"images": _links(claimed) or None}))
