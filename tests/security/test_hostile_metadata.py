"""Hostile files beside pictures are warnings; they neither end an ingest nor reach other files."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from sightline.storage.ingest.discover.input_paths import resolve_inputs
from sightline.storage.ingest.discover.json_tables import parse_json_table
from sightline.storage.ingest.discover.sidecars import parse_sidecar
from tests.support.discovery import discover
from tests.support.sample_images import jpeg
from tests.support.sample_metadata import bag, xmp

ENTITIES = b"".join(
    b'<!ENTITY a%d "%s">' % (level, b"&a%d;" % (level - 1) * 10) for level in range(1, 9)
)
HOSTILE = {
    "a.jpg.xmp": b"<?xml version='1.0'?><!DOCTYPE r [<!ENTITY a0 'ha'>"
    + ENTITIES
    + b"]><r>&a8;</r>",
    "a.xmp": b"<!DOCTYPE r [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><r>&x;</r>",
    "a.json": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a.jpg.supplemental-metadata.json": b'{"title": "a.jpg", "geoData": {"latitude": 1e999}}',
    "a.txt": b"\0\0\0\0",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_sidecar_leaves_its_picture(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    (tmp_path / name).write_bytes(HOSTILE[name])
    warnings: list[str] = []
    (file,) = discover(resolve_inputs([str(tmp_path)]), lambda *given: warnings.append(given[2]))
    assert file.failure is None
    said = file.sidecar and (file.sidecar.caption, file.sidecar.embedded.bounded().position)
    assert said in (None, (None, None))
    assert all("root:" not in each for each in warnings)


def test_a_link_to_a_sidecar_outside_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    secret, album = tmp_path / "secret.xmp", tmp_path / "album"
    album.mkdir()
    secret.write_bytes(xmp("", bag("dc:subject", ["secret"])))
    (album / "a.jpg").write_bytes(jpeg(1))
    (album / "a.xmp").symlink_to(secret)
    (album / "b.json").symlink_to(secret)
    found = list(discover(resolve_inputs([str(album)])))
    assert all(file.sidecar is None or not file.sidecar.embedded for file in found)


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"a":' * 100_000, b'[{"file_name": 1e400}]', b"["]
)
def test_json_that_cannot_be_parsed_is_no_table(data: bytes) -> None:
    with suppress(ValueError):
        assert parse_json_table("t.json", data, lambda *_: None) is None


@pytest.mark.parametrize("data", [b'{"a": 1e999}', b'{"a": {"b": [-1e999]}}'])
def test_a_number_that_postgres_refuses_is_a_broken_sidecar(data: bytes) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        parse_sidecar("a.json", data)


@pytest.mark.timeout(60)
def test_many_annotations_take_little_time_and_memory() -> None:
    """Each picture keeps a thousand boxes, and unknown pictures are counted in one warning."""
    one = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5]}
    value = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 10, "height": 10}],
        "categories": [{"id": 1, "name": "x" * 100_000}],
        "annotations": [one] * 20_000 + [{**one, "image_id": 2}] * 20_000,
    }
    warnings: list[str] = []
    table = parse_json_table("t.json", json.dumps(value).encode(), lambda *w: warnings.append(w[2]))
    assert table is not None
    sidecar = table.lookup("a.jpg", lambda *_: None)
    assert sidecar is not None
    (label,) = sidecar.embedded.labels
    assert (len(label.label), label.box) == (200, (0.0, 0.0, 0.5, 0.5))
    assert warnings == ["has 20,000 annotations of images that it does not list"]
