"""Run the checks that apply to a statement, and measure each."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from sightline.storage.tracing import span
from sightline.storage.types import Box
from sightline.tools.answers.checks import (
    color_checks,
    object_checks,
    place_checks,
    text_checks,
)
from sightline.tools.answers.checks.check_types import CheckResult
from sightline.tools.answers.checks.scene import Scene
from sightline.tools.answers.statements.statement_types import ClaimStatement

#: Returns None if the check does not apply to the statement. ``box`` is that of the claim.
StatementCheck = Callable[[ClaimStatement, Scene, Box | None], Awaitable[CheckResult | None]]

CHECKS: Final[Sequence[StatementCheck]] = (
    text_checks.reading,
    text_checks.written_comparison,
    text_checks.clock_time,
    object_checks.count,
    object_checks.existence,
    object_checks.location,
    place_checks.relation,
    place_checks.box_comparison,
    color_checks.color,
)


async def run_checks(statement: ClaimStatement, scene: Scene, box: Box | None) -> list[CheckResult]:
    """Return the results of all checks that apply, with their milliseconds."""
    results = []
    for check in CHECKS:
        started = time.perf_counter()
        with span(f"check {check.__name__}"):
            result = await check(statement, scene, box)
        if result is not None:
            elapsed = (time.perf_counter() - started) * 1000
            results.append(replace(result, milliseconds=elapsed))
    return results
