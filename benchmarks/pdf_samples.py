"""Write PDF documents with the layouts and producers that people have.

    python -m benchmarks pdf_samples -- FOLDER

LibreOffice, Chromium and LaTeX write their documents only where they are installed; reportlab
writes the others. The texts are made of real sentences and words, the same in every run.
"""

from __future__ import annotations

import argparse
import io
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pypdfium2
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph, Spacer, Table
from reportlab.platypus.flowables import Flowable

_WORDS = """
    bracket hydraulic pressure valve transmission efficient office final offer bearing housing
    temperature measurement customer delivery invoice warranty coolant surface tension friction
    conductor isolation voltage current resistance maintenance interval schedule operator manual
    emergency switch sensor calibration tolerance drawing revision assembly fastener torque
    lubricant viscosity filter cartridge replacement inspection certificate standard regulation
    environment disposal recycling packaging transport storage humidity corrosion coating paint
    the a of and to in is with for by on at from that which must can should before after
""".split()  # noqa: SIM905
_GERMAN = """
    Die Überprüfung der hydraulischen Getriebeübersetzung erfolgt gemäß Wartungshandbuch jährlich
    Größe Maßstab Straße Prüfbericht Anlagenführer Sicherheitsschalter müssen während des Betriebs
    geschlossen bleiben und dürfen nur durch Fachpersonal geöffnet werden
""".split()  # noqa: SIM905
_CHINESE = (
    "本手册介绍散热器的安装方法。使用前请仔细阅读全部内容，并妥善保管以备查阅。安装时须切断电源。"
)
_ARABIC = "يجب قراءة دليل الاستخدام بعناية قبل تشغيل الجهاز والاحتفاظ به للرجوع إليه لاحقا"
_HEBREW = "יש לקרוא את המדריך בעיון לפני הפעלת המכשיר ולשמור אותו לעיון בעתיד"
_TOOL_SECONDS = 180


