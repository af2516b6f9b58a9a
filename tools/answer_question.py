"""``answer_question``: an answer whose every claim cites evidence that was checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import Field

from sightline.storage.errors import InvalidArgumentError, ModelError
from sightline.storage.retrieval.records import Selection
from sightline.storage.retrieval.stopwatch import Stopwatch
from sightline.tools import pictures
from sightline.tools.arguments import Collection, Filters, OptionalText
from sightline.tools.context import Call, dependencies, principal
from sightline.tools.dependencies import Dependencies
from sightline.tools.drawing import Marked, draw
from sightline.tools.grounding import evidence as gathering
from sightline.tools.grounding.asking import question_request
from sightline.tools.grounding.checking import Checked, check, unfounded
from sightline.tools.grounding.evidence import Evidence, PictureEvidence
from sightline.tools.grounding.reading import Draft, read
from sightline.tools.grounding.results import (
    AnswerResult,
    Status,
    claim_result,
    evidence_item,
)
from sightline.tools.locate import NO_MODEL
from sightline.tools.pictures import EncodedPicture
from sightline.tools.results import as_tool_result
from sightline.tools.search_images import selection
from sightline.tools.vision import VisionLanguageModel

DESCRIPTION = """\
Answer a question about pictures and text, with evidence. Finds the evidence itself, or looks at
the `assets` you name. Every claim cites evidence [n] with its asset, page or time and box, and
carries a verdict: 'supported' (something besides the answer agrees), 'unchecked', or 'contradicted'
(do not repeat it). When the evidence does not carry an answer, says so and what is missing. When no
model can be reached, returns the evidence alone: look with view_image and answer yourself."""

MOST_ASSETS = 8
_PICTURES = 4
_ANNOTATED_EDGE_PIXELS = 768


async def _untold(_done: float, _message: str) -> None:
    """Nobody waits for progress."""


async def answer_question(
    deps: Dependencies,
    question: str,
    *,
    assets: Sequence[str] = (),
    chosen: Selection,
    who: str | None = None,
    annotate: bool = False,
    tell: Callable[[float, str], Awaitable[None]] = _untold,
) -> tuple[AnswerResult, list[EncodedPicture]]:
    """Gather, ask, check, answer; ``tell`` is awaited with progress at each stage."""
    if not question.strip():
        raise InvalidArgumentError("the question is empty; ask one, such as 'How many vans?'")
    watch = Stopwatch()
    model = deps.vision
    pictures_wanted = _PICTURES if model is None else min(model.profile.pictures, _PICTURES)
    if len(assets) > pictures_wanted:
        raise InvalidArgumentError(
            f"{len(assets)} assets are more than can be looked at at once, {pictures_wanted}"
        )
    await tell(0, "looking for evidence")
    with watch.stage("evidence"):
        if assets:
            evidence = await gathering.given(deps, assets)
        else:
            evidence = await gathering.found(
                deps, question, chosen, pictures=pictures_wanted, principal=who
            )
    if model is None:
        return _without_model(evidence, NO_MODEL, watch), []
    if not evidence:
        result = AnswerResult(
            status="not_shown",
            claims=[],
            evidence=[],
            missing="nothing in the collections matches the question",
            timings_ms={**watch.stages, "total": watch.total()},
        )
        return result, []
    try:
        await tell(1, f"asking {model.model}")
        with watch.stage("answer"):
            draft, notes = await _ask(model, question, evidence)
        await tell(2, "checking claims")
        with watch.stage("check"):
            checked = await check(model, question, draft.claims, evidence, deadline_seconds=None)
    except ModelError as error:
        return _without_model(evidence, str(error), watch), []
    result = _result(model, draft, checked, evidence, notes, watch)
    if not annotate:
        return result, []
    return result, await anyio.to_thread.run_sync(
        _drawn, deps, result, evidence, limiter=deps.picture_threads
    )


async def _ask(
    model: VisionLanguageModel, question: str, evidence: Sequence[Evidence]
) -> tuple[Draft, list[str]]:
    """The model's draft; asked once more where the first one cannot stand."""
    profile = model.profile
    reply = await model.ask(question_request(profile, question, evidence))
    draft = read(reply, profile, evidence)
    by_number = {item.number: item for item in evidence}
    problems = [
        f"{claim.text[:80]!r}: {wrong}"
        for claim in draft.claims
        if (wrong := unfounded(claim, by_number)) is not None
    ]
    if not draft.readable:
        problems = ["the reply was not the JSON object that was asked for"]
    # The built-in model writes one form only: told of a problem, it would write the same again.
    if not problems or profile.answers == "cited":
        return draft, []
    request = question_request(profile, question, evidence, problems=problems)
    second = read(await model.ask(request), profile, evidence)
    if not second.readable:
        return draft, ["a second try at the answer could not be read"]
    return second, ["the answer was repaired once"]


