"""The audit log: who called what, when, on what, how it ended. One JSON object a line.

It holds names and ids, and never what was asked or answered: no query, no caption, no picture, no
token. What was searched for stands in the table ``retrieval_log``, for those who may read that.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path

from sightline.server.config.settings import variable
from sightline.server.observability.metrics import Outcome
from sightline.storage.errors import ConfigurationError

logger = logging.getLogger(__name__)

_ASSET = re.compile(r"[0-9a-z]{12}")
_MOST_NAMED = 100
_MOST_CHARS = 200


class Audit:
    """Appends to a file, which may be moved away at any time: a new one is begun."""

    def __init__(self, path: Path | None) -> None:
        """``None`` keeps no log. Raises ConfigurationError for a file that cannot be written."""
        self._handler = None if path is None else _begin(path)

    def note(
        self,
        what: str,
        arguments: Mapping[str, object],
        *,
        principal: str | None,
        outcome: Outcome,
        seconds: float,
    ) -> None:
        """One call, when it has ended: ``what`` is a tool, or ``read`` of a resource."""
        if self._handler is None:
            return
        entry = {
            "time": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds"),
            "principal": principal,
            "call": what,
            "collection": _collection(arguments),
            "assets": _assets(arguments),
            "arguments": sorted(name[:_MOST_CHARS] for name in arguments)[:_MOST_NAMED],
            "outcome": outcome,
            "milliseconds": round(1000 * seconds, 1),
        }
        line = json.dumps({name: value for name, value in entry.items() if value not in (None, [])})
        self._handler.emit(logging.makeLogRecord({"msg": line}))

    def close(self) -> None:
        """Close the file."""
        if self._handler is not None:
            self._handler.close()


class _File(WatchedFileHandler):
    """A call is answered although it could not be noted: the process's own log says so."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # of opening it anew, which the library does not expect to fail
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        logger.error("the audit log %s cannot be written", self.baseFilename, exc_info=True)

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", opener=_private)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _begin(path: Path) -> _File:
    try:
        return _File(path, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{variable('audit_file')}: cannot write {str(path)!r}: {error.strerror}"
        ) from error


def _collection(arguments: Mapping[str, object]) -> str | None:
    name = arguments.get("collection")
    return name[:_MOST_CHARS] if isinstance(name, str) else None


def _assets(arguments: Mapping[str, object]) -> list[str]:
    """Ids that the arguments name, wherever they do: a picture or a path is none."""
    found: list[str] = []
    for value in arguments.values():
        values = value if isinstance(value, list) else [value]
        found += [each for each in values if isinstance(each, str) and _ASSET.fullmatch(each)]
    return found[:_MOST_NAMED]
