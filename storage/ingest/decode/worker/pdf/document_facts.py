"""Read what a PDF says about itself: title, author, subject and outline."""

from __future__ import annotations

from itertools import islice

import pypdfium2

from sightline.storage.ingest.metadata.embedded_metadata import (
    MAX_DESCRIPTION_CHARS,
    EmbeddedMetadata,
    split_keywords,
)

_MAX_HEADINGS = 1_000
_MAX_HEADING_CHARS = 300
# That programs write where nobody gave a value.
_PLACEHOLDERS = {"", "untitled", "anonymous", "unspecified", "(anonymous)", "(unspecified)"}


def read_facts(document: pypdfium2.PdfDocument) -> EmbeddedMetadata:
    """Return the metadata of a document; its outline is part of the description."""
    facts = document.get_metadata_dict(skip_empty=True)
    title = _value(facts.get("Title"))
    headings = islice(document.get_toc(), _MAX_HEADINGS)
    lines = [_value(facts.get("Subject")), *(_line(each.get_title()) for each in headings)]
    description = "\n".join(filter(None, lines))
    return EmbeddedMetadata(
        title=title.removeprefix("Microsoft Word - ") if title else None,
        description=description[:MAX_DESCRIPTION_CHARS] or None,
        keywords=split_keywords(_value(facts.get("Keywords"))),
        author=_value(facts.get("Author")),
    )


def _line(text: str) -> str:
    return " ".join(text.split())[:_MAX_HEADING_CHARS]


def _value(text: str | None) -> str | None:
    text = (text or "").strip()
    return None if text.casefold() in _PLACEHOLDERS else text
