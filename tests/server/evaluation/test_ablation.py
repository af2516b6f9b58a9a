"""Questions are asked with oracle evidence, retrieved evidence, and closed book."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sightline.server.evaluation.ablation import CONDITIONS, evaluate_questions
from sightline.server.evaluation.answer_metrics import EvalQuestion
from sightline.server.evaluation.calibration.confidence_fit import to_json
from sightline.server.evaluation.calibration.model_calibration import calibrate_model, safe_name
from sightline.server.evaluation.run_file import load_run_file
from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, ModelUnavailableError
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.retrieval import ImageSearch, PassageSearch
from sightline.tools.answers.rating.confidence import load_calibration
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.vlm.vision_language_model import VisionLanguageModel
from tests.support.encoders import ColorHistogramEncoder
from tests.support.sample_images import fill
from tests.support.scripted_vlm import scripted
from tests.tools.toolbox import ReadyProvider

CAPTIONS = ("a white van", "a red door", "a blue boat")


@pytest.fixture
async def gallery(
    database: Database, tmp_path: Path
) -> AsyncIterator[tuple[Dependencies, Path, list[str]]]:
    """Three captioned images, a run file, and the prompts of the model."""
    folder = tmp_path / "gallery"
    files = fill(folder, len(CAPTIONS))
    for path, caption in zip(files, CAPTIONS, strict=True):
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    encoder, objects = ColorHistogramEncoder(), BlobStore(tmp_path / "data")
    await ingest(
        database,
        objects,
        encoder,
        [folder],
        collection="gallery",
        options=IngestOptions(workers=1),
        passage_encoder=encoder,
    )
    prompts: list[str] = []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        if "Answer in a few words" in prompt:
            return "door"
        if "yes or no" in prompt:
            return "yes"
        claims = [{"text": "a door", "evidence": [1], "box": None, "quote": None}]
        return json.dumps(
            {"answer": "door", "claims": claims, "missing": None, "interpretations": []}
        )

    async with scripted(answer) as model:
        yield _dependencies(database, objects, encoder, model), _run_file(tmp_path, files), prompts


def _dependencies(
    database: Database,
    objects: BlobStore,
    encoder: ColorHistogramEncoder,
    model: VisionLanguageModel | None,
) -> Dependencies:
    from sightline.server.config import load_settings
    from sightline.server.runtime import create_image_decoder

    return Dependencies(
        database=ReadyProvider(database),
        blobs=objects,
        encoder=ReadyProvider(encoder),
        passage_encoder=ReadyProvider(encoder),
        allowed_roots=(),
        urls=None,
        image_search=ImageSearch(database, encoder, encoder, signing_key=b"k" * 32).search,
        passage_search=PassageSearch(database, encoder, signing_key=b"k" * 32).search,
        ingest_options=IngestOptions(workers=1),
        decoder=create_image_decoder(load_settings()),
        vlm=model,
    )


def _run_file(folder: Path, files: list[Path]) -> Path:
    rows = [
        {
            "question": "What is it?",
            "answer": "door",
            "about": CAPTIONS[1],
            "sources": files[1].name,
        },
        {"question": "Who is it?", "answer": "not shown", "sources": files[0].name},
    ]
    path = folder / "run.jsonl"
    lines = [json.dumps({**row, "sources": [row["sources"]]}) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _load(path: Path) -> list[EvalQuestion]:
    return [line.parse(EvalQuestion) for line in load_run_file(path)]


async def test_every_question_is_asked_and_scored_under_every_condition(
    gallery: tuple[Dependencies, Path, list[str]],
) -> None:
    deps, run_file, prompts = gallery
    reported: list[tuple[int, int]] = []
    scores = await evaluate_questions(
        deps, _load(run_file), "gallery", lambda done, total: reported.append((done, total))
    )
    assert tuple(scores) == CONDITIONS
    assert reported[-1] == (6, 6)
    assert [[each.correct for each in found] for found in scores.values()] == [[True, False]] * 3
    assert scores["oracle"][0].citation_precision == 1
    assert scores["oracle"][1].faithfulness == 0
    # Retrieved by its caption. Without evidence there are no citations (NaN).
    assert scores["retrieved"][0].citation_recall == 1
    assert scores["closed_book"][0].citation_recall != scores["closed_book"][0].citation_recall
    assert sum("<picture>" not in prompt for prompt in prompts) == 2


async def test_the_subject_is_not_used_in_the_condition_without_it(
    gallery: tuple[Dependencies, Path, list[str]],
) -> None:
    deps, run_file, prompts = gallery
    questions = _load(run_file)[:1]
    for condition, expected in (("retrieved", True), ("retrieved_no_about", False)):
        prompts.clear()
        await evaluate_questions(
            deps,
            questions,
            "gallery",
            lambda *_: None,
            conditions=[condition],  # type: ignore[list-item]
        )
        assert any(CAPTIONS[1] in prompt.partition("about:")[2] for prompt in prompts) == expected


@pytest.mark.parametrize(
    ("sources", "message"),
    [(["nowhere.jpg"], "'nowhere.jpg' is the source of 0 images"), ([], "line 1: sources")],
)
async def test_a_question_with_wrong_sources_is_rejected(
    gallery: tuple[Dependencies, Path, list[str]], tmp_path: Path, sources: list[str], message: str
) -> None:
    path = tmp_path / "wrong.jsonl"
    row = {"question": "?", "answer": "x", "sources": sources}
    path.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(InvalidArgumentError, match=message):
        await evaluate_questions(gallery[0], _load(path), "gallery", lambda *_: None)


async def test_without_a_model_the_evaluation_fails(
    gallery: tuple[Dependencies, Path, list[str]],
) -> None:
    deps, run_file, _ = gallery
    without = replace(deps, vlm=None)
    with pytest.raises(ModelUnavailableError, match="SIGHTLINE_VLM__BASE_URL"):
        await evaluate_questions(without, _load(run_file), "gallery", lambda *_: None)


async def test_a_model_is_calibrated_on_the_questions_of_a_run_file(
    gallery: tuple[Dependencies, Path, list[str]], tmp_path: Path
) -> None:
    deps, _, _ = gallery
    files = sorted(each for each in (tmp_path / "gallery").iterdir() if each.suffix != ".txt")
    rows = [
        {"question": f"What is it? ({number})", "answer": truth, "sources": [path.name]}
        for number in range(10)
        for path, truth in zip(files, ("van", "door"), strict=False)
    ]
    run_file = tmp_path / "questions.jsonl"
    run_file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    fitted = await calibrate_model(
        deps, load_run_file(run_file), "gallery", lambda _done, _total: None
    )
    assert fitted.model == "qwen3-vl"
    assert (fitted.provenance["answers"], fitted.provenance["accuracy"]) == (40, 0.5)

    folder = tmp_path / "calibrations"
    folder.mkdir()
    (folder / f"{safe_name('a/b')}.json").write_text(to_json(fitted), encoding="utf-8")
    assert load_calibration("qwen3-vl", folder) is not None
    assert load_calibration("other", folder) is None
    with pytest.raises(InvalidArgumentError, match="Give at least 20"):
        await calibrate_model(
            deps, load_run_file(run_file)[:5], "gallery", lambda _done, _total: None
        )
