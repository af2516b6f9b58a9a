"""Run files: JSON Lines, read with errors that name the line and the value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sightline.storage.errors import InvalidArgumentError, shown

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a run file; ``number`` counts from 1."""

    file: Path
    number: int
    values: Mapping[str, Any]

    def error(self, problem: object) -> InvalidArgumentError:
        """The problem, with where it stands."""
        return InvalidArgumentError(f"{self.file}, line {self.number}: {problem}")

    def parse(self, model: type[M]) -> M:
        """The line as ``model``; raises InvalidArgumentError that names the first wrong value."""
        try:
            return model.model_validate(self.values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            problem = first["msg"].removeprefix("Value error, ")
            said = f"{where} is {shown(first['input'])}: {problem}" if where else problem
            raise self.error(said) from error


def read(path: Path) -> list[Line]:
    """The lines of a run file, blank ones left out.

    Raises InvalidArgumentError for a file that cannot be read, holds nothing, or has a line that
    is no JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidArgumentError(f"{path} cannot be read: {reason}") from error
    lines = [
        _line(path, number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()
    ]
    if not lines:
        raise InvalidArgumentError(f"{path} holds no line; each is a JSON object")
    return lines


def _line(path: Path, number: int, text: str) -> Line:
    empty = Line(path, number, {})
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise empty.error(f"{shown(text.strip())} is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise empty.error(f"{shown(values)} is no JSON object")
    return Line(path, number, values)
