"""Audit log: one JSON object per call with caller, tool, assets, outcome and time.

It contains names and ids only: no query, caption, image or token. Queries are stored in the table
``retrieval_log``, which has its own access rules.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path

from sightline.server.config import variable
from sightline.server.observability.metrics import Outcome
from sightline.storage.errors import ConfigurationError
from sightline.storage.files import private_opener

logger = logging.getLogger(__name__)

_ASSET_ID = re.compile(r"[0-9a-z]{12}")
_MAX_ITEMS = 100
_MAX_CHARS = 200


class Audit:
    """Append calls to a file. If the file is moved away, a new one is created."""

    def __init__(self, path: Path | None) -> None:
        """Open the file; None disables the log.

        Raises ConfigurationError if the file cannot be written.
        """
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
        """Write one finished call: a tool name or ``resources/read``."""
        if self._handler is None:
            return
        collection = arguments.get("collection")
        entry = {
            "time": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds"),
            "principal": principal,
            "call": call,
            "collection": collection[:_MAX_CHARS] if isinstance(collection, str) else None,
            "assets": _assets(arguments),
            "arguments": sorted(name[:_MAX_CHARS] for name in arguments)[:_MAX_ITEMS],
            "outcome": outcome,
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
        ids += [item for item in items if isinstance(item, str) and _ASSET_ID.fullmatch(item)]
    return ids[:_MAX_ITEMS]
