"""A short run of the benchmark of two principals, one hostile."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from PIL import Image

from benchmarks import hostile
from benchmarks.hostile import Baselines, Phase, flood_files
from benchmarks.hostile.hostile_server import running_stage
from benchmarks.hostile.neighbor import SLOW_KINDS, Measured

SECONDS = 2.0


@pytest.mark.slow
def test_the_other_principal_loses_no_call() -> None:
    with running_stage(images=5) as stage:
        for number in ("5", "17", "23"):
            (name,) = hostile.chosen([number])
            phase = hostile.measure_flood(stage, name, SECONDS)
            assert phase.outcomes.total() > 0, name
            assert phase.measured.calls > 0, name
            assert phase.measured.lost == Counter(), name
            assert 0 < phase.peak_memory_mib < hostile.MAX_MEMORY_MIB, name


def test_unknown_floods_are_refused_with_the_known_ones() -> None:
    with pytest.raises(SystemExit, match=r"Unknown flood '99'\. Available: 2, 4, "):
        hostile.chosen(["2", "99"])
    assert len(hostile.chosen([])) > len(hostile.chosen(["2", "14"])) == 2


def phase(p95: float, cores: float = 0.5) -> Phase:
    measured = Measured()
    measured.seconds["search_text"] = [p95 / 1000] * 20
    for kind in SLOW_KINDS:  # they do not count
        measured.seconds[kind] = [9.0]
    return Phase("x", measured, Counter(), cores, 0.0, 0.0)


def test_the_expected_p95_grows_with_the_cores_that_are_used() -> None:
    baselines = Baselines(phase(10), [phase(20), phase(60)], [1.0, 2.0])
    cores = (0.0, 0.5, 1.0, 1.5, 2.5, 9.0)
    expected = [baselines.expected_p95(each) for each in cores]
    assert np.allclose(expected, [10, 10, 15, 20, 60, 60])


def test_the_pdf_draws_a_form_many_times_on_each_page() -> None:
    document = pypdfium2.PdfDocument(flood_files.slow_pdf(1, pages=2, levels=3))
    assert len(document) == 2
    dark = [np.asarray(page.render(scale=0.2).to_pil().convert("L")) < 128 for page in document]
    assert all(pixels.any() for pixels in dark)
    assert len(flood_files.slow_pdf(1)) < 50_000


def test_the_large_picture_is_small_as_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(flood_files.large_png(300, 200))
    assert Image.open(path).convert("RGB").getextrema() == ((0, 0), (0, 0), (0, 0))
    assert path.stat().st_size < 2_000
