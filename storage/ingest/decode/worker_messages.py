"""Check the text that a worker sends, and make drafts of it."""

from __future__ import annotations

import json

import numpy as np

from sightline.storage.ingest.decode.worker.worker_protocol import Header, ProtocolError
from sightline.storage.ingest.discover.sidecars import clean
from sightline.storage.ingest.embed.ocr_layout import blocks, proper_box
from sightline.storage.ingest.ingest_items import PassageDraft, RegionDraft, Work
from sightline.storage.interfaces import OcrLine
from sightline.storage.types import PassageKind

# What a worker may send, by what it calls it.
_SENT: dict[str, PassageKind] = {"row": "row", "subtitle": "subtitle"}
_STANDING: dict[str, PassageKind] = {"ocr": "ocr", "page_text": "page_text"}


def add_passages(work: Work, header: Header, blob: bytes) -> None:
    """Rows of a table or subtitles. Raises ProtocolError."""
    try:
        kind = _SENT[header["kind"]]
        for said in json.loads(blob):
            chars, seconds = said.get("chars"), said.get("seconds")
            work.passages.append(
                PassageDraft(
                    kind,
                    len(work.passages),
                    str(clean(said["text"])),
                    start_seconds=None if seconds is None else max(0.0, float(seconds[0])),
                    end_seconds=None if seconds is None else max(0.0, float(seconds[1])),
                    char_start=None if chars is None else int(chars[0]),
                    char_end=None if chars is None else int(chars[1]),
                )
            )
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise ProtocolError(f"not passages: {error}") from error


def tile_of(header: Header, pixels: bytes) -> RegionDraft:
    """A part of a picture. Raises ProtocolError."""
    try:
        height, width, channels = map(int, header["shape"])
        return RegionDraft(
            "tile",
            int(header["on"]),
            int(header["ordinal"]),
            proper_box(header["box"]),
            pixels=np.frombuffer(pixels, np.uint8).reshape(height, width, channels),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ProtocolError(f"not a tile: {error}") from error


def add_lines(work: Work, header: Header) -> None:
    """Lines of one picture: what was read in it also becomes regions, so that words have a place.

    Raises ProtocolError: the header comes from a process that has read hostile bytes.
    """
    try:
        kind = _STANDING[header["kind"]]
        on = int(header["on"])
        page, start = header.get("page"), header.get("start")
        lines = [
            OcrLine(str(clean(str(text))), proper_box(box), min(max(float(confidence), 0.0), 1.0))
            for text, box, confidence in header["lines"]
        ]
    except (KeyError, ValueError, TypeError) as error:
        raise ProtocolError(f"not lines: {error}") from error
    lines = [line for line in lines if line.text.strip()]
    if kind == "ocr":
        work.regions += [
            RegionDraft("ocr_line", on, number, line.box, line.text, line.confidence)
            for number, line in enumerate(lines)
        ]
    for block in blocks(lines, paragraphs=kind == "page_text"):
        work.passages.append(
            PassageDraft(
                kind,
                len(work.passages),
                block.text,
                on_asset=on,
                page=None if page is None else int(page),
                start_seconds=None if start is None else float(start),
                box=block.box,
                confidence=block.confidence if kind == "ocr" else None,
            )
        )
