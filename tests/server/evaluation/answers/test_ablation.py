"""The three settings ask what they say: of what is given, of what is found, and of nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.answers import eval_server
from sightline.server.evaluation.answers import answer_evaluation
from sightline.server.evaluation.answers.ablation import SETTINGS, ask_all
from sightline.server.evaluation.answers.eval_questions import Question
from sightline.server.evaluation.run_file import read
from sightline.storage.blobs import ObjectStore
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, ModelUnavailableError
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.retrieval.search import ImageSearch, PassageSearch
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.vlm.vision_language_model import VisionLanguageModel
from tests.support.encoders import ColourHistogramEncoder
from tests.support.pictures import fill
from tests.support.vlm import scripted
from tests.tools.toolbox import Ready

CAPTIONS = ("a white van", "a red door", "a blue boat")


@pytest.fixture
async def gallery(
    database: Database, tmp_path: Path
) -> AsyncIterator[tuple[Dependencies, Path, list[str]]]:
    """Three captioned pictures, what the model was asked, and a run file about two of them."""
    folder = tmp_path / "gallery"
    files = fill(folder, len(CAPTIONS))
    for path, caption in zip(files, CAPTIONS, strict=True):
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    encoder, objects = ColourHistogramEncoder(), ObjectStore(tmp_path / "data")
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
        return json.dumps({"answer": "door", "claims": claims, "missing": None, "interpretations": []})

    async with scripted(answer) as model:
        yield _dependencies(database, objects, encoder, model), _run_file(tmp_path, files), prompts


def _dependencies(
    database: Database,
    objects: ObjectStore,
    encoder: ColourHistogramEncoder,
    model: VisionLanguageModel | None,
) -> Dependencies:
    from sightline.server.config.option_mapping import decoder
    from sightline.server.config.settings import load

    return Dependencies(
        database=Ready(database),
        objects=objects,
        encoder=Ready(encoder),
        passage_encoder=Ready(encoder),
        allowed_roots=(),
        urls=None,
        image_search=ImageSearch(database, encoder, encoder, signing_key=b"k" * 32).search,
        passage_search=PassageSearch(database, encoder, signing_key=b"k" * 32).search,
        ingest_options=IngestOptions(workers=1),
        decoder=decoder(load()),
        vision=model,
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


async def test_every_line_is_asked_in_every_setting_and_scored(
    gallery: tuple[Dependencies, Path, list[str]],
) -> None:
    deps, run_file, prompts = gallery
    told: list[tuple[int, int]] = []
    scores = await answer_evaluation.evaluate(
        deps, read(run_file), "gallery", lambda done, of: told.append((done, of))
    )
    assert tuple(scores) == SETTINGS
    assert told[-1] == (6, 6)
    assert [[each.right for each in found] for found in scores.values()] == [[True, False]] * 3
    assert scores["given"][0].citation_precision == 1
    assert scores["given"][1].faithful == 0
    # Found by its caption; nothing is cited without evidence.
    assert scores["sightline"][0].citation_recall == 1
    assert scores["none"][0].citation_recall != scores["none"][0].citation_recall
    assert sum("<picture>" not in prompt for prompt in prompts) == 2


async def test_what_a_question_is_about_is_kept_to_oneself_where_it_is_unsaid(
    gallery: tuple[Dependencies, Path, list[str]],
) -> None:
    deps, run_file, prompts = gallery
    questions = [line.parse(Question) for line in read(run_file)][:1]
    files = await eval_server.sources(deps, questions, "gallery")
    for setting, told in (("sightline", True), ("unsaid", False)):
        prompts.clear()
        await ask_all(deps, questions, setting, files, collection="gallery")  # type: ignore[arg-type]
        assert any(CAPTIONS[1] in prompt.partition("about:")[2] for prompt in prompts) == told


@pytest.mark.parametrize(
    ("sources", "said"),
    [(["nowhere.jpg"], "'nowhere.jpg' is the source of 0 pictures"), ([], "line 1: sources")],
)
async def test_a_line_that_cannot_be_asked_is_refused(
    gallery: tuple[Dependencies, Path, list[str]], tmp_path: Path, sources: list[str], said: str
) -> None:
    path = tmp_path / "wrong.jsonl"
    row = {"question": "?", "answer": "x", "sources": sources}
    path.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(InvalidArgumentError, match=said):
        await answer_evaluation.evaluate(gallery[0], read(path), "gallery", lambda *_: None)


async def test_without_a_model_there_is_nothing_to_score(
    gallery: tuple[Dependencies, Path, list[str]],
) -> None:
    deps, run_file, _ = gallery
    without = replace(deps, vision=None)
    with pytest.raises(ModelUnavailableError, match="SIGHTLINE_VLM_BASE_URL"):
        await answer_evaluation.evaluate(without, read(run_file), "gallery", lambda *_: None)
