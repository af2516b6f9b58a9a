"""Reproductions of the operations review have the right result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image

from sightline.server.cli import main
from sightline.server.database import schema_migration

Run = Callable[..., str]


@pytest.fixture
def run(
    random_encoder_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command on a database; return what it prints."""

    def run(dsn: str | None, *arguments: str, code: int = 0) -> str:
        for name, value in {
            "DATA_DIR": str(tmp_path / "data"),
            "ENCODER__MODEL": f"local-dir:{random_encoder_folder}",
            "ENCODER__DEVICE": "cpu",
            "INGEST__OCR": "off",
            "INGEST__WORKERS": "1",
        }.items():
            monkeypatch.setenv(f"SIGHTLINE_{name}", value)
        if dsn is not None:
            monkeypatch.setenv("SIGHTLINE_DATABASE__URL", dsn)
        capsys.readouterr()
        assert main(list(arguments)) == code
        output = capsys.readouterr()
        return output.out + output.err

    return run


def has_schema(dsn: str, name: str) -> bool:
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", [name])
        return found.rowcount == 1


def test_f5_revoking_an_analyst_names_what_it_owns(database_dsn: str, run: Run) -> None:
    run(database_dsn, "grant-analyst", "review_ana")
    with psycopg.connect(database_dsn) as connection:
        connection.execute("CREATE SCHEMA lab AUTHORIZATION review_ana")
        connection.execute("CREATE TABLE lab.pairs (a int)")
        connection.execute("ALTER TABLE lab.pairs OWNER TO review_ana")
    said = run(database_dsn, "revoke-analyst", "review_ana", code=2)
    assert "review_ana owns 'schema lab', 'table lab.pairs'" in said
    assert "--drop-owned" in said
    assert has_schema(database_dsn, "lab")
    with psycopg.connect(database_dsn) as connection:  # the login still works
        role = connection.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'review_ana'")
        assert role.fetchall() == [(True,)]
    printed = run(database_dsn, "revoke-analyst", "review_ana", "--drop-owned", "--json")
    assert json.loads(printed) == {
        "login": "review_ana",
        "dropped": ["schema lab", "table lab.pairs"],
    }
    assert not has_schema(database_dsn, "lab")


def test_f5_an_analyst_without_objects_is_revoked(database_dsn: str, run: Run) -> None:
    granted = json.loads(run(database_dsn, "grant-analyst", "review_bob", "--json"))
    assert set(granted) == {"login", "url"}
    assert granted["login"] == "review_bob"
    assert granted["url"].startswith("postgresql://review_bob:")
    assert "Deleted the login review_bob" in run(database_dsn, "revoke-analyst", "review_bob")


def test_f8_migrate_prints_the_revision_of_the_database(empty_dsn: str, run: Run) -> None:
    newest = schema_migration.head()
    assert "There is no revision '0999'" in run(empty_dsn, "migrate", "--revision", "0999", code=2)
    assert "There is no revision 'base'" in run(empty_dsn, "migrate", "--revision", "base", code=2)
    assert schema_migration.current(empty_dsn) is None
    assert run(empty_dsn, "migrate", "--revision", newest) == f"The schema is at {newest}.\n"
    assert schema_migration.current(empty_dsn) == newest
    printed: dict[str, Any] = json.loads(run(empty_dsn, "migrate", "--json"))
    assert printed == {"revision": newest, "previous_revision": newest, "newest": newest}


def test_f8_an_upgrade_does_not_lead_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_migration, "known_revisions", lambda: ["0003", "0002", "0001"])
    schema_migration._require_upgrade("0002", "0003")
    schema_migration._require_upgrade("0002", "0002")
    schema_migration._require_upgrade(None, "0001")
    with pytest.raises(schema_migration.SchemaError, match="is at 0002, after 0001"):
        schema_migration._require_upgrade("0002", "0001")


def test_a_restore_prints_what_the_backup_contains(
    database_dsn: str, empty_dsn: str, tmp_path: Path, run: Run
) -> None:
    file = tmp_path / "a.backup"
    written = json.loads(run(database_dsn, "backup", str(file), "--json"))
    assert written.pop("bytes") == file.stat().st_size
    assert written == {
        "file": str(file),
        "revision": schema_migration.head(),
        "stored_files": 0,
        "originals": 0,
        "files_outside": 0,
        "outside_folder": None,
    }
    assert json.loads(run(empty_dsn, "restore", str(file), "--json")) == written


def test_f10_doctor_creates_no_database_and_no_key(tmp_path: Path, run: Run) -> None:
    said = run(None, "doctor", "--json")
    checks = {each["subject"]: each for each in json.loads(said)["checks"]}
    assert "not created yet" in checks["database (embedded)"]["message"]
    assert not (tmp_path / "data" / "postgres").exists()
    assert not (tmp_path / "data" / "signing.key").exists()


def test_f10_an_asset_whose_file_is_gone_is_shown_and_can_be_forgotten(
    database_dsn: str, tmp_path: Path, run: Run
) -> None:
    for color in ("red", "blue"):
        Image.new("RGB", (40, 30), color).save(tmp_path / f"{color}.png")
    run(database_dsn, "ingest", str(tmp_path / "red.png"), "--collection", "album")
    (tmp_path / "red.png").unlink()
    (asset,) = json.loads(run(database_dsn, "list", "--json"))["assets"]
    shown = json.loads(run(database_dsn, "show", asset["asset"], "--json"))
    assert shown["size"] == [40, 30]
    assert "sightline prune" in run(database_dsn, "check", code=1)
    run(database_dsn, "prune", "--collection", "album", "--yes")
    assert json.loads(run(database_dsn, "check", "--json")) == {"repaired": [], "problems": []}
