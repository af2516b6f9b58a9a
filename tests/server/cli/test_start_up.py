"""What an entry point loads before it answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Each takes a second or more to import, or hundreds of megabytes.
_SLOW = frozenset(
    {
        *("torch", "transformers", "open_clip", "llama_index", "scipy", "cv2", "rapidocr", "nltk"),
        *("matplotlib", "pandas", "faster_whisper", "requests", "av"),
    }
)
#: For images and vectors; a tenth to a half of a second.
_ARRAYS = frozenset({"numpy", "onnxruntime", "tokenizers"})
#: The SDK and the driver of the database; half a second.
_PROTOCOL = frozenset({"mcp", "starlette", "psycopg", "sqlalchemy", "PIL"})

_COMMAND = """
import sys
from sightline.server.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("loaded:", *sorted(name for name in sys.modules if "." not in name))
"""
# A resource opens at the first call only, however long the handshake takes on this machine.
_HANDSHAKE = """
import asyncio, sys
import sightline.server.http.http_server, sightline.server.stdio
from sightline.server.app import create_app
from sightline.server.config import load_settings
from mcp import Client

async def main():
    async with Client(create_app(load_settings(), preloads=False)) as client:
        assert client.server_info.name == "sightline"
        assert len((await client.list_tools()).tools) > 10
        print("loaded:", *sorted(name for name in sys.modules if "." not in name))
        result = await client.call_tool("search_images", {"query": "a red van"})
        assert not result.is_error, result.content
        print("loaded:", *sorted(name for name in sys.modules if "." not in name))

asyncio.run(main())
"""


def loaded(program: str, *arguments: str, data: Path, dsn: str) -> list[set[str]]:
    """Run a program and return what it had loaded each time that it says so."""
    environment = {"SIGHTLINE_DATA_DIR": str(data), "SIGHTLINE_DATABASE__URL": dsn}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("loaded:")]
    return [set(line.split()[1:]) for line in lines]


@pytest.mark.parametrize(
    ("command", "forbidden", "needed"),
    [
        (["search", "a red van"], _SLOW, "onnxruntime"),
        (["search", "--text", "total"], _SLOW, "onnxruntime"),
        (["show", "0123456789ab"], _SLOW | _ARRAYS, "psycopg"),
        (["config"], _SLOW | _ARRAYS | _PROTOCOL, "sightline"),
        (["serve", "--help"], _SLOW | _ARRAYS | _PROTOCOL, "sightline"),
    ],
)
def test_a_command_loads_no_slow_library(
    command: list[str], forbidden: set[str], needed: str, tmp_path: Path, database_dsn: str
) -> None:
    (names,) = loaded(_COMMAND, *command, data=tmp_path, dsn=database_dsn)
    assert needed in names  # the command ran
    assert names & forbidden == set()


def test_the_handshake_is_answered_before_numpy_is_imported(
    tmp_path: Path, database_dsn: str
) -> None:
    before, after = loaded(_HANDSHAKE, data=tmp_path, dsn=database_dsn)
    assert before & (_SLOW | _ARRAYS | {"sqlalchemy", "httpx"}) == set()
    assert after > {"numpy", "onnxruntime", "llama_index"}
