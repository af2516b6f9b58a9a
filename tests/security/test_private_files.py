"""Files with private content belong to their owner alone from the moment they exist."""

from __future__ import annotations

import ast
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sightline.server.mcp_server.audit import Audit
from sightline.server.models.model_files import FingerprintCache
from sightline.storage.analytics.export import export_view
from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.maintenance import backup_archive
from sightline.storage.postgres import EmbeddedPostgres

ROOT = Path(__file__).parents[2]
#: It appends to a file that initdb creates with the mode 0600.
ALLOWED = {
    "storage/ingest/metadata/data/build_places.py",  # a program for developers
    "storage/postgres/embedded_postgres.py",
}


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Let the umask permit everything, so that only the code protects a file."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}


@pytest.fixture
def readable(tmp_path: Path) -> Path:
    """A file that an operator made readable for all before it is replaced."""
    path = tmp_path / "out"
    path.write_text("old")
    path.chmod(0o666)
    return path


def test_a_backup_is_private(database: Database, database_dsn: str, readable: Path) -> None:
    blobs = BlobStore(readable.parent / "data")
    backup_archive.write(database_dsn, blobs, readable, version="1", revision="0001")
    assert modes(readable.parent) == {"out": 0o600}


@pytest.mark.parametrize("format_", ["csv", "jsonl", "parquet"])
async def test_an_export_is_private(database: Database, readable: Path, format_: str) -> None:
    await export_view(database, "assets", format_, readable)  # type: ignore[arg-type]
    assert modes(readable.parent) == {"out": 0o600}


def test_an_audit_log_is_private(readable: Path) -> None:
    Audit(readable).close()
    assert modes(readable.parent) == {"out": 0o600}


def _writes(call: ast.Call) -> bool:
    """Return whether a call creates a file with the mode that the umask leaves."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in ("write_text", "write_bytes", "touch"):
        return True
    if name != "open" or any(keyword.arg in ("opener", "fileobj") for keyword in call.keywords):
        return False
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    texts = [each.value for each in values if isinstance(each, ast.Constant)]
    return any(isinstance(text, str) and text.rstrip("b+t") in ("w", "x", "a") for text in texts)


def test_all_files_are_written_by_the_functions_for_private_files() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in ("server", "storage", "tools")
        for path in sorted((ROOT / package).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in ALLOWED
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _writes(node)
    ]
    assert found == []


def test_the_configuration_of_the_database_is_private(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, durable=False):
        assert modes(tmp_path / "postgres")["server.conf"] == 0o600


def test_the_folder_of_fingerprints_is_private(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"weights")
    FingerprintCache(tmp_path).sha256(tmp_path / "weights")
    assert modes(tmp_path)["cache"] == 0o700
    assert modes(tmp_path / "cache")["fingerprints.json"] == 0o600
