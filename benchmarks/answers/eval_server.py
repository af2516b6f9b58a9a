"""A server over an album of its own, with the built-in model served over HTTP beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sightline.server.cli import cli_context
from sightline.server.config.settings import load
from sightline.server.evaluation.answers.eval_questions import Question
from sightline.server.models.model_server.builtin.builtin_server import serving
from sightline.server.models.model_server.builtin.openai_app import BUILTIN
from sightline.storage.errors import InvalidArgumentError
from sightline.storage.records import by_filename
from sightline.tools.shared.dependencies import Dependencies


@asynccontextmanager
async def opened(folder: Path, album: Path, collection: str) -> AsyncIterator[Dependencies]:
    """``album`` in an embedded Postgres under ``folder``, every text in it read, and the model.

    The built-in models throughout, whatever the environment says.
    """
    with serving(BUILTIN) as url:
        settings = load(
            data_dir=folder / "data",
            database_url=None,
            encoder="builtin",
            ocr="on",
            vlm_base_url=url,
            vlm_model=BUILTIN.name,
            vlm_timeout_seconds=600,
            answer_timeout_seconds=3600,
            answer_least_confidence=0,
        )
        async with cli_context.opened(settings) as deps:
            summary = await cli_context.ingest(deps, [album], collection)
            if summary.nothing_ingested:
                raise InvalidArgumentError(f"nothing in {album} could be ingested")
            yield deps


async def sources(
    deps: Dependencies, questions: Sequence[Question], collection: str | None
) -> dict[str, str]:
    """The ids of the pictures that the questions name, by file; of a document the first page."""
    names = {name for each in questions for name in each.sources}
    database = await deps.database.get()
    async with database.connection() as connection:
        filed = await by_filename.assets_of(connection, names, collection)
    found: dict[str, str] = {}
    for each in filed:
        found.setdefault(each.source, each.id)
    return found
