"""The built-in keys of filters, and how metadata keys are written beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

METADATA_PREFIX = "metadata."
MAX_METADATA_DEPTH = 4
"""Levels of nested metadata that a filter can name."""


@dataclass(frozen=True, slots=True)
class BuiltInKey:
    """The type of a built-in key's values, and its meaning in one line."""

    type: Literal["text", "number", "date", "time", "position", "labels"]
    meaning: str
    of_passages: bool = False
    """Only for passages, not for images."""


BUILT_IN_KEYS: Mapping[str, BuiltInKey] = {
    "captured_at": BuiltInKey("date", "capture time, such as '2024-05-01' or '2024-05-01T17:00'"),
    "captured_at.month": BuiltInKey("text", "local month of capture, such as '2024-05'"),
    "captured_at.year": BuiltInKey("number", "local year of capture, such as 2024"),
    "time_of_day": BuiltInKey("time", "local time of capture, such as '17:00'"),
    "kind": BuiltInKey(
        "text", "image, page, frame or audio; of text: caption, chunk, ocr and so on"
    ),
    "source": BuiltInKey("text", "name of the file as given at ingest, with folders"),
    "file_name": BuiltInKey("text", "name of the file without folders"),
    "page": BuiltInKey("number", "page of a document, from 1"),
    "seconds": BuiltInKey("number", "time in a video, in seconds"),
    "gps": BuiltInKey("position", "place of capture: {'near': [48.86, 2.29], 'km': 5}"),
    "objects": BuiltInKey("labels", "labels of the boxes on the image: {'contains': 'van'}"),
    "width": BuiltInKey("number", "width of the image in pixels"),
    "height": BuiltInKey("number", "height of the image in pixels"),
    "caption": BuiltInKey("text", "caption of the image"),
    "mime_type": BuiltInKey("text", "type of the file, such as 'image/jpeg'"),
    "collection": BuiltInKey("text", "name of the collection"),
    "asset": BuiltInKey("text", "id of the image"),
    "asset_kind": BuiltInKey("text", "image, page, frame or audio, of a text", of_passages=True),
    "text": BuiltInKey("text", "the text itself", of_passages=True),
    "language": BuiltInKey("text", "language of the text: en, zh or other", of_passages=True),
    "confidence": BuiltInKey("number", "confidence of OCR, 0 to 1", of_passages=True),
}
"""All keys that a filter has besides those of the metadata, most useful first."""


def metadata_name(path: Sequence[str]) -> str:
    """Return how a filter writes a metadata key.

    A nested one is ``camera.make``. The prefix in ``metadata.kind`` tells a metadata key from a
    built-in key of the same name.
    """
    name = ".".join(path)
    is_ambiguous = name in BUILT_IN_KEYS or name.startswith(METADATA_PREFIX)
    return METADATA_PREFIX + name if is_ambiguous else name
