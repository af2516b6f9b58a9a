"""Bound what one file becomes: characters of text and bytes of pictures.

A small file can become very much: a page of a PDF that is drawn a thousand times, a header that
each row repeats. The worker keeps the limits, and the parent checks that it did.
"""

from __future__ import annotations

from sightline.storage.ingest.ingest_options import IngestOptions

# Each line of text is a row with a box.
_LINE_CHARS = 32
_TILES_PER_IMAGE = 39  # 2 x 6 and 3 x 9


class OutputBudget:
    """What a file of ``size`` bytes may still become: text, pictures and tiles."""

    def __init__(self, options: IngestOptions, size: int) -> None:
        self._images = max(options.max_pages, options.max_video_frames)
        self._tiles = _TILES_PER_IMAGE * self._images
        self.chars = options.max_text_chars(size)
        self.max_picture_bytes = self.picture_bytes = options.max_picture_bytes(size)

    def take_passage(self, text: str) -> bool:
        """Return whether there was room for a passage."""
        self.chars -= len(text)
        return self.chars >= 0

    def take_line(self, text: str) -> bool:
        """Return whether there was room for a line with a box."""
        self.chars -= len(text) + _LINE_CHARS
        return self.chars >= 0

    def take_picture(self, *files: bytes | None) -> bool:
        """Return whether there was room for an image with these files."""
        self._images -= 1
        self.picture_bytes -= sum(len(each or b"") for each in files)
        return self.picture_bytes >= 0 and self._images >= 0

    def take_tile(self) -> bool:
        """Return whether there was room for a tile of an image."""
        self._tiles -= 1
        return self._tiles >= 0
