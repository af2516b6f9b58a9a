"""Limits of one tool call.

Importing this is fast, because the settings take their defaults from here.
"""

from __future__ import annotations

from dataclasses import dataclass

from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.ingest.ingest_options import MAX_IMAGE_PIXELS


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one tool call. Five of them are settings of the same name."""

    max_results: int = 50
    max_image_pixels: int = MAX_IMAGE_PIXELS
    #: After it, a call of any tool is cancelled.
    call_timeout_seconds: float = 900.0
    answer_timeout_seconds: float = 120.0
    #: Answers with a lower confidence (0 to 1) are withheld.
    min_answer_confidence: float = 0.0
    #: Size of an image in the arguments, decoded from base64.
    max_upload_bytes: int = 3_000_000
    max_image_bytes: int = 50_000_000
    max_view_edge_pixels: int = 1568
    #: Images in one result. Clients limit one event to 1 MiB of base64.
    max_inline_bytes: int = 700_000
    #: Metadata keys that ``list_collections`` names for each collection.
    max_metadata_keys: int = 20

    def results(self, requested: int) -> int:
        """Return the requested number of results, or raise InvalidArgumentError."""
        if not 1 <= requested <= self.max_results:
            raise InvalidArgumentError(f"limit is {shown(requested)}; use 1 to {self.max_results}")
        return requested
