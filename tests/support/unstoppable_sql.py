"""A statement that never looks for signals."""

from __future__ import annotations

from typing import Final

#: It compares each character of the first text with each of the second: hours.
UNSTOPPABLE: Final = "SELECT length(translate(repeat('a', 3000000), repeat('b', 3000000), ''))"
