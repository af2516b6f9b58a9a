"""A folder of all file types, some broken, from ingest to the tools."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from reportlab.pdfgen.canvas import Canvas

from sightline.server.models.ocr.rapid_ocr import load_ocr_engine
from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.ingest.discover.input_paths import InputPath
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.ingest.progress import IngestSummary
from tests.support.encoders import ColorHistogramEncoder
from tests.support.media import BLUE, GREEN, RED, film, pdf, sign
from tests.support.sample_images import fill
from tests.support.scripted_vlm import scripted
from tests.tools.toolbox import ToolEnvironment, is_near_color

SRT = "1\n00:00:02,500 --> 00:00:03,500\nThe harbour crane is lifted now.\n"
BROKEN = {
    "all/broken.jpg": "not_an_image",
    "all/broken.mp4": "broken",
    "all/broken.pdf": "broken",
    "all/broken.jsonl": "broken",
    "all/broken.html": "empty",
    "all/broken.csv": "not_text",
    "all/broken.md": "not_text",
    "all/talk.srt": "not_text",
    "all/broken.zip": "archive_broken",
    "all/empty.png": "empty",
    "all/program.bin": "unsupported",
}


def board(canvas: Canvas) -> None:
    canvas.drawString(60, 300, "Mounting holes of an AM4 board stand 90 mm apart.")


def build(folder: Path) -> None:
    fill(folder, 2)
    sign(folder / "receipt.png", "HARBOUR HARDWARE", "Date 14/03/2018", "Total 30.90")
    (folder / "manual.pdf").write_bytes(pdf(lambda c: c.rect(9, 9, 99, 99, fill=1), board))
    film(folder / "quay_20260501_164000.mp4", [(RED, 2), (GREEN, 2), (BLUE, 1)])
    (folder / "quay_20260501_164000.srt").write_text(SRT)
    (folder / "notes.md").write_text("# Notes\n\nThe winch wants grease.")
    (folder / "page.html").write_text("<p>Tide tables hang in the office.</p>")
    (folder / "stock.csv").write_text("part,where\nshackle,shelf seven\n")
    for name in BROKEN:
        (folder / Path(name).name).write_bytes(b"\x00\x01" + name.encode())
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    (folder / "broken.jsonl").write_text("{")
    (folder / "broken.html").write_text("<script>x</script>")
    (folder / "empty.png").write_bytes(b"")


@pytest.fixture
async def mixed(
    empty_environment: ToolEnvironment, tmp_path: Path
) -> tuple[ToolEnvironment, IngestSummary]:
    folder = tmp_path / "all"
    folder.mkdir()
    build(folder)
    encoder = ColorHistogramEncoder()
    database = await Database.open(empty_environment.dsn)
    try:
        summary = await ingest(
            database,
            BlobStore(empty_environment.data),
            encoder,
            [InputPath("all", str(folder))],
            collection="all",
            options=IngestOptions(workers=1, ocr="auto"),
            passage_encoder=encoder,
            ocr_engine=load_ocr_engine(),
        )
    finally:
        await database.close()
    return empty_environment, summary


async def test_nothing_is_lost_and_each_hit_says_where_it_stands(
    mixed: tuple[ToolEnvironment, IngestSummary],
) -> None:
    environment, summary = mixed
    assert summary.added == 8
    failed = {n: code for code, noted in summary.failures.items() for n, _ in noted.examples}
    assert failed == BROKEN
    async with environment.serve() as tools:
        overview = (await tools.call("list_collections"))["collections"][0]
        assert overview["failed_sources"] == len(BROKEN)

        (hit,) = (await tools.call("search_text", query="holes AM4", limit=1))["hits"]
        assert (hit["source"], hit["kind"], hit["page"]) == ("all/manual.pdf", "page_text", 2)
        seen, (page,) = await tools.call_with_images(
            "view_image", asset=hit["asset"], crop=hit["box"]
        )
        assert seen["asset"]["page"] == 2
        assert page.width > 5 * page.height  # one line of text

        (hit,) = (await tools.call("search_text", query="harbour crane", limit=1))["hits"]
        assert hit["kind"] == "subtitle"
        seen, (frame,) = await tools.call_with_images("view_image", asset=hit["asset"])
        assert seen["asset"]["seconds"] == pytest.approx(2.0)
        assert seen["asset"]["captured_at"].startswith("2026-05-01T16:40:02")
        assert is_near_color(frame.getpixel((5, 5)), GREEN, 25)

        found = await tools.call("search_images", query="hardware total 30.90", limit=1)
        (picture,) = found["hits"]
        assert picture["source"] == "all/receipt.png"
        assert picture["text"]["kind"] == "ocr"
        narrow = await tools.call("search_images", query="total 30.90", limit=1)
        heading = await tools.call("search_images", query="hardware", limit=1)
        boxes = [each["text"]["box"] for each in (picture, *narrow["hits"], *heading["hits"])]
        assert boxes[0] == boxes[1]  # the amount says more than a heading far above it
        assert boxes[2][1] < 0.25 < 0.6 < boxes[1][1]

        for query, source in [
            ("winch grease", "all/notes.md"),
            ("tide tables", "all/page.html"),
            ("shackle", "all/stock.csv"),
        ]:
            (hit,) = (await tools.call("search_text", query=query, limit=1))["hits"]
            assert hit["source"] == source

    result, prompt = await asked(
        environment, "What is the total?", about="hardware receipt total 30.90"
    )
    (receipt,) = [item for item in result["evidence"] if item["source"] == "all/receipt.png"][1:]
    assert (receipt["kind"], receipt["text"]) == (
        "passage",
        "HARBOUR HARDWARE | Date 14/03/2018 | Total 30.90",
    )
    assert "passage" not in receipt, "it is all that was read, not one passage of it"
    (claim,) = result["claims"]
    assert (claim["citations"], claim["verdict"]) == ([receipt["number"]], "supported")
    assert claim["box"] == boxes[1], "it stands in the line that it was read in"
    assert prompt.count("Total 30.90") == 1, "the passage that a search finds is among it"
    assert "receipt.png" not in prompt, "the name of a file is no evidence"


async def asked(
    environment: ToolEnvironment, question: str, about: str
) -> tuple[dict[str, Any], str]:
    """Return a model's answer from the receipt's text, and its prompt."""
    prompts: list[str] = []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        found = re.search(r'Passage (\d+), text read on picture \d: \s*"HARBOUR', prompt)
        assert found is not None, prompt
        claims = [{"text": "30.90", "evidence": [int(found[1])], "box": None, "quote": None}]
        reply = {"answer": "30.90", "claims": claims, "missing": None, "interpretations": []}
        return json.dumps(reply)

    model = scripted(answer)
    async with model, environment.replace(vlm=model).serve() as tools:
        result = await tools.call("answer_question", question=question, about=about)
    return result, prompts[0]


async def test_quoted_words_are_located_by_ocr_without_a_model(
    mixed: tuple[ToolEnvironment, IngestSummary],
) -> None:
    environment, _ = mixed
    async with environment.serve() as tools:
        ids = await tools.ids()
        receipt, plain = ids["all/receipt.png"], ids["all/0000.jpg"]
        result, (drawn,) = await tools.call_with_images(
            "annotate_image", asset=receipt, phrases=['"total 30.90"', "“Harbour”", '"Total 30"']
        )
        nothing, _ = await tools.call_with_images(
            "annotate_image", asset=plain, phrases=["「合计」"]
        )
        said = await tools.call_error("annotate_image", asset=receipt, phrases=["the total"])
    assert "model" not in result
    total, name = result["boxes"]
    assert (total["origin"], total["label"]) == ("text", "total 30.90")
    assert (name["origin"], name["label"]) == ("text", "Harbour")
    assert name["box"][3] < 0.4 < 0.6 < total["box"][1] < total["box"][3] < 0.9
    left, top, right, bottom = total["pixels"]
    edges = [drawn.getpixel((x, (top + bottom) // 2)) for x in (left - 2, right + 2)]
    assert not any(is_near_color(edge, (255, 255, 255)) for edge in edges)
    # The words are whole: 30 is not 30.90.
    assert [each["status"] for each in result["phrases"]] == ["found", "found", "absent"]
    assert "contains these words" in result["phrases"][2]["notes"][0]
    assert nothing["boxes"] == []
    assert "no text was read" in nothing["phrases"][0]["notes"][0]
    assert "quotation marks" in said
