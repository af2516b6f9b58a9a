"""Logging to stderr, for people or for machines; connection strings lose their passwords.

stdout belongs to the protocol under stdio, so nothing here ever writes to it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sightline.server.config.settings import Settings, unknown_variables
from sightline.server.observability.redaction import redact_dsn

logger = logging.getLogger(__name__)

#: Libraries that tell at INFO what is only of use to their own developers.
QUIET = ("httpx", "httpcore", "mcp", "uvicorn.access", "alembic", "psycopg.pool", "RapidOCR")


class _Text(logging.Formatter):
    """``12:00:01 INFO    sightline.server.http.http_server: listening on ...``.

    What callers sent may stand in a message: nothing in it begins a line of its own, or moves the
    cursor of a terminal. The lines of a traceback are indented.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        return _one_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        return _indented(super().formatStack(stack_info))

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
        text = json.dumps(entry, ensure_ascii=False)
        return _escaped(text, lambda character: json.dumps(character)[1:-1])


def _one_line(text: str) -> str:
    return _escaped(text, lambda character: character.encode("unicode_escape").decode("ascii"))


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    """The text without what ends a line, is invisible or reorders what follows."""
    return "".join(each if each.isprintable() else escape(each) for each in text)


def _indented(text: str) -> str:
    return "\n".join(f"    {_one_line(line)}" for line in text.split("\n"))


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
