"""Figures as they are printed: a time beside the ratio that a budget is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Times:
    """Seconds of one thing that was done often."""

    seconds: tuple[float, ...]

    @property
    def p50(self) -> float:
        """The median, in milliseconds."""
        return 1000 * float(np.percentile(self.seconds, 50))

    @property
    def p95(self) -> float:
        """In milliseconds."""
        return 1000 * float(np.percentile(self.seconds, 95))

    @property
    def shown(self) -> tuple[str, str]:
        """p50 and p95 as cells."""
        return f"{self.p50:.1f}", f"{self.p95:.1f}"


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is left aligned, the others right."""
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    print(f"\n{title}")
    for row in (head, *rows):
        first, *rest = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        print("  " + "  ".join(cells).rstrip(), flush=True)


def verdict(ratio: float, budget: float, *, most: bool) -> str:
    """``1.31 (budget: at most 1.25, missed)``."""
    kept = ratio <= budget if most else ratio >= budget
    bound = "at most" if most else "at least"
    return f"{ratio:.2f} (budget: {bound} {budget:g}, {'kept' if kept else 'missed'})"
