"""Nothing that a command prints controls the terminal, whatever strangers' files contain.

Finding 19: ``sightline search`` and ``show`` wrote captions and names as they were, so that a file
could clear the screen, fill the clipboard (OSC 52), forge lines or reverse text.
"""

from __future__ import annotations

import ast
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.structure import ROOT
from sightline.server import cli
from sightline.server.cli import main
from sightline.server.observability import terminal
from sightline.storage.text.hidden_characters import remove_and_count_hidden
from tests.support.sample_images import fill

#: Title, clipboard, clear, color, 8-bit CSI, cursor up, backspace, bidi, tags, line forging.
ATTACKS = (
    "\x1b]0;pwned\x07",
    "\x1b]52;c;cm0gLXJm\x07",
    "\x1b[2J\x1b[31m",
    "\x9b2J",
    "\x1bP+q\x1b\\",
    "\r\x1b[1A",
    "\b\x7f",
    "\u202e\u2066",
    "\U000e0041\u200b",
    "\u2028\x85\v\f",
    "\nforged: line",
)
MARKUP = "[red]markup[/red] :boom: [link=https://evil.example]x[/link]"
HOSTILE = "walrus" + "".join(ATTACKS) + MARKUP


def assert_harmless(output: str, *, lines: int | None = None) -> None:
    for line in output.split("\n"):
        assert remove_and_count_hidden(line) == (line, 0), ascii(line)
    assert not [line for line in output.split("\n") if line.startswith("forged")]
    if lines is not None:
        assert len(output.splitlines()) == lines


@pytest.fixture
def config(
    database_dsn: str, encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The settings of all commands of a test."""
    monkeypatch.setenv("SIGHTLINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SIGHTLINE_DATABASE__URL", database_dsn)
    monkeypatch.setenv("SIGHTLINE_ENCODER__MODEL", f"local-dir:{encoder_folder}")
    monkeypatch.setenv("SIGHTLINE_ENCODER__THREADS", "1")
    monkeypatch.setenv("SIGHTLINE_INGEST__OCR", "off")
    monkeypatch.setenv("COLUMNS", "400")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def run(config: None, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(each) for each in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose names, captions and metadata attack the terminal."""
    folder = tmp_path / "in"
    first, second = fill(folder, 2)
    name = HOSTILE.replace("/", "")[:120]
    first.rename(folder / f"{name}.jpg")
    (folder / f"broken{name}.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    (folder / f"{name}.md").write_text(f"otter {HOSTILE}\n")
    rows = [
        {"file_name": f"{name}.jpg", "text": f"pelican {HOSTILE}", f"key{HOSTILE}": HOSTILE},
        {"file_name": second.name, "text": MARKUP},
    ]
    table = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(table, encoding="utf-8")
    return folder


def test_all_commands_print_strangers_text_without_controls(
    run: Callable[..., tuple[int, str, str]], folder: Path, tmp_path: Path
) -> None:
    report = tmp_path / "failures.jsonl"
    code, out, err = run("ingest", folder, "--collection", "album", "--quiet", "--failures", report)
    assert code == 0, err
    assert_harmless(out + err)
    written = report.read_text(encoding="utf-8")
    assert_harmless(written)
    assert any(
        HOSTILE.split("\x1b")[0] in json.loads(each)["name"] for each in written.splitlines()
    )
    assert r"\x1b]52;c;" in out  # the name of the broken file, visibly
    code, out, err = run("ingest", folder, "--collection", "album", "--json")
    assert_harmless(out + err)
    names = [name for noted in json.loads(out)["failures"].values() for name in str(noted)]
    assert names

    _, out, err = run("search", "pelican", "--json")
    assert_harmless(out + err)
    hits = json.loads(out)["hits"]
    (asset,) = [hit["asset"] for hit in hits if "pelican" in hit.get("caption", "")]
    for arguments in (("search", "pelican"), ("search", "otter", "--text")):
        code, out, err = run(*arguments)
        assert code == 0
        assert_harmless(out + err)
        assert "[red]markup[/red] :boom:" in out
        assert "note: hidden characters" in out
    for flags in ((), ("--json",)):
        code, out, err = run("show", asset, *flags)
        assert code == 0
        assert_harmless(out + err)
        assert MARKUP in out

    for arguments in (
        ("atlas", "album", "-o", folder / f"a{HOSTILE.replace('/', '')[:80]}.html"),
        ("show", f"no{HOSTILE}"),
        ("search", "x", "--collection", HOSTILE),
        ("search", "x", "--filter", HOSTILE),
        ("eval", f"no{HOSTILE}.jsonl"),
        ("check",),
        ("config",),
        ("config", "--format", "toml"),
        ("config", "--json"),
        ("analyze", HOSTILE),
        ("export", HOSTILE),
        ("connect", "cursor", "--print", "--name", HOSTILE),
        ("connect", "cursor", "--print", "--http", HOSTILE),
        ("bind", HOSTILE, "--release"),
        ("vlm", "serve", HOSTILE, "--print-command"),
    ):
        _, out, err = run(*arguments)
        assert out + err
        assert_harmless(out + err)


@pytest.mark.parametrize(
    "arguments", [[f"--no{HOSTILE}"], ["search", "x", f"--no{HOSTILE}"], [HOSTILE]]
)
def test_refused_arguments_are_quoted_without_controls(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with suppress(SystemExit):
        assert main(arguments) == 2
    err = capsys.readouterr().err
    assert "walrus" in err
    assert_harmless(err)


def test_unexpected_errors_and_unconfigured_logs_are_escaped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> None:
        logging.getLogger("sightline.test").warning("odd %s", HOSTILE)
        raise RuntimeError(HOSTILE)

    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr("sightline.server.cli.library.search.run_show", fails)
    assert main(["show", "x"]) == 70
    err = capsys.readouterr().err
    assert "Traceback (most recent call last):" in err
    assert err.count(r"\x1b]52;c;") == 2
    for line in err.split("\n"):
        assert remove_and_count_hidden(line) == (line, 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.one_of(st.text(), st.sampled_from(ATTACKS), st.just("\ud800")), max_size=4)
)
def test_whatever_is_printed_each_text_is_one_harmless_line(
    capsys: pytest.CaptureFixture[str], lines: list[str]
) -> None:
    capsys.readouterr()
    terminal.write_lines(*lines)
    terminal.write_lines(*lines, error=True)
    out, err = capsys.readouterr()
    assert out == err
    assert len(out.splitlines()) == len(lines)
    assert_harmless(out)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.recursive(st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each))
)
def test_printed_json_is_ascii_controls_escaped_and_keeps_the_value(
    capsys: pytest.CaptureFixture[str], value: object
) -> None:
    capsys.readouterr()
    terminal.write_json(value)
    out = capsys.readouterr().out
    assert json.loads(out) == value
    assert all(char.isprintable() or char == "\n" for char in out)


