"""The text of a web page that a person would see."""

from __future__ import annotations

import re
import warnings

from bs4 import BeautifulSoup
from bs4.builder import ParserRejectedMarkup
from bs4.element import Comment, Doctype, NavigableString, ProcessingInstruction, Tag

from sightline.storage.errors import MediaError

_UNSEEN = ("script", "style", "template", "noscript", "head", "svg", "math", "iframe", "object")
_BLOCKS = re.compile(
    r"^(?:address|article|aside|blockquote|body|br|dd|div|dl|dt|fieldset|figcaption|figure|footer|"
    r"form|h[1-6]|header|hr|li|main|nav|ol|p|pre|section|table|tbody|td|th|thead|tr|ul)$"
)
_DEEPEST = 400


def visible_text(html: str) -> str:
    """Paragraphs and cells on lines of their own; scripts, styles and what is hidden are dropped.

    The title comes first. Raises MediaError ``empty`` and, for a page that is nested deeper than
    any real one, ``broken``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "this looks like a file name", and so on
            page = BeautifulSoup(html, "html.parser")
        title = page.title.get_text(" ", strip=True) if page.title else ""
        pieces: list[str] = [title, "\n"]
        _gather(page, pieces, 0)
    except RecursionError:
        raise MediaError("broken", "is nested too deeply") from None
    except ParserRejectedMarkup as error:
        raise MediaError("broken", f"cannot be read: {error}") from error
    lines = (" ".join(line.split()) for line in "".join(pieces).split("\n"))
    text = "\n".join(line for line in lines if line)
    if not text:
        raise MediaError("empty", "holds no visible text")
    return text


def _gather(tag: Tag, pieces: list[str], depth: int) -> None:
    if depth > _DEEPEST:
        raise RecursionError
    for child in tag.children:
        if isinstance(child, Tag):
            if child.name in _UNSEEN or _hidden(child):
                continue
            edge = "\n" if _BLOCKS.match(child.name) else ""
            pieces.append(edge)
            _gather(child, pieces, depth + 1)
            pieces.append(edge)
        elif isinstance(child, NavigableString) and not isinstance(
            child, Comment | Doctype | ProcessingInstruction
        ):
            pieces.append(re.sub(r"\s+", " ", child))


def _hidden(tag: Tag) -> bool:
    style = str(tag.get("style", "")).replace(" ", "").lower()
    return tag.has_attr("hidden") or "display:none" in style or "visibility:hidden" in style
