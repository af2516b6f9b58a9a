"""Tests of backup and restore: restore changes all data or nothing."""

from __future__ import annotations

import asyncio
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from sightline.server.cli import main
from sightline.server.config import Settings, load_settings
from sightline.server.database import instance_backup, schema_migration
from sightline.storage.analytics.analyst_roles import grant_analyst, revoke_analyst
from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.errors import ConfigurationError, SchemaError, StorageError
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.maintenance.integrity_check import check
from sightline.storage.retrieval import ImageSearch, PassageSearch
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest
from tests.support.encoders import ColorHistogramEncoder
from tests.support.media import pdf
from tests.support.sample_images import fill

ENCODER = ColorHistogramEncoder()


def configured(data: Path, dsn: str) -> Settings:
    return load_settings(data_dir=data, database__url=dsn)


async def _fill(settings: Settings, folder: Path) -> None:
    assert settings.database.url is not None
    database = await Database.open(settings.database.url.get_secret_value())
    await ingest(
        database,
        BlobStore(settings.data_dir),
        ENCODER,
        [folder],
        collection="album",
        options=IngestOptions(workers=1),
        passage_encoder=ENCODER,
    )
    await database.close()


async def _found(settings: Settings) -> list[object]:
    assert settings.database.url is not None
    database = await Database.open(settings.database.url.get_secret_value())
    try:
        assert await check(database, BlobStore(settings.data_dir)) == []
        images = ImageSearch(database, ENCODER, ENCODER, signing_key=b"k")
        passages = PassageSearch(database, ENCODER, signing_key=b"k")
        seen = await images.search(ImageRequest(query="yard", limit=20))
        read = await passages.search(PassageRequest(query="picture yard chapter", limit=20))
        return [
            [(hit.asset.id, hit.score) for hit in seen.hits],
            [(hit.passage.text, hit.score) for hit in read.hits],
        ]
    finally:
        await database.close()


def found(settings: Settings) -> list[object]:
    """Return search results, after checking the consistency of the data."""
    return asyncio.run(_found(settings))


def everything(dsn: str) -> dict[str, Any]:
    """Return all rows of all tables as text."""
    with psycopg.connect(dsn) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'sightline'::regnamespace "
            "AND relkind = 'r' ORDER BY 1"
        ).fetchall()
        return {
            name: connection.execute(
                sql.SQL("SELECT t::text FROM sightline.{} AS t ORDER BY 1").format(
                    sql.Identifier(name)
                )
            ).fetchall()
            for (name,) in tables
        }


