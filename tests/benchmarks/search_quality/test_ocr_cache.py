"""The cache of OCR results that repeated runs of the benchmark share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from benchmarks.search_quality.ocr_cache import CachedOcrEngine
from sightline.storage.interfaces import OcrLine, OcrReading

LINE = OcrLine("total 18.00", (0.1, 0.2, 0.5, 0.3), 0.9)


@dataclass
class CountingEngine:
    """An OCR engine that finds one line in everything and counts its calls."""

    name: str = "counting 1"
    calls: list[str] = field(default_factory=list)

    def has_text(self, _: Image.Image) -> bool:
        self.calls.append("has_text")
        return True

    def for_languages(self, _: Sequence[str]) -> CountingEngine:
        return self

    def read(self, _: Image.Image, max_seconds: float) -> OcrReading:
        self.calls.append("read")
        return OcrReading([LINE], "cut short")


def test_a_picture_is_read_once(tmp_path: Path) -> None:
    engine = CountingEngine()
    cached = CachedOcrEngine(engine, tmp_path / "ocr")
    image = Image.new("RGB", (8, 8), "white")
    for _ in range(2):
        assert cached.has_text(image)
        assert cached.read(image, 9.0) == OcrReading([LINE], "cut short")
    assert engine.calls == ["has_text", "read"]
    cached.read(Image.new("RGB", (8, 8), "black"), 9.0)
    assert engine.calls[2:] == ["read"]


def test_another_engine_reads_again(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8), "white")
    other = CountingEngine("counting 2")
    for engine in (CountingEngine(), other):
        CachedOcrEngine(engine, tmp_path).read(image, 9.0)
    assert other.calls == ["read"]
