"""An evaluation report with all kinds of blocks."""

from __future__ import annotations

from sightline.server.evaluation.bootstrap import Estimate
from sightline.server.evaluation.report_model import (
    EvalReport,
    ExampleGallery,
    ExampleQuery,
    Headline,
    ReportChart,
    ReportImage,
    ReportSection,
    ReportTable,
)
from tests.support.sample_images import jpeg


def report(text: str) -> EvalReport:
    """Return a report with this text in all places that show one."""
    half = Estimate(0.5, 0.4, 0.6, 3)
    image = ReportImage([text, text], "incorrect", jpeg(1))
    blocks = [
        ReportTable(text, [text, "n"], [[text, half], [None, 3]], text, frozenset({0})),
        ReportTable(text, [text, "b"], [["x", half]], text, heatmap=True),
        ReportTable(text, [text, "b"], [["x", half]], text, signed=True),
        ReportChart(text, [(text, half)], text),
        ExampleGallery(text, [ExampleQuery(text, [text, text], [image])], text),
    ]
    section = ReportSection(text, blocks, text, [Headline(text, text, text)])
    return EvalReport(text, [(text, text)], [section], [text])
