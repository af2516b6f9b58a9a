"""Compare int8 copies of the built-in models with the shipped ones, in one run.

    python -m benchmarks quantized_models -- --images 360

Sizes are those of the graphs and their weights; the shipped ones are in half precision, and become
float32 when they are loaded. Times are CPU milliseconds on one thread, the best of several rounds
in turns; peaks are those of a new process that only uses it. "to fp32" and "to alone" are
the largest differences of vectors to those of the shipped model, and to those of pictures encoded
one by one. nDCG@10 is that of the encoder alone on the synthetic album: each query against all
pictures. Answers are those of the plain form.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks import synthetic_album
from benchmarks.answers import synthetic_questions
from benchmarks.tables import print_table
from sightline.server.config.settings import EncoderSettings
from sightline.server.evaluation.answer_metrics import NOT_SHOWN, EvalQuestion
from sightline.server.models.image_text.checkpoint import IMAGE_GRAPH, TEXT_GRAPH, OpenClipFolder
from sightline.server.models.image_text.image_text_encoder import BUILTIN_FOLDER as CLIP
from sightline.server.models.image_text.image_text_encoder import load_model
from sightline.server.models.quantization import quantize
from sightline.server.models.vision_language.builtin.llava_model import BUILTIN_FOLDER as LLAVA
from sightline.server.models.vision_language.builtin.llava_model import (
    DECODER_GRAPH,
    VISION_GRAPH,
    LlavaModel,
)
from sightline.training.vlm.data.letterbox import letterbox
from sightline.training.vlm.data.prompt import parse_answer

_ROUNDS = 5
_SAMPLE = 64
_DEPTH = 10
_MAX_ANSWER_TOKENS = 24
_GRAPHS = {CLIP: (IMAGE_GRAPH, TEXT_GRAPH), LLAVA: (VISION_GRAPH, DECODER_GRAPH)}
_MAX_NDCG_LOSS = 0.005


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = _options(arguments)
    if options.peak:
        _use(Path(options.peak))
        return
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as name:
        folder = Path(name)
        for source, graphs in _GRAPHS.items():
            shutil.copytree(source, folder / source.name)
            for graph in graphs:
                (folder / source.name / graph).unlink()
                quantize(source / graph, folder / source.name / graph, "int8")
        _compare_encoders(folder, options)
        _compare_answers(folder, options)


def _compare_encoders(folder: Path, options: argparse.Namespace) -> None:
    album = folder / "album"
    synthetic_album.render(album, count=options.images, seed=0)
    files = sorted((album / synthetic_album.ALBUM / "images").glob("*.jpg"))
    queries = [
        json.loads(line)
        for line in (album / synthetic_album.QUERIES).read_text("utf-8").splitlines()
    ]
    queries = [each for each in queries if each.get("query")]
    texts = [str(each["query"]) for each in queries]
    models = {"fp32": _encoder(CLIP), "int8": _encoder(folder / CLIP.name)}
    pixels = []
    for file in files:
        with Image.open(file) as image:
            pixels.append(models["fp32"].preprocess(image.convert("RGB")))
    gains = np.zeros((len(queries), len(files)))
    places = {f"images/{file.name}": number for number, file in enumerate(files)}
    for row, query in zip(gains, queries, strict=True):
        for each in query["relevant"]:
            row[places[each["source"]]] = each["grade"]
    work: dict[str, Callable[[], object]] = {}
    rows: dict[str, tuple[float, float, float]] = {}
    shipped = models["fp32"].encode_images(pixels)
    for name, model in models.items():
        vectors = model.encode_images(pixels)
        alone = np.concatenate([model.encode_images([each]) for each in pixels[:_SAMPLE]])
        rows[name] = (
            float(np.mean(_ndcg(model.encode_texts(texts) @ vectors.T, gains))),
            float(np.abs(vectors - shipped).max()),
            float(np.abs(alone - vectors[:_SAMPLE]).max()),
        )
        work[f"{name} picture"] = lambda model=model: model.encode_images(pixels[:_SAMPLE])
        work[f"{name} text"] = lambda model=model: model.encode_texts(texts[:_SAMPLE])
    times = _cpu_milliseconds(work)
    loss = rows["fp32"][0] - rows["int8"][0]
    print_table(
        f"Encoder, {len(files)} pictures, {len(queries)} queries",
        ("", "MB", "ms/picture", "ms/text", "MiB", "nDCG@10", "to fp32", "to alone"),
        [
            (
                name,
                f"{_megabytes(name, CLIP, folder):.1f}",
                f"{times[f'{name} picture'] / _SAMPLE:.2f}",
                f"{times[f'{name} text'] / _SAMPLE:.2f}",
                f"{_peak(CLIP if name == 'fp32' else folder / CLIP.name):.0f}",
                f"{row[0]:.4f}",
                f"{row[1]:.0e}",
                f"{row[2]:.0e}",
            )
            for name, row in rows.items()
        ],
    )
    print(f"  nDCG@10 decreases by {loss:.4f} (at most {_MAX_NDCG_LOSS})")


def _compare_answers(folder: Path, options: argparse.Namespace) -> None:
    world = folder / "questions"
    questions = synthetic_questions.create(
        world, "test", images=options.questions // 4, per_image=4
    )
    questions = [each for each in questions if not each.answer_is_box]
    models = {
        "fp32": LlavaModel(LLAVA, threads=1),
        "int8": LlavaModel(folder / LLAVA.name, threads=1),
    }
    answers: dict[str, list[str]] = {}
    times: dict[str, list[float]] = {name: [] for name in models}
    for question in questions:
        with Image.open(world / synthetic_questions.ALBUM / question.sources[0]) as image:
            square = letterbox(image)
        for name, model in models.items():
            start = time.process_time()
            answers.setdefault(name, []).append(_answer(model, question.question, square))
            times[name].append(time.process_time() - start)
    print_table(
        f"LLaVA, {len(questions)} questions",
        ("", "MB", "CPU ms per answer", "peak MiB", "exact", "as fp32"),
        [
            (
                name,
                f"{_megabytes(name, LLAVA, folder):.1f}",
                f"{1000 * float(np.median(times[name])):.0f}",
                f"{_peak(LLAVA if name == 'fp32' else folder / LLAVA.name):.0f}",
                f"{np.mean([_is_exact(*each) for each in zip(given, questions, strict=True)]):.3f}",
                f"{np.mean([a == b for a, b in zip(given, answers['fp32'], strict=True)]):.3f}",
            )
            for name, given in answers.items()
        ],
    )


def _encoder(folder: Path) -> Any:
    settings = EncoderSettings(device="cpu", engine="onnx", threads=1)
    return load_model(settings, folder, OpenClipFolder.open(folder), folder.name)


def _ndcg(scores: npt.NDArray[Any], gains: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return nDCG@10 of each query from arrays of shape (queries, pictures)."""
    discounts = 1 / np.log2(np.arange(2, _DEPTH + 2))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :_DEPTH]
    found = np.take_along_axis(gains, order, axis=1) @ discounts
    ideal = np.sort(gains, axis=1)[:, ::-1][:, :_DEPTH] @ discounts
    return np.asarray(found / ideal)


