"""Print benchmark tables: durations and their ratios to a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Durations:
    """Durations of repeated runs of one operation, in seconds."""

    seconds: tuple[float, ...]

    @property
    def p50(self) -> float:
        """The median, in milliseconds."""
        return 1000 * float(np.percentile(self.seconds, 50))

    @property
    def p95(self) -> float:
        """The 95th percentile, in milliseconds."""
        return 1000 * float(np.percentile(self.seconds, 95))

    @property
    def cells(self) -> tuple[str, str]:
        """p50 and p95 as table cells."""
        return f"{self.p50:.1f}", f"{self.p95:.1f}"


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is left-aligned, the others are right-aligned."""
    widths = [max(len(row[index]) for row in (columns, *rows)) for index in range(len(columns))]
    print(f"\n{title}")
    for row in (columns, *rows):
        first, *rest = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        print("  " + "  ".join(cells).rstrip(), flush=True)


def max_verdict(ratio: float, budget: float) -> str:
    """Return, for example, ``1.31 (budget: at most 1.25, missed)``."""
    return f"{ratio:.2f} (budget: at most {budget:g}, {'met' if ratio <= budget else 'missed'})"


def min_verdict(ratio: float, budget: float) -> str:
    """Return, for example, ``0.93 (budget: at least 0.9, met)``."""
    return f"{ratio:.2f} (budget: at least {budget:g}, {'met' if ratio >= budget else 'missed'})"
