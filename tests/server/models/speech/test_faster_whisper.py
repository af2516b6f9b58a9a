"""A faster-whisper folder transcribes in this process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sightline.server.config.settings import SpeechSettings
from sightline.server.models.speech import load_transcriber
from sightline.storage.errors import ConfigurationError, ModelUnavailableError
from tests.support.speech import sound_of

SOUND = sound_of([(0.5, "kettle"), (2.0, "stove")], 3)


@pytest.mark.slow  # imports torch
async def test_a_folder_transcribes(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    from tests.support.random_whisper import write_whisper

    folder = write_whisper(tmp_path / "whisper")
    model = load_transcriber(SpeechSettings(model=f"local-dir:{folder}", language="en"))
    assert model is not None
    assert model.name.startswith("faster-whisper whisper ")
    assert model.name.endswith(" en")
    found = await model.transcribe(SOUND)
    assert found, "random weights hear something"
    assert all(isinstance(each.text, str) and each.start <= each.end for each in found)
    await model.close()


@pytest.mark.slow
async def test_a_broken_folder_is_an_outage(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    (tmp_path / "model.bin").write_bytes(b"no model")
    model = load_transcriber(SpeechSettings(model=f"local-dir:{tmp_path}"))
    assert model is not None
    with pytest.raises(ModelUnavailableError, match="cannot be loaded"):
        await model.transcribe(SOUND)
    await model.close()


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.bin").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(ConfigurationError, match=r"sightline-mcp\[speech\]"):
        load_transcriber(SpeechSettings(model=f"local-dir:{tmp_path}"))