def _result(
    model: VisionLanguageModel,
    draft: Draft,
    checked: Sequence[Checked],
    evidence: Sequence[Evidence],
    notes: list[str],
    watch: Stopwatch,
) -> AnswerResult:
    standing = [each for each in checked if each.verdict != "contradicted" and each.cites]
    status: Status = "answered"
    missing = draft.missing
    if not draft.readable:
        status = "unreadable"
        missing = f"the model's reply could not be read: {draft.raw[:200]!r}"
    elif not draft.shown:
        status = "ambiguous" if draft.readings else "not_shown"
        missing = missing or "none of the evidence shows it"
    elif not standing:
        # An answer none of whose claims stands is no answer.
        status = "not_shown"
        missing = "the model answered, and no claim of it held: " + "; ".join(
            reason for each in checked for reason in each.reasons
        )
    return AnswerResult(
        status=status,
        answer=draft.answer if status == "answered" else None,
        claims=[claim_result(each, evidence) for each in checked],
        evidence=[evidence_item(each) for each in evidence],
        missing=None if status == "answered" else missing,
        readings=list(draft.readings) or None,
        model=model.model,
        notes=[*notes, *([model.profile.note] if model.profile.note else [])] or None,
        timings_ms={**watch.stages, "total": watch.total()},
    )


def _without_model(evidence: Sequence[Evidence], reason: str, watch: Stopwatch) -> AnswerResult:
    return AnswerResult(
        status="no_model",
        claims=[],
        evidence=[evidence_item(each) for each in evidence],
        missing=f"there is no answer, only evidence: {reason}",
        timings_ms={**watch.stages, "total": watch.total()},
    )


def _drawn(
    deps: Dependencies, result: AnswerResult, evidence: Sequence[Evidence]
) -> list[EncodedPicture]:
    """The cited pictures with the boxes of the claims on them."""
    drawn: list[EncodedPicture] = []
    for item in evidence:
        if not isinstance(item, PictureEvidence):
            continue
        marks = [
            Marked(pictures.parse_crop(claim.box), f"[{item.number}] {claim.text}")
            for claim in result.claims
            if claim.box is not None and item.number in claim.cites[:1]
        ]
        if marks:
            shown = item.image.copy()
            shown.thumbnail((_ANNOTATED_EDGE_PIXELS, _ANNOTATED_EDGE_PIXELS))
            drawn.append(
                pictures.encode(
                    draw(shown, marks),
                    max_edge=_ANNOTATED_EDGE_PIXELS,
                    max_bytes=deps.limits.inline_bytes // MOST_ASSETS,
                )
            )
    return drawn


def register(mcp: MCPServer) -> None:
    """Offer the tool."""

    @mcp.tool(
        name="answer_question",
        title="Answer question",
        description=DESCRIPTION,
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )
    async def tool(
        ctx: Call,
        question: Annotated[
            str, Field(max_length=2_000, description="One question, in English or Chinese.")
        ],
        assets: Annotated[
            list[str] | None,
            Field(max_length=MOST_ASSETS, description="Look at these assets and nothing else."),
        ] = None,
        collection: Collection = "",
        filters: Filters = None,
        captured_after: Annotated[
            OptionalText, Field(description="Evidence taken at or after, ISO 8601.")
        ] = "",
        captured_before: Annotated[
            OptionalText, Field(description="Evidence taken before, ISO 8601.")
        ] = "",
        annotate: Annotated[
            bool, Field(description="Return the cited pictures with the claims' boxes on them.")
        ] = False,
    ) -> Annotated[CallToolResult, AnswerResult]:
        async def tell(done: float, message: str) -> None:
            await ctx.report_progress(done, 3, message)

        result, shown = await answer_question(
            dependencies(ctx),
            question,
            assets=assets or (),
            chosen=selection(collection, filters, captured_after, captured_before),
            who=principal(),
            annotate=annotate,
            tell=tell,
        )
        return as_tool_result(result, shown)
