"""A Sightline of the benchmark's own: a data folder that is removed, settings, raw models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sightline.server.config import settings as process_settings
from sightline.server.config.settings import Settings, variable
from sightline.server.models.image_text import image_text_encoder
from sightline.server.models.image_text.checkpoint import FingerprintCache, ModelFolder

SIGHTLINE = Path(sys.executable).with_name("sightline")


@contextmanager
def settings(**options: Any) -> Iterator[Settings]:
    """The built-in encoder over an embedded Postgres in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        yield process_settings.load(
            **{
                "data_dir": Path(folder) / "data",
                "encoder": "builtin",
                "ocr": "off",
                "http_port": 0,
                "log_level": "error",
                "loading_wait_seconds": 600,
                "text_cache_entries": 0,
                **options,
            }
        )


def environment(chosen: Settings, base: Mapping[str, str]) -> dict[str, str]:
    """The settings for a command, in an environment without any others."""
    kept = {name: value for name, value in base.items() if not name.startswith("SIGHTLINE_")}
    named = ("data_dir", "encoder", "encoder_threads", "ingest_workers", "log_level", "ocr")
    return kept | {variable(name): str(getattr(chosen, name)) for name in named}


def ingest(chosen: Settings, folder: Path, base: Mapping[str, str]) -> dict[str, Any]:
    """What ``sightline ingest --json`` says."""
    done = subprocess.run(
        [SIGHTLINE, "ingest", str(folder), "--collection", "bench", "--json"],
        env=environment(chosen, base),
        stdout=subprocess.PIPE,
        check=True,
    )
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def raw_model(chosen: Settings) -> image_text_encoder.Model:
    """The built-in model without batcher, cache or thread: the encoder's own limit."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the server has it
    from sightline.server.models.image_text import open_clip_model

    cache = FingerprintCache(chosen.data_dir / "cache" / "fingerprints.json")
    folder = ModelFolder.open(image_text_encoder.builtin_folder())
    source = open_clip_model.in_folder(folder, image_text_encoder.BUILTIN_NAME, cache)
    return open_clip_model.OpenClipModel(
        source,
        device=chosen.device,
        precision=chosen.precision,
        cpu_threads=chosen.encoder_threads,
    )
