"""What is said about a picture beside it: captions, metadata, capture times.

Forms, the closest first: ``name.txt`` (a caption), ``name.json`` (caption and metadata),
``captions.csv``, and ``metadata.jsonl`` or ``metadata.csv`` as in Hugging Face's ImageFolder, in
the picture's folder or one above it. Nothing here stops an ingest: what is broken is reported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, cast

from sightline.storage.ingest.decode.worker.subtitles import Cue, gathered, parse_subtitles
from sightline.storage.ingest.discover.file_types import claim

CAPTION_KEYS = ("caption", "text", "description")
CAPTURED_KEY = "captured_at"
TABLE_NAMES = ("captions.csv", "metadata.csv", "metadata.jsonl")

Report = Callable[[str, str, str], None]
"""Takes a code, the name of the file, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What was said. ``captured`` is the capture time as written."""

    caption: str | None
    metadata: Mapping[str, Any]
    captured: str | None
    subtitles: tuple[Cue, ...] = ()

    @property
    def key(self) -> bytes:
        """SHA-256 of all of it, by which a change is noticed."""
        said: list[object] = [self.caption, self.metadata, self.captured]
        said += [[cue.start, cue.end, cue.text] for cue in self.subtitles]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode("ascii")).digest()


def from_mapping(values: Mapping[str, Any]) -> Sidecar:
    """A sidecar of the columns of a row or the keys of a JSON object.

    ``caption``, ``text`` or ``description`` is the caption; a ``metadata`` object is merged in;
    everything else is metadata. Raises ValueError where a value cannot be kept.
    """
    metadata = {str(key): value for key, value in values.items() if value is not None}
    nested = metadata.pop("metadata", None)
    if isinstance(nested, Mapping):
        metadata |= {str(key): value for key, value in nested.items() if value is not None}
    elif nested is not None:
        metadata["metadata"] = nested
    caption = next(
        (metadata.pop(key) for key in CAPTION_KEYS if isinstance(metadata.get(key), str)), None
    )
    captured = metadata.pop(CAPTURED_KEY, None)
    if captured is not None and not isinstance(captured, str):
        raise ValueError(f"{CAPTURED_KEY} is {captured!r}; it must be an ISO 8601 text")
    return Sidecar(_caption(caption), cast("dict[str, Any]", clean(metadata)), captured)


def merged(parts: list[Sidecar]) -> Sidecar | None:
    """All that was said, where the earlier parts win; None where nothing was."""
    if not parts:
        return None
    metadata: dict[str, Any] = {}
    for part in reversed(parts):
        metadata |= part.metadata
    return Sidecar(
        caption=next((part.caption for part in parts if part.caption), None),
        metadata=metadata,
        captured=next((part.captured for part in parts if part.captured), None),
        subtitles=tuple(cue for part in parts for cue in part.subtitles),
    )


def read_sidecar(name: str, data: bytes) -> Sidecar:
    """What a file beside a picture or a video says, by its name. Raises ValueError."""
    if claim(name) == "subtitles":
        cues = parse_subtitles(str(clean(data.decode("utf-8-sig"))))
        if not cues:
            raise ValueError("holds no subtitles")
        return Sidecar(None, {}, None, tuple(gathered(cues)))
    return read_caption(data) if name.endswith(".txt") else read_object(data)


def read_caption(data: bytes) -> Sidecar:
    """``name.txt``. Raises ValueError where it is not UTF-8."""
    return Sidecar(_caption(data.decode("utf-8-sig")), {}, None)


def read_object(data: bytes) -> Sidecar:
    """``name.json``. Raises ValueError where it is not one JSON object."""
    return from_mapping(parse_object(data))


def parse_object(data: bytes | str) -> dict[str, Any]:
    """One JSON object, without NaN, which Postgres could not keep. Raises ValueError."""
    text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"is a JSON {type(value).__name__}; it must be an object")
    return value


def clean(value: object) -> object:
    """A JSON value that Postgres keeps: without NUL characters and halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {str(clean(key)): clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value


def sidecars_of(names: list[str]) -> dict[str, list[str]]:
    """Of the files of one folder: picture to its own sidecars, the closest first.

    ``a.jpg`` has ``a.txt`` and ``a.json``, or ``a.jpg.txt`` and ``a.jpg.json``; ``a.mp4`` has
    ``a.json``, ``a.srt``, ``a.en.vtt`` and the like.
    """
    there = set(names)
    subtitles = [name for name in names if claim(name) == "subtitles"]
    found: dict[str, list[str]] = {}
    for name in names:
        kind = claim(name)
        if kind not in ("image", "video"):
            continue
        stem = str(PurePosixPath(name).with_suffix(""))
        ends = (".txt", ".json") if kind == "image" else (".json",)
        beside = [f"{base}{end}" for end in ends for base in (name, stem)]
        own = [candidate for candidate in beside if candidate in there]
        if kind == "video":
            own += [each for each in subtitles if each.startswith(f"{stem}.")]
        if own:
            found[name] = own
    return found


def _caption(text: str | None) -> str | None:
    return str(clean(text)).strip() or None if text is not None else None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"holds {name}, which is not JSON")
