"""Audit log: one JSON object per call with caller, tool, assets, outcome and time.

It contains names and ids only: no query, caption, image or token. Queries are stored in the table
``retrieval_log``, which has its own access rules. A caller cannot flood it: a line has a few
kilobytes at most, and calls that are refused again and again share a line a minute.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path

from cachetools import LRUCache

from sightline.server.config import variable
from sightline.server.observability.logs import request_fields
from sightline.server.observability.metrics import Outcome
from sightline.storage.errors import ConfigurationError
from sightline.storage.files import private_opener
from sightline.storage.types import ASSET_ID

logger = logging.getLogger(__name__)

_MAX_ASSETS = 100
_MAX_ARGUMENTS = 20
_MAX_CHARS = 64
_MAX_PRINCIPAL_CHARS = 255
#: Calls with these outcomes cost their caller nothing, so that it can make thousands a minute.
_CHEAP: frozenset[Outcome] = frozenset({"limited", "denied"})
_CHEAP_INTERVAL_SECONDS = 60.0
_MAX_REPEATED = 10_000


@dataclass(slots=True)
class _Repeated:
    """When a line was written, and how many calls were skipped since."""

    written_at: float
    skipped: int = 0


class Audit:
    """Append calls to a file. If the file is moved away, a new one is created."""

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the file; None disables the log.

        Raises ConfigurationError if the file cannot be written.
        """
        self._clock = clock
        self._repeated: LRUCache[tuple[str | None, str, Outcome], _Repeated] = LRUCache(
            _MAX_REPEATED
        )
        try:
            self._handler = None if path is None else _AuditFile(path, encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"{variable('log.audit_file')}: cannot write {str(path)!r}: {error.strerror}"
            ) from error

    def record(
        self,
        call: str,
        arguments: Mapping[str, object],
        *,
        principal: str | None,
        outcome: Outcome,
        seconds: float,
    ) -> None:
        """Write one finished call: a tool name, ``unknown tool`` or a method.

        Of cheap calls, only the first of a minute is written, with the number of those since the
        last line.
        """
        if self._handler is None:
            return
        skipped = 0
        if outcome in _CHEAP:
            key = (principal, call, outcome)
            repeated = self._repeated.setdefault(key, _Repeated(-math.inf))
            if self._clock() < repeated.written_at + _CHEAP_INTERVAL_SECONDS:
                repeated.skipped += 1
                return
            skipped = repeated.skipped
            self._repeated[key] = _Repeated(self._clock())
        collection = arguments.get("collection")
        entry = {
            "time": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds"),
            "principal": principal and principal[:_MAX_PRINCIPAL_CHARS],
            **request_fields(),
            "call": call,
            "collection": collection[:_MAX_CHARS] if isinstance(collection, str) else None,
            "assets": _assets(arguments),
            "arguments": sorted(name[:_MAX_CHARS] for name in arguments)[:_MAX_ARGUMENTS],
            "outcome": outcome,
            "repeated": skipped or None,
            "milliseconds": round(1000 * seconds, 1),
        }
        line = json.dumps({name: value for name, value in entry.items() if value not in (None, [])})
        self._handler.emit(logging.makeLogRecord({"msg": line}))

    def close(self) -> None:
        if self._handler is not None:
            self._handler.close()


class _AuditFile(WatchedFileHandler):
    """Log write errors, so that they do not make the call fail."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # the library does not handle errors of reopening the file
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        logger.error("the audit log %s cannot be written", self.baseFilename, exc_info=True)

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", opener=private_opener)


def _assets(arguments: Mapping[str, object]) -> list[str]:
    """Return the asset ids in any argument, without paths and uploaded images."""
    ids: list[str] = []
    for value in arguments.values():
        items = value if isinstance(value, list) else [value]
        ids += [item for item in items if isinstance(item, str) and ASSET_ID.fullmatch(item)]
    return ids[:_MAX_ASSETS]
