"""Export images of the synthetic world to a folder.

OUT/images/<family>-<number>.jpg    images, with the capture time in EXIF if there is one
OUT/metadata.jsonl                  one line per image: file_name, captions and attributes
OUT/questions.jsonl                 one line per question: file_name, kind, question, answer, box
OUT/instances.json                  objects and texts with boxes, in COCO format

The output depends only on split, count, seed and families: the same call writes the same bytes.
The first English caption of each image is unique within the folder.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypedDict

from PIL import ExifTags, Image

from sightline.storage.errors import ConfigurationError, UnknownNameError
from sightline.training.world.core.scene import Box, Scene, Split
from sightline.training.world.core.splits import SEEDS, seed_of
from sightline.training.world.families import FAMILIES, draw

#: Maximum number of images per ``seed``; the next seed starts after them.
IMAGES_PER_SEED: Final = 1_000_000
_CHUNK: Final = 16
_TEXT: Final = "text"

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of an export."""

    folder: Path
    images: dict[str, int]
    questions: int
    boxes: int


class EncodedScene(TypedDict):
    """One encoded image with its records."""

    jpeg: bytes
    size: tuple[int, int]
    record: Json
    questions: list[Json]
    boxes: list[tuple[str, Box, dict[str, str]]]


def jpeg_bytes(scene: Scene) -> bytes:
    """Encode the image as JPEG with the quality from its metadata."""
    exif = Image.Exif()
    if scene.captured_at:
        stamp = scene.captured_at.strftime("%Y:%m:%d %H:%M:%S")
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = stamp
    buffer = io.BytesIO()
    quality = int(scene.metadata["jpeg_quality"])
    scene.image.save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def export(
    out: Path,
    *,
    split: Split,
    count: int,
    seed: int = 0,
    families: Sequence[str] = (),
    workers: int = 1,
) -> Summary:
    """Write ``count`` images of ``split``, alternating between families.

    An empty ``families`` means all. ``out`` must be new or empty; it is written atomically.
    """
    names = list(families) or sorted(FAMILIES)
    _check(out, split, count, seed, names)
    first = seed * IMAGES_PER_SEED
    jobs = [(names[i % len(names)], split, first + i) for i in range(count)]
    # Images with a duplicate caption are replaced by unused numbers.
    spare = first + count
    used_captions: set[str] = set()
    with _atomic_folder(out) as folder, _pool(workers) as pool:
        encoded_scenes = pool.map(_encode, jobs, chunksize=_CHUNK) if pool else map(_encode, jobs)
        with _Writer(folder) as writer:
            for job, encoded in zip(jobs, encoded_scenes, strict=True):
                scene = encoded
                while str(scene["record"]["caption"]) in used_captions:
                    scene = _encode((job[0], split, spare))
                    spare += 1
                used_captions.add(str(scene["record"]["caption"]))
                writer.add(scene)
    return Summary(out, writer.images, writer.questions, len(writer.annotations))


def _check(out: Path, split: Split, count: int, seed: int, families: list[str]) -> None:
    if split not in SEEDS:
        raise UnknownNameError("split", split, SEEDS)
    for family in families:
        if family not in FAMILIES:
            raise UnknownNameError("family", family, FAMILIES)
    if not 1 <= count <= IMAGES_PER_SEED // 2:
        raise ConfigurationError(f"Invalid count {count}. Allowed: 1 to {IMAGES_PER_SEED // 2}.")
    seeds = len(SEEDS[split]) // IMAGES_PER_SEED
    if not 0 <= seed < seeds:
        raise ConfigurationError(f"Invalid seed {seed}. Allowed: 0 to {seeds - 1}.")
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"{out} is a file. Choose a new or empty folder.")
    if out.exists() and any(out.iterdir()):
        raise ConfigurationError(f"{out} is not empty. Choose a new or empty folder.")


