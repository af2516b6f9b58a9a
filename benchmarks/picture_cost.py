"""Measure CPU milliseconds of the decoder per picture, in each format.

    python -m benchmarks picture_cost -- FILE...

JPEGs are measured as they are, and their pixels also in the other formats. Without OCR and tiles.
The best of three runs.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from benchmarks.tables import print_table
from sightline.server.models.image_text.preprocess import Preprocess
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.dispatch import run_request
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.ingest.ingest_options import IngestOptions

_RUNS = 3
_PILLOW_FORMATS = {
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".avif": "AVIF",
    ".jp2": "JPEG2000",
    ".jxl": "JXL",
}


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="picture_cost", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    files = parser.parse_args(arguments).files
    pictures = {".jpg": [file.read_bytes() for file in files]}
    for suffix, encode in encoders().items():
        pictures[suffix] = [encode(Image.open(file).convert("RGB")) for file in files]
    rows = []
    for suffix, items in pictures.items():
        seconds = min(measure(suffix, items) for _ in range(_RUNS)) / len(items)
        size = sum(map(len, items)) / len(items)
        rows.append([suffix, str(len(items)), f"{size / 1000:,.0f}", f"{1000 * seconds:.1f}"])
    print_table("Cost of pictures", ["format", "pictures", "kB", "CPU ms per picture"], rows)


def encoders() -> dict[str, Callable[[Image.Image], bytes]]:
    """Return how to write each format."""
    import pillow_heif
    import pillow_jxl  # noqa: F401 - registers the format

    def saved(image: Image.Image, form: str) -> bytes:
        file = io.BytesIO()
        image.save(file, form)
        return file.getvalue()

    def heic(image: Image.Image) -> bytes:
        file = io.BytesIO()
        pillow_heif.from_pillow(image).save(file)
        return file.getvalue()

    by_pillow = {
        suffix: lambda image, form=form: saved(image, form)
        for suffix, form in _PILLOW_FORMATS.items()
    }
    return {**by_pillow, ".heic": heic}


def measure(suffix: str, items: list[bytes]) -> float:
    """Decode the pictures; return CPU seconds."""
    context = WorkerContext(Preprocess.from_open_clip({"size": 224}), IngestOptions())
    start = time.process_time()
    for data in items:
        list(run_request(messages.DecodeRequest(name=f"a{suffix}", data=data), context))
    return time.process_time() - start
