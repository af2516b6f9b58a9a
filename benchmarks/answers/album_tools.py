"""Open the tool dependencies over a new album, with the built-in models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sightline.server.cli import cli_context
from sightline.server.cli.library.ingest import ingest
from sightline.server.config import load_settings
from sightline.storage.errors import InvalidArgumentError
from sightline.tools.shared.dependencies import Dependencies


@asynccontextmanager
async def open_dependencies(
    folder: Path, album: Path, collection: str
) -> AsyncIterator[Dependencies]:
    """Ingest ``album`` with OCR into an embedded Postgres below ``folder``.

    The built-in models are used, whatever the environment says.
    """
    settings = load_settings(
        data_dir=folder / "data",
        database__url=None,
        encoder__model="builtin",
        ingest__ocr="on",
        vlm__base_url=None,
        vlm__model="builtin",
        vlm__timeout_seconds=600,
        limits__answer_timeout_seconds=3600,
        limits__min_answer_confidence=0,
    )
    async with cli_context.open_dependencies(settings) as deps:
        summary = await ingest(deps, [album], collection)
        if summary.nothing_ingested:
            raise InvalidArgumentError(f"Could not ingest any file of {album}.")
        yield deps