class Writer:
    """Makes texts and tables from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def sentence(self, words: Sequence[str] = _WORDS) -> str:
        count = self.random.randint(7, 18)
        text = " ".join(self.random.choices(words, k=count))
        number = f" {self.random.randint(1, 99)}.{self.random.randint(0, 9)} mm"
        return text[0].upper() + text[1:] + (number if self.random.random() < 0.3 else "") + "."

    def paragraph(self, sentences: int = 5, words: Sequence[str] = _WORDS) -> str:
        return " ".join(self.sentence(words) for _ in range(sentences))

    def rows(self, count: int, columns: int) -> list[list[str]]:
        """Return a table: a heading, then texts and numbers."""
        heading = ["Item", "Description", "Quantity", "Price", "Total", "Note"][:columns]
        return [heading] + [
            [
                str(number + 1),
                " ".join(self.random.choices(_WORDS, k=3)),
                str(self.random.randint(1, 40)),
                f"{self.random.uniform(1, 900):,.2f}",
                f"{self.random.uniform(1, 9000):,.2f}",
                self.random.choice(["yes", "no", "on request"]),
            ][:columns]
            for number in range(count)
        ]


def html_pages(write: Writer) -> dict[str, str]:
    """Return web pages by the name of their layout."""

    def paragraphs(count: int, words: Sequence[str] = _WORDS) -> str:
        return "".join(f"<p>{write.paragraph(words=words)}</p>" for _ in range(count))

    def table(border: bool, count: int = 24, columns: int = 6) -> str:
        rows = "".join(
            "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
            for row in write.rows(count, columns)
        )
        style = "border='1' cellspacing='0' cellpadding='3'" if border else "width='100%'"
        return f"<table {style}>{rows}</table>"

    def columns(count: int) -> str:
        style = f"columns: {count}; text-align: justify; hyphens: auto"
        return f"<div style='{style}'>{paragraphs(12)}</div>"

    return {
        "plain": "<h1>Operating manual</h1>" + paragraphs(8),
        "german": "<h1>Wartungshandbuch</h1>" + paragraphs(8, _GERMAN),
        "two-columns": f"<h1>Report</h1>{columns(2)}",
        "three-columns": f"<h1>News</h1>{columns(3)}",
        "table": f"<h1>Order 4711</h1>{paragraphs(1)}{table(True)}{paragraphs(1)}",
        "table-plain": f"<h1>Order 4712</h1>{paragraphs(1)}{table(False)}{paragraphs(1)}",
        "spaced": "<h1 style='letter-spacing: 0.3em'>BEAUTIFUL BRACKETS</h1>"
        f"<h2 style='letter-spacing: 0.15em'>Hydraulic transmission</h2>{paragraphs(6)}",
        "tight": "<div style='letter-spacing: -0.02em; word-spacing: -0.08em'>"
        f"{paragraphs(7)}</div>",
        "sidebar": "<div style='display: grid; grid-template-columns: 1fr 3fr; gap: 2em'>"
        f"<div style='background: #ddd'><ul>{'<li>valve <li>filter <li>torque' * 4}</ul></div>"
        f"<div><h1>Guide</h1>{paragraphs(6)}</div></div>",
        "lists": "<h1>Steps</h1><ol>"
        + "".join(f"<li>{write.sentence()}<ul><li>{write.sentence()}</ul>" for _ in range(12))
        + "</ol>",
        "chinese": f"<h1>安装手册</h1>{'<p>' + _CHINESE * 6 + '</p>'}" + f"<p>{_CHINESE * 5}</p>",
        "arabic": f"<div dir='rtl'>{('<p>' + (_ARABIC + '. ') * 5 + '</p>') * 4}</div>",
        "hebrew": f"<div dir='rtl'>{('<p>' + (_HEBREW + '. ') * 5 + '</p>') * 4}</div>",
        "small": f"<div style='font-size: 7pt; line-height: 1.05'>{paragraphs(16)}</div>",
        "invoice": "<div style='display: flex; justify-content: space-between'><div>ACME Tools"
        "<br>1 Harbor Road<br>Rotterdam</div><div>Invoice 2031<br>3 May 2024<br>Customer 88"
        f"</div></div><br>{table(True, 10)}<p style='text-align: right'>Total 4,711.00</p>",
    }


def write_html_documents(folder: Path, write: Writer) -> None:
    pages = html_pages(write)
    style = "<style>body { font-family: Liberation Serif, DejaVu Sans, Noto Sans CJK SC }</style>"
    with tempfile.TemporaryDirectory() as temporary:
        for name, body in pages.items():
            path = Path(temporary) / f"{name}.html"
            text = f"<html lang='en'><meta charset='utf-8'>{style}<body>{body}</body></html>"
            path.write_text(text, encoding="utf-8")
        files = sorted(Path(temporary).glob("*.html"))
        if chromium := shutil.which("chromium"):
            for path in files:
                target = folder / f"chromium-{path.stem}.pdf"
                _run(
                    *(chromium, "--headless", "--no-sandbox", "--disable-gpu"),
                    *("--no-pdf-header-footer", f"--print-to-pdf={target}", path.as_uri()),
                )
        if soffice := shutil.which("soffice"):
            output = Path(temporary) / "out"
            profile = f"-env:UserInstallation=file://{temporary}/profile"
            kind = "pdf:writer_web_pdf_Export"
            _run(soffice, profile, "--headless", "--convert-to", kind, "--outdir", output, *files)
            for path in output.glob("*.pdf"):
                shutil.copy(path, folder / f"libreoffice-{path.name}")


def write_open_document(folder: Path, write: Writer) -> None:
    """Write a text document with two and three columns, through LibreOffice."""
    soffice = shutil.which("soffice")
    if soffice is None:
        return
    namespaces = "".join(
        f' xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for prefix, name in (
            ("office", "office"), ("text", "text"), ("style", "style"), ("fo", "xsl-fo-compatible"),
        )
    )  # fmt: skip
    styles = "".join(
        f'<style:style style:name="C{count}" style:family="section"><style:section-properties>'
        f'<style:columns fo:column-count="{count}" fo:column-gap="0.5cm"/>'
        "</style:section-properties></style:style>"
        for count in (2, 3)
    )
    sections = "".join(
        f'<text:section text:style-name="C{count}" text:name="S{count}">'
        + "".join(f"<text:p>{write.paragraph(4)}</text:p>" for _ in range(7))
        + "</text:section>"
        for count in (2, 3)
    )
    document = (
        f'<?xml version="1.0"?><office:document{namespaces} office:version="1.2" '
        'office:mimetype="application/vnd.oasis.opendocument.text"><office:automatic-styles>'
        f"{styles}</office:automatic-styles><office:body><office:text>{sections}</office:text>"
        "</office:body></office:document>"
    )
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "libreoffice-columns.fodt"
        path.write_text(document, encoding="utf-8")
        profile = f"-env:UserInstallation=file://{temporary}/profile"
        _run(soffice, profile, "--headless", "--convert-to", "pdf", "--outdir", folder, path)


def write_latex_documents(folder: Path, write: Writer) -> None:
    pdflatex = shutil.which("pdflatex")
    if pdflatex is None:
        return

    def text(count: int, words: Sequence[str] = _WORDS) -> str:
        return "\n\n".join(write.paragraph(words=words) for _ in range(count))

    rows = r" \\ ".join(" & ".join(row) for row in write.rows(25, 5))
    formula = r"\[ \sigma = \frac{F}{A} + \sum_{i=1}^{n} x_i^2 \]"
    bodies = {
        "article": rf"\section{{Introduction}}{text(5)}{formula}{text(5)}\footnote{{{text(1)}}}",
        "german": rf"\section{{Wartung}}{text(9, _GERMAN)}",
        "multicol": rf"\begin{{multicols}}{{3}}{text(14)}\end{{multicols}}",
        "table": rf"{text(2)}\begin{{center}}\begin{{tabular}}{{llrrr}}{rows}\end{{tabular}}"
        rf"\end{{center}}{text(1)}",
        "spaced": rf"\textls[250]{{BEAUTIFUL TRANSMISSION}}\par {text(5)}",
    }
    with tempfile.TemporaryDirectory() as temporary:
        for name, body in [*bodies.items(), ("twocolumn", bodies["article"])]:
            option = "twocolumn" if name == "twocolumn" else "a4paper"
            path = Path(temporary) / f"latex-{name}.tex"
            path.write_text(
                rf"\documentclass[{option}]{{article}}\usepackage[utf8]{{inputenc}}"
                r"\usepackage{multicol,microtype}\begin{document}"
                rf"{body}\end{{document}}",
                encoding="utf-8",
            )
            _run(pdflatex, "-interaction=batchmode", f"-output-directory={temporary}", path)
        for path in Path(temporary).glob("*.pdf"):
            shutil.copy(path, folder)


def write_reportlab_documents(folder: Path, write: Writer) -> None:
    style = getSampleStyleSheet()["Normal"]
    justified = ParagraphStyle("justified", parent=style, alignment=4, fontSize=9, leading=11)

    def story(count: int, of: ParagraphStyle = style) -> list[Flowable]:
        return [
            part for _ in range(count) for part in (Paragraph(write.paragraph(), of), Spacer(1, 8))
        ]

    for columns in (1, 2, 3):
        _flow(folder / f"reportlab-columns-{columns}.pdf", columns, story(20, justified))
    grid = [("GRID", (0, 0), (-1, -1), 0.5, colors.black)]
    for name, lines in (("grid", grid), ("no-lines", [])):
        table = Table(write.rows(30, 6), style=lines)
        _flow(folder / f"reportlab-table-{name}.pdf", 1, [*story(1), table, *story(2)])
    cells = [[Paragraph(write.sentence(), justified) for _ in range(4)] for _ in range(9)]
    _flow(folder / "reportlab-table-cells.pdf", 1, [Table(cells, style=grid), *story(1)])
    _flow(folder / "reportlab-landscape.pdf", 2, story(9), landscape(A4))
    rotated = pypdfium2.PdfDocument(folder / "reportlab-landscape.pdf")
    for index, page in enumerate(rotated):
        page.set_rotation((90, 270, 180)[index % 3])
    rotated.save(folder / "reportlab-rotated.pdf")
    for name, draw in {
        "interleaved": _interleaved,
        "sideways": _sideways,
        "letters": _letters,
        "form": _form,
        "scan": _scan_with_layer,
    }.items():
        canvas = Canvas(str(folder / f"reportlab-{name}.pdf"), pagesize=A4)
        draw(canvas, write)
        canvas.save()


def _flow(path: Path, columns: int, story: list[Flowable], size: tuple[float, float] = A4) -> None:
    margin, gap = 50, 18
    width = (size[0] - 2 * margin - (columns - 1) * gap) / columns
    frames = [
        Frame(margin + index * (width + gap), margin, width, size[1] - 2 * margin, 0, 0, 0, 0)
        for index in range(columns)
    ]
    document = BaseDocTemplate(str(path), pagesize=size)
    document.addPageTemplates(PageTemplate(frames=frames))
    document.build(story)


def _interleaved(canvas: Canvas, write: Writer) -> None:
    """Two columns that the file writes line by line."""
    left, right = (_lines(write, 40, 52) for _ in range(2))
    canvas.setFont("Helvetica", 9)
    for row, (one, two) in enumerate(zip(left, right, strict=True)):
        canvas.drawString(50, 780 - 12 * row, one)
        canvas.drawString(320, 780 - 12 * row, two)


def _sideways(canvas: Canvas, write: Writer) -> None:
    """A table across the page, turned by 90 degrees, and a normal footer."""
    canvas.saveState()
    canvas.rotate(90)
    canvas.setFont("Times-Roman", 10)
    for row, cells in enumerate(write.rows(30, 6)):
        for column, cell in enumerate(cells):
            canvas.drawString(60 + 120 * column, -60 - 14 * row, cell)
    canvas.restoreState()
    canvas.drawString(50, 30, "Page 12 of the annual report")


def _letters(canvas: Canvas, write: Writer) -> None:
    """Every letter is placed on its own, as some editors do, without spaces."""
    for row, line in enumerate(_lines(write, 45, 85)):
        at = 50.0
        for letter in line:
            if letter != " ":
                canvas.setFont("Times-Roman", 10)
                canvas.drawString(at, 780 - 13 * row, letter)
            at += canvas.stringWidth(letter, "Times-Roman", 10)


def _form(canvas: Canvas, write: Writer) -> None:
    canvas.drawString(50, 800, "Application for a license")
    for row in range(12):
        label = " ".join(write.random.choices(_WORDS, k=2))
        canvas.drawString(50, 760 - 40 * row, label)
        canvas.acroForm.textfield(
            name=f"field {row}", x=220, y=750 - 40 * row, width=250, height=22,
            value=" ".join(write.random.choices(_WORDS, k=3)),
        )  # fmt: skip
        canvas.acroForm.checkbox(name=f"box {row}", x=500, y=750 - 40 * row, checked=row % 2 == 0)


def _scan_with_layer(canvas: Canvas, write: Writer) -> None:
    """A picture of a page with a right invisible text layer, as OCR programs write it."""
    image = Image.new("L", (1240, 1754), 255)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(26)
    lines = _lines(write, 40, 80)
    for row, line in enumerate(lines):
        draw.text((100, 120 + 38 * row), line, 0, font=font)
    canvas.drawImage(ImageReader(image), 0, 0, *A4)
    scale = A4[0] / 1240
    for row, line in enumerate(lines):
        text = canvas.beginText(100 * scale, A4[1] - (145 + 38 * row) * scale)
        text.setFont("Helvetica", 26 * scale)
        text.setTextRenderMode(3)
        width = canvas.stringWidth(line, "Helvetica", 26 * scale)
        text.setHorizScale(100 * draw.textlength(line, font=font) * scale / width)
        text.textOut(line)
        canvas.drawText(text)


def _lines(write: Writer, count: int, chars: int) -> list[str]:
    lines, line = [], ""
    while len(lines) < count:
        word = write.random.choice(_WORDS)
        if len(line) + len(word) >= chars:
            lines.append(line.strip())
            line = ""
        line += f" {word}"
    return lines


def _run(*command: object) -> None:
    subprocess.run(
        [str(each) for each in command],
        check=False,
        timeout=_TOOL_SECONDS,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def write_samples(folder: Path) -> None:
    """Write about 100 pages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    producers: tuple[Callable[[Path, Writer], None], ...] = (
        write_reportlab_documents,
        write_latex_documents,
        write_open_document,
        write_html_documents,
    )
    for seed, produce in enumerate(producers):
        produce(folder, Writer(seed))


async def main(arguments: Sequence[str]) -> None:
    """Write the samples and print their number of pages."""
    parser = argparse.ArgumentParser(prog="benchmarks pdf_samples", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    write_samples(folder)
    files = sorted(folder.glob("*.pdf"))
    pages = sum(len(pypdfium2.PdfDocument(io.BytesIO(each.read_bytes()))) for each in files)
    print(f"{len(files)} documents, {pages} pages in {folder}")
