"""Tests of ``sightline embed``: words become vectors that SQL compares."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import psycopg
import pytest

from sightline.server.cli import main
from sightline.storage.postgres import EmbeddedPostgres
from tests.server.cli.analysis.conftest import WORDS

pytestmark = pytest.mark.usefixtures("words_installation")


def test_words_are_compared_with_pictures_in_sql(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["embed", *WORDS]) == 0
    output = capfd.readouterr()
    literals = output.out.splitlines()
    assert output.err.startswith("Embedding space 1: builtin-clip")
    query = "SELECT asset_id, round(distance::numeric, 3) FROM search(:'q', 1, 1)"
    for number, literal in enumerate(literals):
        assert main(["sql", "-At", "-v", f"q={literal}", "-c", query]) == 0
        assert capfd.readouterr().out == f"{number:012}|0.000\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(WORDS)))
    assert main(["embed", "--json", "--collection", "album"]) == 0
    for record, words, literal in zip(
        json.loads(capfd.readouterr().out), WORDS, literals, strict=True
    ):
        assert (record["words"], record["embedding_space"]) == (words, 1)
        assert np.array_equal(np.float16(record["vector"]), np.float16(json.loads(literal)))


def test_vectors_that_cannot_be_compared_are_refused(
    words_folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    cases = {
        ("x", "--collection", "other"): "has no vectors of the level 'asset'",
        ("x", "--collection", "nothing"): "Unknown collection 'nothing'. Available: 'album'",
        ("x", "--level", "passage"): "Embedding spaces: 1 (asset of builtin-clip)",
        (): "There are no words to encode",
    }
    for arguments, words in cases.items():
        assert main(["embed", *arguments]) == 2
        assert words in capfd.readouterr().err
    with EmbeddedPostgres(words_folder) as postgres, psycopg.connect(postgres.dsn()) as connection:
        change = "UPDATE sightline.embedding_space SET weights = md5(weights)"
        before = connection.execute("SELECT weights FROM sightline.embedding_space").fetchone()
        connection.execute(change)
        connection.commit()
        assert main(["embed", "x", "--collection", "album"]) == 2
        assert "builtin-clip" in capfd.readouterr().err
        assert main(["embed", "x"]) == 2
        assert "No vectors of the level 'asset' were made by builtin-clip" in capfd.readouterr().err
        connection.execute("UPDATE sightline.embedding_space SET weights = %s", before)
