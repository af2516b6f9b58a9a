"""Parse run files: JSON Lines, with errors that name the line and the value."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sightline.storage.errors import InvalidArgumentError, shown

M = TypeVar("M", bound=BaseModel)

ProgressCallback = Callable[[int, int], None]
"""Called with the number of finished steps and the total number of steps."""


@dataclass(frozen=True, slots=True)
class RunFileLine:
    """One line of a run file. ``number`` counts from 1."""

    path: Path
    number: int
    values: Mapping[str, Any]

    def error(self, problem: object) -> InvalidArgumentError:
        """Return an error that names the file and the line."""
        return InvalidArgumentError(f"{self.path}, line {self.number}: {problem}")

    def parse(self, model: type[M]) -> M:
        """Validate the line. Raises InvalidArgumentError for the first wrong value."""
        try:
            return model.model_validate(self.values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            problem = first["msg"].removeprefix("Value error, ")
            message = f"{field} is {shown(first['input'])}: {problem}" if field else problem
            raise self.error(message) from error


def load_run_file(path: Path) -> list[RunFileLine]:
    """Return the lines of a run file without the blank ones.

    Raises InvalidArgumentError if the file is unreadable or empty, or a line is not a JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidArgumentError(f"Cannot read {path}: {reason}.") from error
    lines = [
        _parse_line(path, number, line)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    if not lines:
        raise InvalidArgumentError(f"{path} has no lines. Write one JSON object per line.")
    return lines


def _parse_line(path: Path, number: int, text: str) -> RunFileLine:
    empty = RunFileLine(path, number, {})
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise empty.error(f"{shown(text.strip())} is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise empty.error(f"{shown(values)} is not a JSON object")
    return RunFileLine(path, number, values)


def matching_sources(name: str, sources: Iterable[str]) -> list[str]:
    """Return the source that is ``name``, or else all whose path ends in it."""
    listed = list(sources)
    if name in listed:
        return [name]
    return [source for source in listed if source.endswith("/" + name.lstrip("/"))]
