"""Tests of log formats, levels and redaction."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from sightline.server.config import load_settings
from sightline.server.observability import logs
from sightline.storage.isolation.request_identity import RequestIdentity, as_request


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    names = ("sightline", *logs.QUIET_LOGGERS)
    levels = {name: logging.getLogger(name).level for name in names}
    with logs.preserve_root_logger():
        yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=False)


def _log(capsys: pytest.CaptureFixture[str], **options: object) -> str:
    logs.configure(load_settings(**options))
    logger = logging.getLogger("sightline.test")
    logger.debug("quiet")
    try:
        raise ValueError("postgresql://ann:hunter2@db/eyes")
    except ValueError:
        logger.exception("cannot reach postgresql://ann:hunter2@db/eyes")
    logging.getLogger("httpx").info("a request")
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_passwords_are_hidden_in_messages_and_tracebacks(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    written = _log(capsys, log__format=log_format)
    assert "hunter2" not in written
    assert "cannot reach postgresql://ann:***@db/eyes" in written
    assert "ValueError: postgresql://ann:***@db/eyes" in written


def test_json_logs_have_one_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = _log(capsys, log__format="json").splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["logger"]) == ("error", "sightline.test")
    assert "ValueError" in entry["traceback"]


def test_a_line_of_a_request_ends_with_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("sightline.test")
    with as_request(RequestIdentity("0123456789abcdef")):
        logs.configure(load_settings())
        for text in ("no van", "request=forged", "x" * 9_000):
            logger.warning(text)
        lines = capsys.readouterr().err.splitlines()
        assert [each.endswith(" request=0123456789abcdef") for each in lines] == [True] * 3
        logs.configure(load_settings(), is_command=True)
        logger.warning("no van")
        assert capsys.readouterr().err.endswith(": no van\n")
    logs.configure(load_settings())
    logger.warning("no van")
    assert capsys.readouterr().err.endswith(": no van\n")


def test_the_level_applies_to_sightline_but_not_to_libraries(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "quiet" not in _log(capsys)
    written = _log(capsys, log__level="debug")
    assert "quiet" in written
    assert "a request" not in written


def test_a_misspelled_variable_is_logged_as_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_DATA_DIRR", "x")
    assert "SIGHTLINE_DATA_DIRR is not a setting. Did you mean SIGHTLINE_DATA_DIR?" in _log(capsys)


HOSTILE = "van\n12:00:00 ERROR   sightline: forged\r\x1b[2J\x85\u2028\u202e\u200b\x00\xa0\U000e0041"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_text_of_callers_cannot_start_a_line_or_move_the_cursor(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    logs.configure(load_settings(log__format=log_format))
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("sightline.test").exception("no asset %s", HOSTILE)
    written = capsys.readouterr().err
    assert all(character.isprintable() or character == "\n" for character in written)
    begun = [line for line in written.splitlines() if not line.startswith("    ")]
    assert len(begun) == 1
    if log_format == "json":
        assert json.loads(begun[0])["message"] == f"no asset {HOSTILE}"
    else:
        assert r"van\n12:00:00 ERROR   sightline: forged\r\x1b[2J" in begun[0]


def _record(name: str, created: float, line: int = 1) -> logging.LogRecord:
    record = logging.LogRecord(name, logging.WARNING, "file.py", line, "seen %d", (7,), None)
    record.created = created
    return record


@pytest.mark.parametrize(
    "name", ["uvicorn.error", "mcp.server", "asyncio", "sightline.server.auth.x"]
)
def test_messages_that_anybody_can_cause_are_limited(name: str) -> None:
    limit = logs.RepeatLimit()
    kept = [limit.filter(_record(name, 100 + number / 1000)) for number in range(50)]
    assert kept == [True] * 20 + [False] * 30
    assert limit.filter(_record(name, 101, line=2))
    after = _record(name, 160)
    assert limit.filter(after)
    assert after.getMessage() == "seen 7 (30 similar messages were left out)"
    again = _record(name, 220)
    assert limit.filter(again)
    assert again.getMessage() == "seen 7"


def test_messages_about_calls_are_not_limited() -> None:
    limit = logs.RepeatLimit()
    records = [_record("sightline.server.mcp_server.server", 100) for _ in range(50)]
    assert all(map(limit.filter, records))


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_record_has_a_limited_size(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    logs.configure(load_settings(log__format=log_format))
    secret = "postgresql://ann:hunter2@db/eyes"
    for number in (0, 1_980, 3_980):
        try:
            raise ValueError(
                "y" * number + secret + "\U0001f600\u202e" * 500_000 + "\nend" * 50_000
            )
        except ValueError:
            logging.getLogger("sightline.test").exception("%s", "x" * number + secret * 50_000)
        written = capsys.readouterr().err
        assert "hunter" not in written
        assert "left out" in written
        assert "characters)" in written
        assert len(written) < 100_000
