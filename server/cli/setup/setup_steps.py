"""The steps after the configuration is written: ingest, first search, clients."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sightline.server.cli.cli_context import call_tool
from sightline.server.cli.connect.client_catalog import CLIENTS, ClientPlatform, McpClient
from sightline.server.cli.connect.connect_command import configure_connect, run_connect
from sightline.server.cli.library.ingest import ingest_paths, ingest_progress
from sightline.server.cli.library.ingest_summary import print_summary
from sightline.server.cli.library.reencode_command import configure_reencode, run_reencode
from sightline.server.cli.library.search import print_hits
from sightline.server.cli.setup.languages import usable_ocr_models
from sightline.server.cli.setup.model_proposal import FIRST_QUERIES
from sightline.server.cli.setup.setup_answers import SetupAnswers
from sightline.server.config import Settings
from sightline.server.database.provider import database_exists, open_database
from sightline.server.observability import terminal
from sightline.server.observability.terminal import write_lines
from sightline.storage.errors import ConfigurationError, shown
from sightline.storage.ingest import collection_settings
from sightline.storage.ingest.progress import IngestSummary
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import collections, embedding_spaces
from sightline.storage.types import Level

_HITS = 5


def collections_of_other_encoders(
    settings: Settings, encoders: Mapping[Level, EncoderIdentity]
) -> list[str]:
    """Return the collections whose vectors these encoders cannot search, by name.

    Creates no database.
    """
    if not database_exists(settings):
        return []
    return asyncio.run(_find_others(settings, encoders))


async def _find_others(settings: Settings, encoders: Mapping[Level, EncoderIdentity]) -> list[str]:
    found = set()
    async with open_database(settings) as database, database.connection() as connection:
        for each in await collections.list_collections(connection):
            for level, identity in encoders.items():
                space = await embedding_spaces.find_for_collection(connection, each.id, level)
                if space is not None and space.identity != identity:
                    found.add(each.name)
    return sorted(found)


def reencode_collection(settings: Settings, collection: str, *, shown: bool) -> None:
    """Re-encode a collection for the encoders of the settings."""
    parser = terminal.Parser()
    configure_reencode(parser)
    encoder = settings.encoder
    words = [collection, "--encoder", encoder.model, "--text-encoder", encoder.passage_model]
    arguments = parser.parse_args([*words, *([] if shown else ["--quiet"])])
    if asyncio.run(run_reencode(arguments)):
        raise ConfigurationError(
            f"Collection {collection!r} keeps its old vectors, because pictures cannot be read. "
            f"Run: sightline reencode {collection} --allow-missing"
        )


def ingest_folder(settings: Settings, answers: SetupAnswers, *, shown: bool) -> IngestSummary:
    """Ingest the folder of the answers; ``shown`` is whether there is a progress bar."""
    languages = usable_ocr_models(answers.languages, settings.ingest.ocr_models)
    chosen = {collection_settings.OCR_LANGUAGES_SETTING: languages} if languages else None
    with ingest_progress(shown=shown) as progress:
        summary = asyncio.run(
            ingest_paths(
                settings, [Path(answers.folder)], answers.collection, progress, chosen=chosen
            )
        )
    print_summary(summary)
    return summary


def first_query(answers: SetupAnswers) -> str:
    """Return a query that fits the material."""
    return FIRST_QUERIES[answers.materials[0]]


def first_search(settings: Settings, answers: SetupAnswers, query: str) -> dict[str, Any]:
    """Search the collection of the answers, print the hits, and return the result."""
    tool = "search_text" if answers.materials == ("documents",) else "search_images"
    arguments = {"query": query, "collection": answers.collection, "limit": _HITS}
    result = asyncio.run(call_tool(settings, tool, arguments))
    print_hits(result)
    return result


def installed_clients() -> list[McpClient]:
    """Return the clients of this machine."""
    platform = ClientPlatform.current()
    return [each for each in CLIENTS.values() if each.is_installed(platform)]


def parse_clients(text: str) -> list[McpClient]:
    """Return clients by name, or all installed ones. Raises ConfigurationError."""
    if text == "all":
        return installed_clients()
    names = [each.strip() for each in text.split(",") if each.strip()]
    names = [] if names == ["none"] else names
    wrong = next((each for each in names if each not in CLIENTS), None)
    if wrong is not None:
        raise ConfigurationError(
            f"Unknown client {shown(wrong)}. Available: all, none, {', '.join(CLIENTS)}."
        )
    return [CLIENTS[each] for each in names]


def connect_clients(clients: Sequence[McpClient]) -> None:
    """Add the server to clients, as `sightline connect` does."""
    parser = terminal.Parser()
    configure_connect(parser)
    for client in clients:
        arguments = parser.parse_args([client.id])
        run_connect(arguments)
        write_lines("")