def grants(dsn: str) -> list[tuple[Any, ...]]:
    """Return the privileges and row-level security of all relations."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT oid::regclass::text, relacl::text, relrowsecurity, relforcerowsecurity "
            "FROM pg_class WHERE relnamespace IN "
            "('sightline'::regnamespace, 'analytics'::regnamespace) ORDER BY 1"
        ).fetchall()


@pytest.fixture
def source(database_dsn: str, tmp_path: Path) -> Settings:
    """Settings of an instance with images, captions, stored pages and an annotation."""
    folder = tmp_path / "folder"
    for path in fill(folder, 4):
        path.with_suffix(".txt").write_text(f"picture {path.stem} of the yard")
    (folder / "book.pdf").write_bytes(
        pdf(*(lambda page, n=n: page.drawString(60, 300, f"chapter {n}") for n in range(2)))
    )
    settings = configured(tmp_path / "data", database_dsn)
    asyncio.run(_fill(settings, folder))
    with psycopg.connect(database_dsn) as connection:
        connection.execute(
            "INSERT INTO sightline.annotation (asset_id, label, x0, y0, x1, y1, origin) "
            "SELECT id, 'a', 0, 0, .1, 1, 'person' FROM sightline.asset LIMIT 1"
        )
    return settings


def test_all_data_is_restored_unchanged_in_another_instance(
    source: Settings, database_dsn: str, empty_dsn: str, tmp_path: Path
) -> None:
    manifest = instance_backup.write(source, tmp_path / "a.backup")
    assert (manifest.revision, manifest.objects) == (schema_migration.head(), 2)
    target = configured(tmp_path / "other", empty_dsn)
    assert instance_backup.restore(target, tmp_path / "a.backup") == manifest
    assert everything(empty_dsn) == everything(database_dsn)
    assert grants(empty_dsn) == grants(database_dsn)
    assert found(target) == found(source)
    stored = sorted(BlobStore(tmp_path / "other").locations())
    assert stored == sorted(BlobStore(tmp_path / "data").locations())
    assert not list(tmp_path.glob(".*"))


def test_originals_in_a_backup_are_read_on_another_machine(
    source: Settings, database_dsn: str, empty_dsn: str, tmp_path: Path
) -> None:
    """Pictures and the book; a picture that is gone is reported, not included."""
    folder = tmp_path / "folder"
    pictures = sorted(folder.glob("*.png")) + sorted(folder.glob("*.jpg"))
    pictures[0].unlink()
    pictures[1].write_bytes(b"another picture")
    ingested = len(pictures) + 1
    file = tmp_path / "a.backup"
    without = instance_backup.write(source, file)
    assert (without.originals, without.outside) == (0, ingested)
    assert without.outside_folder == str(folder)
    manifest = instance_backup.write(source, file, overwrite=True, with_originals=True)
    assert (manifest.originals, manifest.outside) == (ingested - 2, 2)
    pictures[2].unlink()

    target = configured(tmp_path / "other", empty_dsn)
    assert instance_backup.restore(target, file) == manifest
    with psycopg.connect(empty_dsn) as connection:
        query = b"SELECT location, sha256 FROM sightline.asset WHERE kind = 'image'"
        rows = connection.execute(query).fetchall()
        sources = connection.execute(b"SELECT location FROM sightline.source").fetchall()
    blobs = BlobStore(tmp_path / "other")
    stored = [(where, digest) for where, digest in rows if where.startswith("object:")]
    assert len(stored) == len(pictures) - 2
    for where, digest in stored:
        assert blobs.read(where, digest, name="x")
    assert sum(where.startswith("file:") for (where,) in sources) == 2


def test_a_damaged_original_is_not_restored(source: Settings, tmp_path: Path) -> None:
    file = tmp_path / "a.backup"
    instance_backup.write(source, file, with_originals=True)
    before = sorted(BlobStore(source.data_dir).locations())
    rewritten(file, flipped("originals/"))
    with pytest.raises(ConfigurationError, match="are damaged"):
        instance_backup.restore(source, file, replace=True)
    assert sorted(BlobStore(source.data_dir).locations()) == before


def test_too_little_space_is_noticed_before_anything_is_written(
    source: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.backup"
    instance_backup.write(source, file)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match=r"needed, but only 1,000 bytes are free"):
        instance_backup.write(source, tmp_path / "b.backup")
    with pytest.raises(StorageError, match=r"needed, but only 1,000 bytes are free"):
        instance_backup.restore(source, file, replace=True)
    assert not list(tmp_path.glob("*b.backup*"))


def test_new_ids_after_a_restore_go_on_without_a_collision(
    source: Settings, database_dsn: str, empty_dsn: str, tmp_path: Path
) -> None:
    instance_backup.write(source, tmp_path / "a.backup")
    instance_backup.restore(configured(tmp_path / "other", empty_dsn), tmp_path / "a.backup")
    query = (
        "SELECT sightline.new_id(name) FROM unnest(ARRAY['source', 'annotation']) AS name "
        "UNION ALL SELECT sightline.new_ids('passage', 3)"
    )

    def new_ids(dsn: str) -> list[int]:
        with psycopg.connect(dsn) as connection:
            return [row[0] for row in connection.execute(query).fetchall()]

    restored, original = new_ids(empty_dsn), new_ids(database_dsn)
    assert restored == original  # the same key and the same position
    assert len(set(restored)) == 5
    used = {row for rows in everything(empty_dsn).values() for row in rows}
    assert not [each for each in restored if any(f"({each}," in row[0] for row in used)]


def test_a_backup_is_restored_where_pgvector_is_in_another_schema(
    source: Settings, database_dsn: str, empty_dsn: str, tmp_path: Path
) -> None:
    with psycopg.connect(empty_dsn) as connection:
        connection.execute("CREATE EXTENSION vector WITH SCHEMA public")
    assert instance_backup.write(source, tmp_path / "a.backup").extension_schema == (
        "sightline_vector"
    )
    target = configured(tmp_path / "other", empty_dsn)
    instance_backup.restore(target, tmp_path / "a.backup")
    assert everything(empty_dsn) == everything(database_dsn)
    assert found(target) == found(source)
    with psycopg.connect(empty_dsn) as connection:
        schemas = connection.execute(
            "SELECT (SELECT extnamespace::regnamespace::text FROM pg_extension "
            "WHERE extname = 'vector'), to_regnamespace('sightline_vector')"
        ).fetchone()
    assert schemas == ("public", None)
    # And back, into a new database with pgvector in its own schema.
    instance_backup.write(target, tmp_path / "b.backup")
    instance_backup.restore(source, tmp_path / "b.backup", replace=True)
    assert found(source) == found(target)


def test_existing_data_is_replaced_only_with_replace(
    source: Settings, database_dsn: str, tmp_path: Path
) -> None:
    found_before = found(source)
    instance_backup.write(source, tmp_path / "a.backup")
    before = everything(database_dsn)
    with psycopg.connect(database_dsn) as connection:
        connection.execute("INSERT INTO sightline.collection (name) VALUES ('later')")
    changed = everything(database_dsn)
    with pytest.raises(ConfigurationError, match=r"already contains collections\. .* --replace"):
        instance_backup.restore(source, tmp_path / "a.backup")
    assert everything(database_dsn) == changed
    instance_backup.restore(source, tmp_path / "a.backup", replace=True)
    assert everything(database_dsn) == before
    assert found(source) == found_before
    with psycopg.connect(database_dsn) as connection:
        rights = connection.execute(
            "SELECT has_schema_privilege('sightline_analyst', 'analytics', 'USAGE'), "
            "has_schema_privilege('sightline_principal', 'sightline', 'USAGE')"
        ).fetchone()
    assert rights == (True, True)


def test_replaced_data_that_is_in_use_is_readable_by_nobody(
    source: Settings, database_dsn: str, tmp_path: Path
) -> None:
    """Its policies would apply the bindings of the restored data."""
    backup = tmp_path / "a.backup"
    instance_backup.write(source, backup)
    before = grants(database_dsn)
    analyst = asyncio.run(grant_analyst(database_dsn, "reader", schema="desk"))
    with psycopg.connect(analyst, autocommit=True) as owning:
        owning.execute("CREATE VIEW desk.own AS TABLE analytics.assets")
    drop = "DROP SCHEMA analytics_replaced, sightline_replaced CASCADE"
    count = "SELECT count(*) FROM analytics.assets"
    try:
        with psycopg.connect(analyst) as reading:
            images = reading.execute(count).fetchone()
            with pytest.raises(StorageError, match="another session uses it") as refusal:
                instance_backup.restore(source, backup, replace=True)
            assert drop in str(refusal.value)
            with psycopg.connect(analyst, autocommit=True) as other:
                assert other.execute(count).fetchone() == images
                for name in (("analytics_replaced", "assets"), ("sightline_replaced", "asset")):
                    query = sql.SQL("SELECT FROM {}").format(sql.Identifier(*name))
                    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="schema"):
                        other.execute(query)
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="view assets"):
                    other.execute("TABLE desk.own")
        with pytest.raises(SchemaError, match="earlier restore was interrupted") as again:
            instance_backup.restore(source, backup, replace=True)
        assert drop in str(again.value)
        with psycopg.connect(database_dsn, autocommit=True) as owner:
            owner.execute(drop.encode())
        instance_backup.restore(source, backup, replace=True)
        assert grants(database_dsn) == before
    finally:
        asyncio.run(revoke_analyst(database_dsn, "reader"))


def rewritten(file: Path, change: Callable[[str, bytes], bytes | None], **manifest: object) -> None:
    """Rewrite a backup with changed or removed members and manifest fields."""
    members = []
    with tarfile.open(file) as archive:
        for member in archive:
            extracted = archive.extractfile(member)
            assert extracted is not None
            content = extracted.read()
            if member.name == "manifest.json":
                content = json.dumps({**json.loads(content), **manifest}).encode()
            members.append((member.name, change(member.name, content)))
    with tarfile.open(file, "w") as archive:
        for name, content in members:
            if content is not None:
                _add(archive, name, content)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    import io

    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def untouched(_: str, content: bytes) -> bytes:
    return content


def replaced(file: Path, member: str, content: bytes) -> None:
    with tarfile.open(file, "w") as archive:
        _add(archive, member, content)


def add_sparse(file: Path, name: str) -> None:
    """Append a file with a hole, which could be larger than any disk."""
    size = 1 << 20
    member = tarfile.TarInfo(name)
    member.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": f"{size},0",
        "GNU.sparse.size": str(size),
    }
    with tarfile.open(file, "a", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member)


def flipped(part: str) -> Callable[[str, bytes], bytes]:
    def change(name: str, content: bytes) -> bytes:
        return content[:-9] + b"?" + content[-8:] if name.startswith(part) else content

    return change


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda f: rewritten(f, flipped("objects/")), ConfigurationError, "is damaged"),
        (lambda f: rewritten(f, flipped("database")), ConfigurationError, "missing or damaged"),
        (
            lambda f: rewritten(f, lambda n, c: None if n.startswith("objects/") else c),
            ConfigurationError,
            "contains 0 of 2 stored files",
        ),
        (
            lambda f: rewritten(f, lambda n, c: None if n == "database.dump" else c),
            ConfigurationError,
            "missing or damaged",
        ),
        (
            lambda f: f.write_bytes(f.read_bytes()[: f.stat().st_size // 2]),
            ConfigurationError,
            "not a complete Sightline backup|stored files",
        ),
        (
            lambda f: f.write_bytes(b"no tar at all"),
            ConfigurationError,
            "not a complete Sightline backup",
        ),
        (lambda f: rewritten(f, untouched, format=2), ConfigurationError, "has format 2"),
        (lambda f: rewritten(f, untouched, revision="9999"), SchemaError, "the schema 9999"),
        (lambda f: rewritten(f, untouched, postgres=99), ConfigurationError, "Postgres 99"),
        (lambda f: f.unlink(), ConfigurationError, "cannot be read"),
        (
            lambda f: replaced(f, "manifest.json", b"[" * 200_000),
            ConfigurationError,
            "not a complete Sightline backup",
        ),
        (lambda f: add_sparse(f, f"objects/{64 * '0'}"), ConfigurationError, "is not a file"),
    ],
)
def test_an_incomplete_or_incompatible_backup_changes_nothing(
    source: Settings,
    database_dsn: str,
    tmp_path: Path,
    damage: Callable[[Path], object],
    error: type[Exception],
    message: str,
) -> None:
    file = tmp_path / "a.backup"
    instance_backup.write(source, file)
    before = everything(database_dsn)
    damage(file)
    with pytest.raises(error, match=message):
        instance_backup.restore(source, file, replace=True)
    assert everything(database_dsn) == before
    assert found(source)


def test_a_member_outside_the_blob_store_is_rejected(source: Settings, tmp_path: Path) -> None:
    file = tmp_path / "a.backup"
    instance_backup.write(source, file)
    with tarfile.open(file, "a") as archive:
        _add(archive, "objects/../../outside", b"x")
    with pytest.raises(ConfigurationError, match="is unexpected"):
        instance_backup.restore(source, file, replace=True)
    assert not (tmp_path / "outside").exists()


def test_existing_data_is_kept_if_the_dump_cannot_be_loaded(
    source: Settings, database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.backup"
    found_before = found(source)
    instance_backup.write(source, file)
    before = everything(database_dsn)

    def fails(dsn: str, dump: Path) -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE SCHEMA sightline")
        raise StorageError("the disk is full")

    monkeypatch.setattr(instance_backup.dump_restore, "restore", fails)
    with pytest.raises(StorageError, match="the disk is full"):
        instance_backup.restore(source, file, replace=True)
    assert everything(database_dsn) == before
    assert found(source) == found_before


def test_a_backup_is_not_overwritten_and_needs_all_stored_files(
    source: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.backup"
    file.write_bytes(b"kept")
    with pytest.raises(ConfigurationError, match="--force"):
        instance_backup.write(source, file)
    objects = BlobStore(source.data_dir)
    objects.discard(list(objects.locations())[:1])
    with pytest.raises(StorageError, match="backup was not written"):
        instance_backup.write(source, file, overwrite=True)
    assert file.read_bytes() == b"kept"
    assert sorted(tmp_path.glob("*a.backup*")) == [file]


def test_the_commands_print_a_summary(
    source: Settings,
    database_dsn: str,
    empty_dsn: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SIGHTLINE_DATA_DIR", str(source.data_dir))
    monkeypatch.setenv("SIGHTLINE_DATABASE__URL", database_dsn)
    file = tmp_path / "a.backup"
    assert main(["backup", str(file)]) == 0
    assert main(["backup", str(file)]) == 2
    assert "5 ingested files are not in this backup. They lie in" in capsys.readouterr().err
    assert main(["backup", str(file), "--with-originals", "--force"]) == 0
    assert "5 originals" in capsys.readouterr().out
    assert main(["backup", str(file)]) == 2
    monkeypatch.setenv("SIGHTLINE_DATA_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("SIGHTLINE_DATABASE__URL", empty_dsn)
    assert main(["restore", str(file)]) == 0
    assert main(["check"]) == 0
    output = capsys.readouterr()
    assert "2 stored files" in output.out
    assert "Restored schema" in output.out
    assert "--force" in output.err