def _answer(model: LlavaModel, question: str, square: Image.Image) -> str:
    parts = [{"type": "image"}, {"type": "text", "text": question}]
    ids = model.prompt_ids([{"role": "user", "content": parts}])
    features, cache = model.image_features([square]), None
    tokens: list[int] = []
    while len(tokens) < _MAX_ANSWER_TOKENS:
        logits, cache = model.step(ids, features, cache)
        token = int(logits.argmax())
        if token in model.end_tokens:
            break
        tokens.append(token)
        ids = np.array([token], np.int64)
    return parse_answer(str(model.tokenizer.decode(tokens))).text


def _is_exact(answer: str, question: EvalQuestion) -> bool:
    given, right = (
        " ".join(text.lower().split()).rstrip(".。") for text in (answer, question.answer)
    )
    return given == right or (given in NOT_SHOWN and right in NOT_SHOWN)


def _cpu_milliseconds(work: dict[str, Callable[[], object]]) -> dict[str, float]:
    best = dict.fromkeys(work, float("inf"))
    for _ in range(_ROUNDS):  # in turns, so that a load peak affects all
        for name, run in work.items():
            start = time.process_time()
            run()
            best[name] = min(best[name], 1000 * (time.process_time() - start))
    return best


def _megabytes(name: str, source: Path, folder: Path) -> float:
    """Return the size of the graphs with their weights."""
    used = source if name == "fp32" else folder / source.name
    files = [used / graph for graph in _GRAPHS[source]]
    if name == "fp32":
        files += source.glob("*.safetensors")
    return sum(each.stat().st_size for each in files) / 1e6


def _peak(folder: Path) -> float:
    """Return the peak memory of a process that uses the model."""
    command = [sys.executable, "-m", "benchmarks", "quantized_models", "--", "--peak", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return float(next(x for x in done.stdout.splitlines() if x.startswith("peak")).split()[1])


def _use(folder: Path) -> None:
    blank = Image.new("RGB", (160, 160))
    if folder.name == CLIP.name:
        model = _encoder(folder)
        model.encode_images([model.preprocess(blank)] * _SAMPLE)
        model.encode_texts(["a white van behind a wall"] * _SAMPLE)
    else:
        _answer(LlavaModel(folder, threads=1), "What color is the van?", blank)
    lines: Sequence[str] = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    print("peak", next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks quantized_models")
    parser.add_argument("--images", type=int, default=360, help="of the album (%(default)s)")
    parser.add_argument("--questions", type=int, default=240, help="to LLaVA (%(default)s)")
    parser.add_argument("--peak", metavar="FOLDER", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)
