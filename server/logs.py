"""Logging to stderr, for people or for machines; connection strings lose their passwords.

stdout belongs to the protocol under stdio, so nothing here ever writes to it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sightline.server.redaction import redact_dsn
from sightline.server.settings import Settings, unknown_variables

logger = logging.getLogger(__name__)

#: Libraries that tell at INFO what is only of use to their own developers.
QUIET = ("httpx", "httpcore", "mcp", "uvicorn.access", "alembic", "psycopg.pool", "RapidOCR")


class _Text(logging.Formatter):
    """``12:00:01 INFO    sightline.server.http: listening on ...``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return redact_dsn(super().format(record))


class _Json(logging.Formatter):
    """One object a line: time, level, logger, message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact_dsn(record.getMessage()),
        }
        if record.exc_info:
            entry["traceback"] = redact_dsn(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False)


def configure(settings: Settings) -> None:
    """Send every logger to stderr: ours at the level that is set, others from WARNING up.

    Warns of variables that look like settings and are none.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if settings.log_format == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("sightline").setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(capture=True)
    for sentence in unknown_variables(os.environ):
        logger.warning("%s", sentence)


@contextmanager
def unchanged_root() -> Iterator[None]:
    """Undo what a library does to the root logger inside the block."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
