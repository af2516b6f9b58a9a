"""Decide what is decoded of new and existing sources."""

from __future__ import annotations

from typing import NamedTuple

from sightline.storage.ingest import stage_types as stages
from sightline.storage.ingest.decode.worker.image import TILE_SCHEME
from sightline.storage.ingest.ingest_options import OcrMode


class DecodePlanner(NamedTuple):
    """Decides what is decoded of new and existing sources."""

    ocr_mode: OcrMode
    ocr_engine: str
    tiles: bool
    transcriber: str = ""

    @property
    def ocr_key(self) -> str:
        """Return the mode and engine that are recorded with a source."""
        return f"{self.ocr_mode}: {self.ocr_engine}"

    def needs_ocr(self, existing: stages.ExistingSource | None) -> bool:
        """Return whether OCR is missing, or was by another engine or a weaker mode."""
        if self.ocr_mode == "off" or (existing and existing.kind == "text"):
            return False
        equal_or_better = (self.ocr_key, f"on: {self.ocr_engine}")
        return existing is None or existing.ocr_engine not in equal_or_better

    def needs_tiles(self, existing: stages.ExistingSource | None) -> bool:
        if not self.tiles or (existing and existing.kind == "text"):
            return False
        return existing is None or existing.tile_scheme != TILE_SCHEME

    def needs_subtitles(
        self, existing: stages.ExistingSource | None, file: stages.DiscoveredFile
    ) -> bool:
        """Return whether to use embedded subtitles because the sidecar file was removed."""
        return (
            existing is not None
            and existing.kind == "video"
            and file.sidecar_sha256 != existing.sidecar_sha256
            and not (file.sidecar and file.sidecar.subtitles)
        )

    def needs_decode(self, existing: stages.ExistingSource, file: stages.DiscoveredFile) -> bool:
        """Return whether the file of an existing source must be opened again."""
        return (
            self.needs_ocr(existing)
            or self.needs_tiles(existing)
            or self.needs_subtitles(existing, file)
            or self.needs_speech(existing)
        )

    def needs_speech(self, existing: stages.ExistingSource | None) -> bool:
        """Return whether speech is missing, or was transcribed by another model."""
        if not self.transcriber or (existing and existing.kind not in ("video", "audio")):
            return False
        return existing is None or existing.transcriber != self.transcriber
