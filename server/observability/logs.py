"""Log to stderr as text or JSON, without the passwords of connection strings.

Nothing is written to stdout, because stdio transports MCP messages there.
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

from sightline.server.config import Settings, redact_dsn, unknown_variables
from sightline.storage.isolation.caller import current_caller
from sightline.storage.isolation.request_identity import current_request
from sightline.storage.tracing import current_trace_id

logger = logging.getLogger(__name__)

#: Libraries whose INFO messages do not help operators.
QUIET_LOGGERS = "httpx", "httpcore", "mcp", "uvicorn.access", "alembic", "psycopg.pool", "RapidOCR"
#: Loggers that anybody without a token can make write, besides those of libraries.
_PUBLIC_LOGGERS = ("sightline.server.auth", "sightline.server.http")
_REPEAT_SECONDS = 60.0
_MAX_REPEATS = 20
#: Messages and tracebacks contain text of callers, which may have megabytes.
_MAX_LINE_CHARS = 2_000
_MAX_TRACEBACK_CHARS = 20_000


class RepeatLimit(logging.Filter):
    """Limits the messages of one place in the code.

    A flood of requests cannot fill the disk. It applies to libraries and to loggers that callers
    without a token reach.
    """

    def __init__(self) -> None:
        super().__init__()
        #: Start of the interval and number of messages, by place.
        self._places: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("sightline.") and not record.name.startswith(_PUBLIC_LOGGERS):
            return True
        place = (record.pathname, record.lineno)
        since, count = self._places.get(place, (record.created, 0))
        if record.created - since >= _REPEAT_SECONDS:
            if count > _MAX_REPEATS:
                left_out = count - _MAX_REPEATS
                message = _cut(record.getMessage())
                record.msg = f"{message} ({left_out} similar messages were left out)"
                record.args = ()
            since, count = record.created, 0
        self._places[place] = (since, count + 1)
        return count < _MAX_REPEATS


class _TextFormatter(logging.Formatter):
    """Formats ``12:00:01 INFO    logger: message request=0123456789abcdef``.

    The lines of a command have no request, because all would have the same. Messages can contain
    text of callers. It cannot start a new line or move the cursor of a terminal, because control
    characters are escaped. Lines of a traceback are indented.
    """

    def __init__(self, *, is_command: bool = False) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
        self._is_command = is_command

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        text = _escape_control_characters(_redacted(super().formatMessage(record)))
        request = None if self._is_command else current_request()
        # Last, where no text of a caller can follow.
        return text if request is None else f"{text} request={request.id}"

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return _indent(_redacted_lines(super().formatException(ei)))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        return _indent(_redacted_lines(super().formatStack(stack_info)))


class _JsonFormatter(logging.Formatter):
    """Formats one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _redacted(record.getMessage()),
            "principal": _cut(caller) if (caller := current_caller()) else None,
            **request_fields(),
        }
        entry = {name: value for name, value in entry.items() if value is not None}
        if record.exc_info:
            entry["traceback"] = _redacted_lines(self.formatException(record.exc_info))
        text = json.dumps(entry, ensure_ascii=False)
        return _escape_unprintable(text, lambda char: json.dumps(char)[1:-1])


def request_fields() -> dict[str, str | None]:
    """Return the ids that connect a line with others of the same request."""
    request = current_request()
    return {
        "request": None if request is None else request.id,
        "session": None if request is None else request.session,
        "trace": current_trace_id(),
    }


def _redacted(text: str) -> str:
    """Return a line without passwords, shortened."""
    # Cut twice: only what the second cut removes can contain half of a connection string.
    return _cut(redact_dsn(text[: 2 * _MAX_LINE_CHARS]), len(text))


def _redacted_lines(text: str) -> str:
    """Return the end of a traceback, which matters most, without passwords."""
    lines: list[str] = []
    room = _MAX_TRACEBACK_CHARS
    for line in reversed(text.split("\n")):
        lines.append(_redacted(line))
        room -= len(lines[-1])
        if room < 0:
            lines.append("(earlier lines were left out)")
            break
    return "\n".join(reversed(lines))


def _cut(text: str, length: int | None = None) -> str:
    """Shorten a text; ``length`` is that of the original."""
    length = len(text) if length is None else length
    if length <= _MAX_LINE_CHARS:
        return text
    return f"{text[:_MAX_LINE_CHARS]}… ({length:,} characters)"


def _escape_unprintable(text: str, escape: Callable[[str], str]) -> str:
    """Escape characters that end a line, are invisible or reorder text."""
    return "".join(char if char.isprintable() else escape(char) for char in text)


def _escape_control_characters(text: str) -> str:
    return _escape_unprintable(text, lambda char: char.encode("unicode_escape").decode("ascii"))


def _indent(text: str) -> str:
    return "\n".join(f"    {_escape_control_characters(line)}" for line in text.split("\n"))


def configure(settings: Settings, *, is_command: bool = False) -> None:
    """Log to stderr: Sightline at the configured level, libraries from WARNING.

    A command that ends by itself logs from WARNING unless a level is set. Warns about environment
    variables that look like misspelled settings.
    """
    handler = logging.StreamHandler(sys.stderr)
    is_json = settings.log.format == "json"
    handler.setFormatter(_JsonFormatter() if is_json else _TextFormatter(is_command=is_command))
    handler.addFilter(RepeatLimit())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    level = logging.getLevelNamesMapping()[settings.log.level.upper()]
    if is_command:
        handler.addFilter(_is_not_raised)
        if "level" not in settings.log.model_fields_set:
            level = logging.WARNING
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("sightline").setLevel(level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(capture=True)
    for sentence in unknown_variables(os.environ):
        logger.warning("%s", sentence)


def escape_unconfigured() -> None:
    """Escape messages also in a command that does not configure logging."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_TextFormatter(is_command=True))
        logging.lastResort.addFilter(_is_not_raised)


def _is_not_raised(record: logging.LogRecord) -> bool:
    """Leave out an error that is also raised, which a command shows as its own."""
    return not getattr(record, "is_raised", False)


@contextmanager
def preserve_root_logger() -> Iterator[None]:
    """Restore the handlers and level of the root logger after the block."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
