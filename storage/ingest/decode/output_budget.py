"""Bound what one file becomes: characters of text and bytes of pictures.

A small file can become very much: a page of a PDF that is drawn a thousand times, a header that
each row repeats. The worker keeps the limits, and the parent checks that it did.
"""

from __future__ import annotations

from sightline.storage.ingest.decode.worker.image import MAX_TILES
from sightline.storage.ingest.formats import file_type_of
from sightline.storage.ingest.ingest_options import IngestOptions

# What a line of text counts besides its characters: it is a row with a box.
_BOX_CHARS = 32
_PACKED_RATIO = 10


class OutputBudget:
    """What a file of ``size`` bytes may still become: text, pictures and tiles.

    The text of a document is packed, so one may have more of it.
    """

    def __init__(self, options: IngestOptions, size: int, name: str = "") -> None:
        is_packed = file_type_of(name) == "document"
        self.max_images = self._images = max(options.max_pages, options.max_video_frames)
        self._tiles = MAX_TILES * self._images
        self.chars_left = options.max_text_chars(size * _PACKED_RATIO if is_packed else size)
        self.max_picture_bytes = self.picture_bytes_left = options.max_picture_bytes(size)

    def take_passage(self, text: str) -> bool:
        """Return whether there was room for a passage."""
        self.chars_left -= len(text)
        return self.chars_left >= 0

    def take_line(self, text: str) -> bool:
        """Return whether there was room for a line with a box."""
        self.chars_left -= len(text) + _BOX_CHARS
        return self.chars_left >= 0

    def take_picture(self, *files: bytes | None) -> bool:
        """Return whether there was room for an image with these files."""
        self._images -= 1
        self.picture_bytes_left -= sum(len(each or b"") for each in files)
        return self.picture_bytes_left >= 0 and self._images >= 0

    def take_tile(self) -> bool:
        """Return whether there was room for a tile of an image."""
        self._tiles -= 1
        return self._tiles >= 0
