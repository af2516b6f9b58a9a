"""Decide how the text of a page is read, and read it: layer, OCR, or both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pypdfium2
from PIL import Image

from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.image import OCR_PIXELS
from sightline.storage.ingest.decode.worker.pdf.page_text import TextLine
from sightline.storage.ingest.decode.worker.pdf.text_layer import (
    TextLayer,
    agreement,
    is_implausible,
    is_readable_script,
)
from sightline.storage.ingest.decode.worker.pdf.visibility import without_text
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.types import Box, Reading

_SCAN_SHARE = 0.5  # of the page, that pictures cover
_STAMP_CHARS = 200  # of text over a scan
_MIN_AGREEMENT = 0.4
_SAMPLE_CHARS = 400  # of a layer that is compared with the picture
_MAX_FIGURES = 12
_MIN_FIGURE_SHARE = 0.003  # of the page
_MIN_FIGURE_POINTS = 14
_FIGURE_DPI, _FIGURE_EDGE = 300, 2000
_SHEET_DPI = 150
_MAX_OVERLAP = 0.4  # of a line that OCR reads, with lines of the text layer
_WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


class _OcrRow(NamedTuple):
    """A line that OCR read; ``starts_row`` is None where only the boxes say it."""

    text: str
    box: Box
    score: float
    starts_row: bool | None = None


class _Result(NamedTuple):
    """What was read: lines of the layer and of OCR, and other parts to send."""

    reading: Reading | None
    lines: Sequence[TextLine] = ()
    rows: Sequence[_OcrRow] = ()
    parts: Sequence[messages.JobPart] = ()


@dataclass(slots=True)
class PageReader:
    """Reads the text of one page."""

    page: pypdfium2.PdfPage
    number: int
    image: Image.Image
    layer: TextLayer
    context: WorkerContext
    request: messages.DecodeRequest

    def parts(self) -> Iterator[messages.JobPart]:
        """Yield the lines of the page and the way it was read."""
        asset = self.number - 1
        uses_ocr = (
            self.context.ocr_engine is not None
            and self.request.ocr != "off"
            and asset not in self.request.skip_ocr
        )
        if uses_ocr:
            yield messages.OcrStarted(asset=asset)
            result = self._with_ocr()
        else:
            result = self._without_ocr()
            if result.reading == "garbled":
                reason = f"page {self.number}: the characters of its text have no meaning"
                advice = "add the file again with OCR to read it"
                yield messages.PartWarning(code="page_garbled", reason=f"{reason}; {advice}")
        if result.reading is not None:
            is_form = result.reading == "text layer" and self.layer.has_fields
            yield messages.AssetReading(asset, "form" if is_form else result.reading)
        if result.lines:
            lines = [(text, box, 1.0) for text, box in result.lines]
            yield from self.context.line_parts("page_text", asset, lines, self.number)
        if uses_ocr:
            rows = [row[:3] for row in result.rows]
            starts = [row.starts_row for row in result.rows if row.starts_row is not None]
            known = starts if len(starts) == len(rows) else None
            yield from self.context.line_parts("ocr", asset, rows, self.number, row_starts=known)
        yield from result.parts

    def _without_ocr(self) -> _Result:
        layer = self.layer
        if layer.is_garbled:
            return _Result("garbled")
        lines = layer.lines([*layer.shown, *layer.hidden])
        if layer.has_hidden_text and len(layer.hidden) > len(layer.shown):
            return _Result("hidden layer", lines)
        if layer.has_text:
            return _Result("text layer", lines)
        return _Result(None if layer.is_blank else "scan", lines)

    def _with_ocr(self) -> _Result:
        layer, always = self.layer, self.request.ocr == "on"
        if layer.is_blank and not always:
            return _Result(None)
        shown = [] if layer.is_garbled else layer.lines(layer.shown)
        text = " ".join(line.text for line in shown)
        reading: Reading = "garbled" if layer.is_garbled else "text layer"
        if shown and (always or is_implausible(text)) and not self._is_confirmed(shown):
            reading, shown = "garbled", []
        if layer.has_hidden_text and reading != "garbled":
            both = layer.lines([*layer.shown, *layer.hidden])
            if self._is_confirmed(layer.lines(layer.hidden)):
                shown = both
            else:
                reading = "hidden layer"
        if reading != "text layer" or always or not layer.has_text:
            return self._whole_page(reading, shown)
        if layer.objects.covered_share(layer.frame) >= _SCAN_SHARE:
            return self._whole_page(reading, shown)
        return self._figures(shown)

    def _is_confirmed(self, lines: Sequence[TextLine]) -> bool:
        """Return whether the picture shows a sample of these lines, by OCR."""
        sample = _sample(lines)
        text = " ".join(line.text for line in sample)
        if not is_readable_script(text):
            return True
        top = min(line.box[1] for line in sample)
        bottom = max(line.box[3] for line in sample)
        margin = 0.01
        band = (0.0, max(0.0, top - margin), 1.0, min(1.0, bottom + margin))
        rows, _ = self._read(self.image, band, always=True)
        return agreement(text, " ".join(row.text for row in rows)) >= _MIN_AGREEMENT

    def _whole_page(self, reading: Reading, shown: Sequence[TextLine]) -> _Result:
        image = without_text(self._whole_picture(), [line.box for line in shown])
        rows, parts = self._read(
            image, _WHOLE, always=self.request.ocr == "on" or reading != "text layer"
        )
        rows = _besides(rows, shown)
        if reading == "text layer" and (rows or not shown):
            is_scan = not shown or (
                sum(len(line.text) for line in shown) <= _STAMP_CHARS
                and self.layer.objects.covered_share(self.layer.frame) >= _SCAN_SHARE
            )
            reading = "scan" if is_scan else "figures"
        return _Result(None if self.layer.is_blank and not rows else reading, shown, rows, parts)

    def _figures(self, shown: Sequence[TextLine]) -> _Result:
        """Read the pictures of a page with a text layer."""
        boxes = self._figure_boxes()
        if len(boxes) > _MAX_FIGURES:
            return self._whole_page("text layer", shown)
        rows: list[_OcrRow] = []
        for box in boxes:
            figure = self._render(box)
            inside = [_within(line.box, box) for line in shown if _overlap(line.box, box)]
            read, _ = self._read(without_text(figure, inside), _WHOLE, always=False)
            rows += [row._replace(box=_outside(row.box, box)) for row in read]
        rows = _besides(rows, shown)
        return _Result("figures" if rows else "text layer", shown, rows)

    def _figure_boxes(self) -> list[Box]:
        frame = self.layer.frame
        boxes: list[Box] = []
        for picture in self.layer.objects.pictures:
            x0, y0, x1, y1 = picture.box
            share = (x1 - x0) * (y1 - y0) / (frame.width * frame.height)
            if share >= _MIN_FIGURE_SHARE and min(x1 - x0, y1 - y0) >= _MIN_FIGURE_POINTS:
                boxes.append(frame.normalized(picture.box))
        largest = sorted(boxes, key=lambda box: -_area(box))
        kept: list[Box] = []
        for box in largest:
            if not any(_overlap(box, other) > 0.8 * _area(box) for other in kept):
                kept.append(box)
        return sorted(kept, key=lambda box: (box[1], box[0]))

    def _whole_picture(self) -> Image.Image:
        """Return the page, of a large sheet with more pixels than are stored."""
        frame = self.layer.frame
        edge = (OCR_PIXELS / (frame.width * frame.height)) ** 0.5 * max(frame.width, frame.height)
        edge = min(edge, _SHEET_DPI / 72 * max(frame.width, frame.height))
        if edge < 1.3 * max(self.image.size):
            return self.image
        with self.context.timed("render"):
            scale = edge / max(frame.width, frame.height)
            image: Image.Image = self.page.render(scale=scale).to_pil()
            return image.convert("RGB")

    def _render(self, box: Box) -> Image.Image:
        """Return a part of the page, sharp enough to read small print."""
        frame = self.layer.frame
        x0, y0, x1, y1 = box
        width, height = (x1 - x0) * frame.width, (y1 - y0) * frame.height
        scale = min(_FIGURE_DPI / 72, _FIGURE_EDGE / max(width, height))
        crop = (
            x0 * frame.width,
            (1 - y1) * frame.height,
            (1 - x1) * frame.width,
            y0 * frame.height,
        )
        image: Image.Image = self.page.render(scale=scale, crop=crop).to_pil()
        return image.convert("RGB")

    def _read(
        self, image: Image.Image, box: Box, *, always: bool
    ) -> tuple[list[_OcrRow], list[messages.JobPart]]:
        """Read a part of a picture; boxes are of the whole. Also return its warnings."""
        width, height = image.size
        if box != _WHOLE:
            edges = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
            image = image.crop(tuple(round(each) for each in edges))  # type: ignore[arg-type]
        request = self.request._replace(ocr="on" if always else "auto", tiles=False)
        rows: list[_OcrRow] = []
        parts: list[messages.JobPart] = []
        for part in self.context.region_parts(image, request, self.number - 1, page=self.number):
            if isinstance(part, messages.TextLines):
                starts: Sequence[bool | None] = part.row_starts or [None] * len(part.lines)
                rows += [
                    _OcrRow(text, _outside(each, box), score, start)
                    for (text, each, score), start in zip(part.lines, starts, strict=True)
                ]
            elif not isinstance(part, messages.OcrStarted):
                parts.append(part)
        return rows, parts


def _sample(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return neighboring lines from the middle of some length."""
    ordered = sorted(lines, key=lambda line: line.box[1])
    start = end = len(ordered) // 2
    count = 0
    while count < _SAMPLE_CHARS and (start > 0 or end < len(ordered)):
        if end < len(ordered):
            count += len(ordered[end].text)
            end += 1
        if start > 0 and count < _SAMPLE_CHARS:
            start -= 1
            count += len(ordered[start].text)
    return ordered[start:end]


def _besides(rows: Sequence[_OcrRow], lines: Sequence[TextLine]) -> list[_OcrRow]:
    """Return the lines that OCR read where the text layer has none."""
    kept: list[_OcrRow] = []
    starts_row = False
    for row in rows:
        starts_row = starts_row or row.starts_row is True
        if sum(_overlap(row.box, line.box) for line in lines) <= _MAX_OVERLAP * _area(row.box):
            # Where the first line of a row is left out, the next one starts it.
            kept.append(row._replace(starts_row=starts_row) if row.starts_row is not None else row)
            starts_row = False
    return kept


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _within(box: Box, part: Box) -> Box:
    """Convert a box of the page to one of a part of it."""
    x0, y0, x1, y1 = part
    width, height = x1 - x0, y1 - y0
    return (
        (box[0] - x0) / width,
        (box[1] - y0) / height,
        (box[2] - x0) / width,
        (box[3] - y0) / height,
    )


def _outside(box: Box, part: Box) -> Box:
    """Convert a box of a part of the page to one of the page."""
    x0, y0, x1, y1 = part
    width, height = x1 - x0, y1 - y0
    return (
        x0 + box[0] * width,
        y0 + box[1] * height,
        x0 + box[2] * width,
        y0 + box[3] * height,
    )