def _encode(job: tuple[str, Split, int]) -> EncodedScene:
    family, split, number = job
    scene = draw(family, seed_of(split, number), split)
    name = f"images/{family}-{number:09d}.jpg"
    about: Json = {"file_name": name, "family": family, "unseen": scene.unseen}
    record: Json = {
        **about,
        "caption": scene.captions["en"][0],
        "caption_zh": scene.captions["zh"][0],
        "captions": scene.captions,
        "split": split,
        "seed": scene.seed,
        "combination": scene.combination,
        "captured_at": scene.captured_at.isoformat() if scene.captured_at else None,
        **scene.metadata,
    }
    questions: list[Json] = [
        {
            **about,
            "kind": q.kind,
            "language": q.language,
            "question": q.question,
            "answer": q.answer,
            "box": q.box,
        }
        for q in scene.questions
    ]
    boxes = [
        (scene_object.label, scene_object.box, scene_object.attributes)
        for scene_object in scene.objects
    ]
    boxes += [(_TEXT, scene_text.box, {"text": scene_text.text}) for scene_text in scene.texts]
    return EncodedScene(
        jpeg=jpeg_bytes(scene),
        size=scene.image.size,
        record=record,
        questions=questions,
        boxes=boxes,
    )


class _Writer:
    """Writes images as they arrive and the COCO file at the end."""

    def __init__(self, folder: Path) -> None:
        (folder / "images").mkdir()
        self._folder = folder
        self._metadata = (folder / "metadata.jsonl").open("w", encoding="utf-8")
        self._questions = (folder / "questions.jsonl").open("w", encoding="utf-8")
        self._images: list[Json] = []
        self.annotations: list[tuple[int, str, Box, dict[str, str]]] = []
        self.images: dict[str, int] = {}
        self.questions = 0

    def add(self, encoded: EncodedScene) -> None:
        record = encoded["record"]
        name, family = str(record["file_name"]), str(record["family"])
        (self._folder / name).write_bytes(encoded["jpeg"])
        _write_line(self._metadata, record)
        for question in encoded["questions"]:
            _write_line(self._questions, question)
        number = len(self._images) + 1
        width, height = encoded["size"]
        self._images.append({"id": number, "file_name": name, "width": width, "height": height})
        self.annotations += [(number, *box) for box in encoded["boxes"]]
        self.images[family] = self.images.get(family, 0) + 1
        self.questions += len(encoded["questions"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._metadata.close()
        self._questions.close()
        if kind is None:
            self._write_boxes()

    def _write_boxes(self) -> None:
        labels = sorted({label for _, label, _, _ in self.annotations})
        ids = {label: i for i, label in enumerate(labels, 1)}
        coco = {
            "images": self._images,
            "categories": [{"id": i, "name": label} for label, i in ids.items()],
            "annotations": [
                _annotation(i, image, ids[label], box, attributes)
                for i, (image, label, box, attributes) in enumerate(self.annotations, 1)
            ],
        }
        text = json.dumps(coco, ensure_ascii=False)
        (self._folder / "instances.json").write_text(text, encoding="utf-8")


def _annotation(
    number: int, image: int, category: int, box: Box, attributes: dict[str, str]
) -> Json:
    x0, y0, x1, y1 = box
    width, height = round(x1 - x0, 1), round(y1 - y0, 1)
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [x0, y0, width, height],
        "area": round(width * height, 1),
        "iscrowd": 0,
        "attributes": attributes,
    }


def _write_line(file: io.TextIOBase, value: Json) -> None:
    file.write(json.dumps(value, ensure_ascii=False) + "\n")


@contextmanager
def _atomic_folder(out: Path) -> Iterator[Path]:
    """Create a temporary folder and rename it to ``out`` on success."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    try:
        yield folder
        folder.chmod(0o755)
        folder.replace(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor | None]:
    """Start worker processes, or none for one worker."""
    if workers <= 1:
        yield None
        return
    # Spawn, because torch threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield pool


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``sightline world``."""
    parser.add_argument("out", type=Path, help="new or empty output folder")
    parser.add_argument("--split", choices=list(SEEDS), default="test")
    parser.add_argument(
        "--count", type=int, default=900, help="number of images (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--families", nargs="+", choices=sorted(FAMILIES), default=[])
    parser.add_argument(
        "--workers", type=int, default=1, help="number of worker processes (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Export images and print a summary."""
    summary = export(
        arguments.out,
        split=arguments.split,
        count=arguments.count,
        seed=arguments.seed,
        families=arguments.families,
        workers=arguments.workers,
    )
    families = ", ".join(f"{n} {family}" for family, n in sorted(summary.images.items()))
    sys.stdout.write(
        f"{summary.folder}: {families}; {summary.questions} questions, {summary.boxes} boxes\n"
    )
    return 0
