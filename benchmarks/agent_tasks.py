"""Calls and tokens of the tasks of agents.

Runs ``tests/acceptance/test_agent_tasks.py``, which plays the calls of a competent agent over HTTP
and checks its answers. Tokens are the characters of the JSON of all results, divided by 4; images
are counted apart.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.tables import print_table

_TASKS = Path(__file__).parent.parent / "tests" / "acceptance" / "test_agent_tasks.py"
_NAME = re.compile(r"test_task_(\d+)_(\w+)")
_FIGURES = ("calls", "tokens", "images")


class _Recorder:
    """Collects the reports of the tests, by task."""

    def __init__(self) -> None:
        self.reports: dict[tuple[int, str], list[pytest.TestReport]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = _NAME.search(report.nodeid)
        if name is not None and report.when == "call":
            task = int(name[1]), name[2].replace("_", " ")
            self.reports.setdefault(task, []).append(report)


def _row(task: tuple[int, str], reports: Sequence[pytest.TestReport]) -> tuple[str, ...]:
    """Return the cells of a task; of several variants, the most of each figure."""
    figures = [dict(report.user_properties) for report in reports]
    most = [str(max(int(str(each[name])) for each in figures)) for name in _FIGURES]
    passed = sum(report.passed for report in reports)
    answered = "yes" if passed == len(reports) else f"{passed} of {len(reports)}"
    return f"{task[0]}. {task[1]}", *most, answered


async def main(arguments: Sequence[str]) -> None:
    """Run the tasks and print a table."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    recorder = _Recorder()
    options = [str(_TASKS), "-m", "slow", "-q", "--no-header", "--no-summary"]
    # In a thread, because the tests run event loops of their own.
    await asyncio.to_thread(pytest.main, options, plugins=[recorder])
    rows = [_row(task, reports) for task, reports in sorted(recorder.reports.items())]
    totals = [str(sum(int(row[column]) for row in rows)) for column in (1, 2, 3)]
    answered = f"{sum(row[4] == 'yes' for row in rows)} of {len(rows)}"
    columns = ("task", *_FIGURES, "answered")
    print_table("Tasks of agents", columns, [*rows, ("all", *totals, answered)])
