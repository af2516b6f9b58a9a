"""Environment of a benchmark: temporary settings, CLI calls, raw models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sightline.server.config import Settings, load_settings, variable
from sightline.server.models.image_text.checkpoint import OpenClipFolder
from sightline.server.models.image_text.image_text_encoder import (
    BUILTIN_FOLDER,
    ImageTextModel,
    load_model,
)

SIGHTLINE = Path(sys.executable).with_name("sightline")


@contextmanager
def temporary_settings(**options: Any) -> Iterator[Settings]:
    """Yield settings: built-in encoder and embedded Postgres in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        yield load_settings(
            **{
                "data_dir": Path(folder) / "data",
                "encoder__model": "builtin",
                "ingest__ocr": "off",
                "http__port": 0,
                "log__level": "error",
                "startup_timeout_seconds": 600,
                "encoder__max_cached_texts": 0,
                **options,
            }
        )


def command_environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables of a command with only these settings."""
    values = {
        "data_dir": settings.data_dir,
        "encoder.model": settings.encoder.model,
        "encoder.threads": settings.encoder.threads,
        "ingest.workers": settings.ingest.workers,
        "ingest.ocr": settings.ingest.ocr,
        "log.level": settings.log.level,
    }
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SIGHTLINE_")}
    return inherited | {variable(key): str(value) for key, value in values.items()}


def ingest(settings: Settings, folder: Path) -> dict[str, Any]:
    """Run ``sightline ingest --json`` and return its summary."""
    process = subprocess.run(
        [SIGHTLINE, "ingest", str(folder), "--collection", "bench", "--json"],
        env=command_environment(settings),
        stdout=subprocess.PIPE,
        check=True,
    )
    summary: dict[str, Any] = json.loads(process.stdout)
    return summary


def load_raw_model(settings: Settings) -> ImageTextModel:
    """Load the built-in model without batcher, cache or thread, on the server's engine."""
    folder = OpenClipFolder.open(BUILTIN_FOLDER)
    return load_model(settings.encoder, settings.data_dir, folder, BUILTIN_FOLDER.name)
