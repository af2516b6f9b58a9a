"""Parse sidecars: captions, metadata, capture times and subtitles.

Closest first: ``name.txt`` (caption), ``name.json`` (caption and metadata, or Google Takeout),
``name.xmp``, then the caption tables ``captions.csv``, ``metadata.csv`` (or ``.tsv``) and
``metadata.jsonl`` (as in Hugging Face's ImageFolder) and JSON tables in the same folder or above. A
broken sidecar is a warning and never stops an ingest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.media.subtitles import (
    SubtitleCue,
    join_sentences,
    parse_subtitles,
)
from sightline.storage.ingest.formats import file_type_of, suffix_of
from sightline.storage.ingest.metadata.embedded_metadata import NO_METADATA, EmbeddedMetadata
from sightline.storage.ingest.metadata.takeout import is_takeout, read_takeout
from sightline.storage.ingest.metadata.xmp_packet import read_xmp
from sightline.storage.ingest.plain_text.text_encoding import decode_text

CAPTION_KEYS = ("caption", "text", "description")
CAPTURED_KEY = "captured_at"
_MAX_DEPTH = 64
_MAX_CHARS = 65_536
_MAX_KEYS = 200
_MAX_TIME_CHARS = 100
TABLE_NAMES = ("captions.csv", "captions.tsv", "metadata.csv", "metadata.tsv", "metadata.jsonl")

WarningSink = Callable[[str, str, str], None]
"""Receives a warning: code, file name, reason."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The content of all sidecars of one file. ``captured_at`` is the time as written."""

    caption: str | None
    metadata: Mapping[str, Any]
    captured_at: str | None
    subtitles: tuple[SubtitleCue, ...] = ()
    embedded: EmbeddedMetadata = NO_METADATA

    @property
    def sha256(self) -> bytes:
        """Return the SHA-256 of the content, to detect changes."""
        content: list[object] = [self.caption, self.metadata, self.captured_at]
        content += [[cue.start, cue.end, cue.text] for cue in self.subtitles]
        content += [asdict(self.embedded)] if self.embedded else []
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).digest()


@dataclass(frozen=True, slots=True)
class TreeFolder:
    """The walk of a tree enters a folder. Paths are relative to the root."""

    path: str
    files: list[str]


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file to ingest, or the reason why it or its folder cannot be read.

    ``path`` and the paths of ``sidecars`` are relative to the root.
    """

    path: str
    sidecars: tuple[str, ...] = ()
    failure: MediaError | None = None


def parse_mapping(values: Mapping[str, Any]) -> Sidecar:
    """Return the sidecar for the columns of a row or the keys of a JSON object.

    ``caption``, ``text`` or ``description`` is the caption, or a list of captions; a ``metadata``
    object is merged in; all other values are metadata. ``latitude`` and ``longitude`` are also the
    position. Raises ValueError for a value nested too deeply, or too long.
    """
    _check_depth(values)
    metadata = {str(key): value for key, value in values.items() if value is not None}
    nested = metadata.pop("metadata", None)
    if isinstance(nested, Mapping):
        metadata |= {str(key): value for key, value in nested.items() if value is not None}
    elif nested is not None:
        metadata["metadata"] = nested
    caption = None
    for key in CAPTION_KEYS:
        if caption is None and (texts := _captions(metadata.get(key))):
            caption = "\n".join(texts)
            del metadata[key]
    captured_at = metadata.pop(CAPTURED_KEY, None)
    if captured_at is not None:  # a wrong one is reported when it is used
        captured_at = str(clean_json(str(captured_at)))[:_MAX_TIME_CHARS]
    cleaned = clean_json(metadata)
    _check_metadata(cleaned)
    position = (cleaned.get("latitude"), cleaned.get("longitude"))
    embedded = NO_METADATA
    if all(isinstance(each, int | float) for each in position):
        embedded = EmbeddedMetadata(position=position)
    return Sidecar(_clean_caption(caption), cleaned, captured_at, embedded=embedded)


def merge_sidecars(sidecars: list[Sidecar]) -> Sidecar | None:
    """Merge sidecars; earlier ones win. Returns None if there are none.

    Raises ValueError if they have too much metadata together.
    """
    if not sidecars:
        return None
    metadata: dict[str, Any] = {}
    for each in reversed(sidecars):
        metadata |= each.metadata
    _check_metadata(metadata)
    caption = next((each.caption for each in sidecars if each.caption), None)
    captured_at = next((each.captured_at for each in sidecars if each.captured_at), None)
    subtitles = tuple(cue for each in sidecars for cue in each.subtitles)
    embedded = NO_METADATA
    for each in sidecars:
        embedded = embedded.or_else(each.embedded)
    return Sidecar(caption, metadata, captured_at, subtitles, embedded)


def parse_sidecar(name: str, data: bytes) -> Sidecar:
    """Parse a text, JSON, XMP or subtitle file. Raises ValueError or MediaError."""
    if file_type_of(name) == "subtitles":
        if cues := parse_subtitles(clean_json(decode_text(data).text)):
            return Sidecar(None, {}, None, tuple(join_sentences(cues)))
        raise ValueError("contains no subtitles")
    suffix = suffix_of(name)
    if suffix == ".txt":
        return Sidecar(_clean_caption(decode_text(data).text), {}, None)
    if suffix == ".xmp":
        return Sidecar(None, {}, None, embedded=read_xmp(data).bounded())
    values = parse_object(data)
    if is_takeout(values):
        return Sidecar(None, {}, None, embedded=read_takeout(values).bounded())
    return parse_mapping(values)


def parse_object(data: bytes | str) -> dict[str, Any]:
    """Parse one JSON object; NaN is refused. Raises ValueError or MediaError."""
    value = parse_json(data)
    if not isinstance(value, dict):
        raise ValueError(f"is a JSON {type(value).__name__}; it must be an object")
    return value


def parse_json(data: bytes | str) -> Any:
    """Parse JSON; NaN is refused, as Postgres does. Raises ValueError or MediaError."""
    text = decode_text(data).text if isinstance(data, bytes) else data
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def clean_json(value: object) -> Any:
    """Remove NUL characters and surrogates, which Postgres refuses."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {str(clean_json(key)): clean_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean_json(item) for item in value]
    return value


def _captions(value: object) -> list[str]:
    """Return the captions of a value: a text, or a list of texts."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return [each for each in value if each.strip()]
    return [value] if isinstance(value, str) else []


def _check_depth(value: object) -> None:
    """Raise ValueError for a value that would exhaust the stack of who reads it."""
    level: list[object] = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            item
            for each in level
            if isinstance(each, Mapping | list)
            for item in (each.values() if isinstance(each, Mapping) else each)
        ]
        if not level:
            return
    raise ValueError(f"is nested more than {_MAX_DEPTH} levels deep")


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    if len(metadata) > _MAX_KEYS:
        raise ValueError(f"has {len(metadata):,} metadata keys; the limit is {_MAX_KEYS}")
    _check_length("metadata", json.dumps(metadata, ensure_ascii=False, allow_nan=False))


def _clean_caption(text: str | None) -> str | None:
    if text is None:
        return None
    caption = str(clean_json(text)).strip()
    _check_length("caption", caption)
    return caption or None


def _check_length(what: str, text: str) -> None:
    """Raise ValueError for a text that every search result would have to load."""
    if len(text) > _MAX_CHARS:
        raise ValueError(
            f"has {len(text):,} characters of {what}; the limit is {_MAX_CHARS:,}. Add a long text "
            "as a document of its own"
        )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"contains {name}, which is not valid JSON")