def test_table_cells_are_neither_markup_nor_controls(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    terminal.write_table(("name", "text"), [("a", HOSTILE), (MARKUP, "\ud800")])
    out = capsys.readouterr().out
    assert_harmless(out, lines=3)
    assert out.count(MARKUP) == 2


def test_a_long_path_in_a_table_is_wrapped_and_not_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    path = "/home/" + "".join(f"{number}/" for number in range(40)) + "mcp.json"
    terminal.write_table(("client", "file"), [("cursor", path)])
    out = capsys.readouterr().out
    assert "".join(line[8:].strip() for line in out.splitlines()[1:]) == path


def test_the_progress_bar_shows_text_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "1000")
    with terminal.progress_bar(shown=True) as update:
        update(HOSTILE, 1, 2, MARKUP)
    shown = stream.getvalue()
    assert shown.count(MARKUP) == 2
    assert_harmless(shown)


def test_a_terminal_that_lacks_characters_gets_escapes() -> None:
    program = "from sightline.server.observability.terminal import *; write_lines('é 中\\x1b')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        env={"PYTHONIOENCODING": "latin-1"},
    )
    assert done.stdout == b"\xe9 \\u4e2d\\x1b\n"


def _bare_output(tree: ast.AST) -> Iterator[str]:
    """Yield uses of print, of the standard streams and of rich."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="print" | "breakpoint"):
                yield f"{node.lineno}: print"
            case ast.Attribute(
                value=ast.Name(id="sys"), attr="stdout" | "stderr" | "__stdout__" | "__stderr__"
            ):
                yield f"{node.lineno}: sys.{node.attr}"
            case ast.ImportFrom(module="sys" | "rich" | "builtins"):
                yield f"{node.lineno}: from {node.module}"
            case ast.ImportFrom(module=str(name)) if name.startswith("rich."):
                yield f"{node.lineno}: from {name}"
            case ast.Import(names=names):
                yield from (
                    f"{node.lineno}: import {each.name}"
                    for each in names
                    if each.name.partition(".")[0] in ("rich", "builtins")
                )


def test_no_command_prints_past_the_terminal_module() -> None:
    folder = Path(cli.__file__).resolve().parent
    modules = sorted(folder.rglob("*.py"))
    assert len(modules) > 10
    found = {
        str(path.relative_to(ROOT)): uses
        for path in modules
        if (uses := list(_bare_output(ast.parse(path.read_text("utf-8")))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        "print('x')",
        "import sys; sys.stderr.write('x')",
        "from sys import stdout",
        "from rich.console import Console",
        "import rich.console as r",
    ],
)
def test_output_past_the_terminal_module_is_found(code: str) -> None:
    assert list(_bare_output(ast.parse(code)))
