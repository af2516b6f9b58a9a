"""Parts of PDF pages are rendered from the document, sharp at any size."""

from __future__ import annotations

import io

import numpy as np
import pypdfium2
import pytest
from PIL import Image
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.pdf.pages import render_page_part
from tests.support.media import pdf

A_PART = (0.1, 0.1, 0.4, 0.2)


def small_print(canvas: Canvas) -> None:
    canvas.setFont("Helvetica", 4)
    for row in range(0, 590, 8):
        canvas.drawString(10, row, f"Clause {row} of the terms applies to goods " * 6)


def whole_page(data: bytes, scale: float) -> Image.Image:
    return pypdfium2.PdfDocument(data)[0].render(scale=scale).to_pil().convert("RGB")


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("crop", [A_PART, (0.0, 0.0, 1.0, 1.0), (0.7, 0.01, 1.0, 0.99)])
def test_a_part_is_that_of_the_page_at_a_higher_resolution(
    rotation: int, crop: tuple[float, float, float, float]
) -> None:
    document = pypdfium2.PdfDocument(pdf(small_print))
    document[0].set_rotation(rotation)
    file = io.BytesIO()
    document.save(file)
    part = render_page_part(file.getvalue(), 1, crop, 900)
    width, height = document[0].get_size()
    scale = 900 / max((crop[2] - crop[0]) * width, (crop[3] - crop[1]) * height)
    page = whole_page(file.getvalue(), scale)
    box = [round(side * edge) for side, edge in zip(crop, page.size * 2, strict=True)]
    expected = page.crop((box[0], box[1], box[0] + part.width, box[1] + part.height))
    difference = np.abs(np.asarray(part, dtype=int) - np.asarray(expected, dtype=int))
    assert max(part.size) == pytest.approx(900, abs=2)
    # A pixel more or less at an edge moves all text by one.
    assert difference.mean() < 25
    assert np.asarray(part).std() > 40


def test_a_part_is_sharper_than_the_enlarged_page() -> None:
    data = pdf(small_print)
    part = render_page_part(data, 1, A_PART, 1200)
    page = whole_page(data, 150 / 72)
    box = [round(side * edge) for side, edge in zip(A_PART, page.size * 2, strict=True)]
    enlarged = page.crop(tuple(box)).resize(part.size, Image.Resampling.LANCZOS)  # type: ignore[arg-type]
    assert sharpness(part) > 3 * sharpness(enlarged)


def sharpness(image: Image.Image) -> float:
    gray = np.asarray(image.convert("L"), dtype=float)
    return float(np.abs(np.diff(gray, axis=1)).max(axis=1).mean()) * float(
        (np.abs(np.diff(gray, axis=1)) > 60).mean()
    )


def test_a_part_of_an_encrypted_page_is_rendered_with_its_password() -> None:
    data = pdf(small_print, encrypt=StandardEncryption("secret"))
    assert max(render_page_part(data, 1, A_PART, 300, ("other", "secret")).size) == 300


def test_a_sliver_of_a_page_is_rendered_too() -> None:
    assert render_page_part(pdf(small_print), 1, (0.0, 0.0, 1.0, 1e-9), 300).size == (300, 1)


def test_an_extremely_small_part_is_limited_to_what_can_be_counted() -> None:
    data = pdf(lambda canvas: canvas.rect(0, 0, 600, 600, fill=1))
    part = render_page_part(data, 1, (0.5, 0.5, 0.5 + 1e-9, 0.5 + 1e-9), 800)
    assert part.size == (1, 1)
    assert part.getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("data", "page", "code"),
    [
        (pdf(small_print), 2, "broken"),
        (pdf(small_print), 0, "broken"),
        (b"%PDF-1.7 and nothing else", 1, "broken"),
        (pdf(small_print, encrypt=StandardEncryption("secret")), 1, "encrypted"),
    ],
)
def test_a_page_that_cannot_be_rendered_is_an_error(data: bytes, page: int, code: str) -> None:
    with pytest.raises(MediaError) as raised:
        render_page_part(data, page, A_PART, 300)
    assert raised.value.code == code
