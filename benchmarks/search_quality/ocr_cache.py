"""OCR whose results are kept, so that a change of the ranking is measured without new OCR."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from sightline.storage.interfaces import OcrEngine, OcrLine, OcrReading


@dataclass(frozen=True, slots=True)
class CachedOcrEngine:
    """An `OcrEngine` that asks another one only for pictures that are not in the folder.

    Its name and the pixels of the picture identify a result.
    """

    engine: OcrEngine
    folder: Path

    @property
    def name(self) -> str:
        return self.engine.name

    def has_text(self, image: Image.Image) -> bool:
        return bool(self._cached("has_text", image, self.engine.has_text))

    def for_languages(self, languages: Sequence[str]) -> CachedOcrEngine:
        return replace(self, engine=self.engine.for_languages(languages))

    def read(self, image: Image.Image, max_seconds: float) -> OcrReading:
        def ask(each: Image.Image) -> Any:
            return asdict(self.engine.read(each, max_seconds))

        reading = self._cached("read", image, ask)
        lines = [OcrLine(**{**line, "box": tuple(line["box"])}) for line in reading["lines"]]
        return OcrReading(lines, reading["problem"])

    def _cached(self, method: str, image: Image.Image, ask: Callable[[Image.Image], Any]) -> Any:
        identity = f"{self.name}\n{method}\n{image.mode}{image.size}".encode()
        path = self.folder / f"{hashlib.sha256(identity + image.tobytes()).hexdigest()}.json"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".tmp")
            partial.write_text(json.dumps(ask(image)), encoding="utf-8")
            partial.replace(path)
        return json.loads(path.read_text(encoding="utf-8"))
