"""Read what people add to a page: values of form fields, and comments."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium

from sightline.storage.ingest.decode.worker.pdf.characters import Character, PageFrame
from sightline.storage.types import Box

_MAX_ANNOTATIONS = 2_000  # of a page
_MAX_TEXT_BYTES = 64 << 10
_PASSWORD_FLAG = 1 << 13
_HIDDEN_FLAGS = pdfium.FPDF_ANNOT_FLAG_HIDDEN | pdfium.FPDF_ANNOT_FLAG_NOVIEW
_NO_COMMENTS = (pdfium.FPDF_ANNOT_POPUP, pdfium.FPDF_ANNOT_LINK, pdfium.FPDF_ANNOT_WIDGET)
_BOXES = (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON)
_VALUES = (
    pdfium.FPDF_FORMFIELD_TEXTFIELD,
    pdfium.FPDF_FORMFIELD_COMBOBOX,
    pdfium.FPDF_FORMFIELD_LISTBOX,
)
_TICK = "[x]"
_LINE_SHARE, _MAX_SIZE = 0.75, 12.0  # size of letters in a field
_BASELINE = 0.25


class PageNote(NamedTuple):
    """A comment or a filled field, with its box in points as shown.

    ``value`` is what a field shows; empty for a comment.
    """

    text: str
    box: Box
    value: str = ""


def read_notes(
    document: pypdfium2.PdfDocument, page: pypdfium2.PdfPage, frame: PageFrame
) -> Iterator[PageNote]:
    """Yield the comments and the filled form fields of a page, at most 2,000.

    Passwords are left out, and what is not shown.
    """
    form = document.formenv.raw if document.formenv is not None else None
    for index in range(min(pdfium.FPDFPage_GetAnnotCount(page.raw), _MAX_ANNOTATIONS)):
        annotation = pdfium.FPDFPage_GetAnnot(page.raw, index)
        if not annotation:
            continue
        try:
            note = _read_note(annotation, form, frame)
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)
        if note is not None:
            yield note


def characters_of(note: PageNote) -> Iterator[Character]:
    """Yield the value of a field as if it were written on the page, line by line."""
    x0, y0, x1, y1 = note.box
    lines = [line for line in note.value.splitlines() if line.strip()]
    height = (y1 - y0) / max(1, len(lines))
    size = min(_MAX_SIZE, max(1.0, _LINE_SHARE * height))
    for number, line in enumerate(lines):
        bottom = y0 + (number + 1) * height
        box = (x0, bottom - height, x1, bottom)
        y = bottom - max(_BASELINE * size, (height - size) / 2 + _BASELINE * size)
        yield Character(
            line.strip(), box, x0, y, size, "right", -1, breaks=True, invisible=False, unknown=False
        )


def _read_note(annotation: object, form: object | None, frame: PageFrame) -> PageNote | None:
    if pdfium.FPDFAnnot_GetFlags(annotation) & _HIDDEN_FLAGS:
        return None
    rect = pdfium.FS_RECTF()
    if not pdfium.FPDFAnnot_GetRect(annotation, ctypes.byref(rect)):
        return None
    box = frame.box(rect.left, rect.bottom, rect.right, rect.top)
    middle_x, middle_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    if not (0 <= middle_x <= frame.width and 0 <= middle_y <= frame.height):
        return None
    kind = pdfium.FPDFAnnot_GetSubtype(annotation)
    if kind == pdfium.FPDF_ANNOT_WIDGET:
        return _field(annotation, form, box) if form is not None else None
    if kind in _NO_COMMENTS:
        return None
    text = _string(annotation, b"Contents")
    author = _string(annotation, b"T")
    return PageNote(f"{author}: {text}" if author else text, box) if text else None


def _field(annotation: object, form: object, box: Box) -> PageNote | None:
    kind = pdfium.FPDFAnnot_GetFormFieldType(form, annotation)
    if pdfium.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD_FLAG:
        return None
    name = _text(pdfium.FPDFAnnot_GetFormFieldAlternateName, form, annotation)
    name = name or _text(pdfium.FPDFAnnot_GetFormFieldName, form, annotation)
    if kind in _BOXES:
        if not pdfium.FPDFAnnot_IsChecked(form, annotation):
            return None
        value = _text(pdfium.FPDFAnnot_GetFormFieldExportValue, form, annotation)
        return PageNote(f"{name}: {value or 'yes'} {_TICK}", box, _TICK)
    if kind not in _VALUES:
        return None
    value = _text(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)
    return PageNote(f"{name}: {value}" if name else value, box, value) if value else None


def _text(get: Callable[..., int], form: object, annotation: object) -> str:
    return _decoded(lambda buffer, size: get(form, annotation, buffer, size))


def _string(annotation: object, key: bytes) -> str:
    return _decoded(
        lambda buffer, size: pdfium.FPDFAnnot_GetStringValue(annotation, key, buffer, size)
    )


def _decoded(get: Callable[[object, int], int]) -> str:
    """Return a text that a function writes as UTF-16, empty if it is too long."""
    size = get(None, 0)
    if not 2 < size <= _MAX_TEXT_BYTES:
        return ""
    buffer = (ctypes.c_ushort * (size // 2 + 1))()
    get(buffer, size)
    text = bytes(buffer)[: size // 2 * 2].decode("utf-16-le", "replace")
    return text.split("\0", 1)[0].replace("\r\n", "\n").replace("\r", "\n").strip()
