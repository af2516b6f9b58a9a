"""Models of more languages: files in a folder, never downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from PIL import Image

from sightline.server.cli import main
from sightline.server.cli.admin.doctor import check_ocr
from sightline.server.models.ocr.ocr_models import OCR_LANGUAGES, find_models, installed_languages
from sightline.server.models.ocr.rapid_ocr import load_ocr_engine
from sightline.storage.errors import ConfigurationError
from tests.support.media import sign
from tests.support.settings import make_settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the recognizer of the wheel in the place of two others."""
    models = tmp_path / "models"
    models.mkdir()
    (_, recognizer) = (find_models().detector, find_models().recognizers[0])
    for language in ("korean", "th"):
        (models / f"{language}_PP-OCRv5_rec_mobile.onnx").symlink_to(recognizer)
    return models


def test_a_language_adds_its_recognizer_and_changes_the_name(folder: Path) -> None:
    engine = load_ocr_engine(folder)
    korean = engine.for_languages(["korean"])
    assert [path.name for path in korean.models.recognizers][1:] == [
        "korean_PP-OCRv5_rec_mobile.onnx"
    ]
    assert len({engine.name, korean.name, engine.for_languages(["th"]).name}) == 3
    assert installed_languages(folder) == ["korean", "th"]
    assert installed_languages(None) == []


def test_another_model_changes_the_name_and_a_file_that_is_none_is_refused(folder: Path) -> None:
    engine = load_ocr_engine(folder)
    path = folder / "el_PP-OCRv5_rec_mobile.onnx"
    names = set()
    for content in (b"character list 1", b"character list 2"):
        path.write_bytes(content)
        names.add(engine.for_languages(["el"]).name)
    assert len(names) == 2
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(ConfigurationError, match="has no list of characters"):
        engine.for_languages(["el"])


def test_a_picture_is_read_with_all_recognizers(folder: Path, tmp_path: Path) -> None:
    sign(tmp_path / "sign.png", "NO PARKING")
    with Image.open(tmp_path / "sign.png") as picture:
        reading = load_ocr_engine(folder).for_languages(["korean"]).read(picture.convert("RGB"))
    assert [line.text for line in reading.lines] == ["NO PARKING"]


def test_a_language_without_a_model_says_what_to_download(folder: Path) -> None:
    engine = load_ocr_engine(folder)
    with pytest.raises(
        ConfigurationError, match=r"Download https://\S+/el_PP-OCRv5_rec_mobile.onnx"
    ):
        engine.for_languages(["el"])
    with pytest.raises(ConfigurationError, match=f"Available: {', '.join(OCR_LANGUAGES)}"):
        engine.for_languages(["klingon"])
    with pytest.raises(ConfigurationError, match="SIGHTLINE_INGEST__OCR_MODELS"):
        load_ocr_engine().for_languages(["th"])


def test_doctor_lists_the_languages(folder: Path, tmp_path: Path) -> None:
    found = check_ocr(make_settings(tmp_path, ingest__ocr_models=folder))
    assert found.status == "ok"
    assert "Latin, Chinese, Japanese, korean (Korean), th (Thai)" in found.message
    assert "has no model of arabic" in found.message
    gone = check_ocr(make_settings(tmp_path, ingest__ocr_models=folder / "gone"))
    assert (gone.status, gone.subject) == ("error", "OCR")


def test_the_languages_of_a_collection_are_kept_and_repeat_its_ocr(
    database_dsn: str,
    random_encoder_folder: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {
        "DATA_DIR": str(tmp_path / "data"),
        "DATABASE__URL": database_dsn,
        "ENCODER__MODEL": f"local-dir:{random_encoder_folder}",
        "ENCODER__DEVICE": "cpu",
        "INGEST__OCR": "on",
        "INGEST__OCR_MODELS": str(folder),
        "INGEST__WORKERS": "1",
    }.items():
        monkeypatch.setenv(f"SIGHTLINE_{name}", value)
    album = tmp_path / "album"
    album.mkdir()
    sign(album / "sign.png", "NO PARKING")

    def ingested(*options: str) -> dict[str, int]:
        assert main(["ingest", str(album), "--collection", "album", "--json", *options]) == 0
        return dict(json.loads(capsys.readouterr().out))

    assert ingested()["added"] == 1
    assert ingested("--ocr-languages", "korean,th")["updated"] == 1
    assert ingested()["unchanged"] == 1
    with psycopg.connect(database_dsn) as connection:
        row = connection.execute("SELECT ocr_engine FROM sightline.source").fetchone()
    assert row is not None
    assert "korean_PP-OCRv5_rec_mobile" in row[0]
    assert main(["ingest", str(album), "--collection", "album", "--ocr-languages", "el"]) != 0
    assert ingested("--ocr-languages", "none")["updated"] == 1
