"""`sightline search` on a terminal: links, pictures, --like and --open."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image

from sightline.server.cli import main
from tests.support.pseudo_terminal import PseudoTerminal

Search = Callable[..., tuple[int, str, str]]


@pytest.fixture
def environment(
    database_dsn: str, random_encoder_folder: Path, tmp_path: Path
) -> Mapping[str, str]:
    return {
        "SIGHTLINE_DATA_DIR": str(tmp_path / "data"),
        "SIGHTLINE_DATABASE__URL": database_dsn,
        "SIGHTLINE_ENCODER__MODEL": f"local-dir:{random_encoder_folder}",
        "SIGHTLINE_ENCODER__DEVICE": "cpu",
        "SIGHTLINE_INGEST__OCR": "off",
        "SIGHTLINE_INGEST__WORKERS": "1",
        "SIGHTLINE_STARTUP_TIMEOUT_SECONDS": "0.001",  # limits calls of clients, not commands
    }


@pytest.fixture
def album(
    environment: Mapping[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Path:
    """Two ingested pictures; the name of one tries to end a link."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "album"
    folder.mkdir()
    Image.effect_noise((90, 60), 80).convert("RGB").save(folder / "noise.png")
    Image.linear_gradient("L").convert("RGB").save(folder / "a\x1b]8;;\x07 b.png")
    assert main(["ingest", str(folder), "--quiet"]) == 0
    capsys.readouterr()
    return folder


@pytest.fixture
def search(album: Path, capsys: pytest.CaptureFixture[str]) -> Search:
    def search(*arguments: str) -> tuple[int, str, str]:
        code = main(["search", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return search


def test_a_picture_finds_what_looks_like_it(search: Search, album: Path, tmp_path: Path) -> None:
    code, out, _ = search("--like", str(album / "noise.png"), "--json")
    assert code == 0
    assert json.loads(out)["hits"][0]["source"].endswith("noise.png")
    with Image.open(album / "noise.png") as noise:  # too large to be sent to a server
        noise.resize((1100, 1100)).save(tmp_path / "large.bmp")
    assert (tmp_path / "large.bmp").stat().st_size > 3_000_000
    code, out, _ = search("--like", str(tmp_path / "large.bmp"), "--json")
    assert json.loads(out)["hits"][0]["source"].endswith("noise.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give words to search for, --like FILE, or --filter."),
        (["--like", "/no/file.png"], "--like '/no/file.png': No such file or directory."),
        (["--like", "/"], "--like '/' is no file."),
        (["--like", "/", "--text"], "--like searches images. Leave out --text."),
        (["red", "--pictures"], "This terminal shows no pictures. Use kitty,"),
    ],
)
def test_wrong_options_say_what_to_give(search: Search, arguments: list[str], message: str) -> None:
    code, _, error = search(*arguments)
    assert code == 2
    assert message in error


def test_the_first_hit_is_opened_in_the_program_of_the_system(
    search: Search, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("xdg-open", "open"):
        (programs / name).write_text(f'#!/bin/sh\nprintf "%s" "$1" > {tmp_path / "opened"}\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    like = str(album / "noise.png")
    assert search("--like", like, "--open")[0] == 0
    assert (tmp_path / "opened").read_text() == like
    # Java would run a picture that is also an archive.
    Image.effect_noise((90, 60), 200).save(album / "noise.jar", "PNG")
    assert main(["ingest", str(album), "--quiet"]) == 0
    code, _, error = search("--like", str(album / "noise.jar"), "--open")
    assert code == 2
    assert "noise.jar' is not opened, because its name is that of no picture" in error
    assert (tmp_path / "opened").read_text() == like
    (album / "noise.png").rename(tmp_path / "moved.png")
    code, _, error = search("--like", str(tmp_path / "moved.png"), "--open")
    assert code == 2
    assert "cannot be opened: its file is not on this machine any more" in error


def test_a_terminal_gets_links_and_pictures_and_no_log_lines(
    album: Path, environment: Mapping[str, str]
) -> None:
    kitty = {**environment, "TERM": "xterm-kitty", "TMUX": "", "STY": ""}
    with PseudoTerminal("search", "red", environment=kitty) as user:
        assert user.end() == 0, user.text
    links = re.findall(r"\x1b\]8;[^;]*;([^\x1b]+)\x1b\\", user.text)
    addresses = {(album / name).as_uri() for name in ("noise.png", "a\x1b]8;;\x07 b.png")}
    assert set(links) == addresses
    assert all(re.fullmatch("[!-~]+", each) for each in links)
    assert "\x1b_Ga=T,f=100" in user.text
    assert "INFO" not in user.text
    assert "WARNING" not in user.text


def test_without_a_terminal_there_are_no_sequences(search: Search) -> None:
    assert "\x1b" not in search("red")[1]
