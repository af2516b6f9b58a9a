"""``sightline reencode``: give a collection the vectors of other encoders."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sightline.server.cli.cli_context import open_dependencies
from sightline.server.cli.library.ingest import chosen_languages
from sightline.server.config import Settings, load_settings, variable
from sightline.server.config.config_edit import config_target, plan_change
from sightline.server.config.settings_loader import effective_settings
from sightline.server.database.provider import open_database
from sightline.server.models.model_choice import SAME_AS_IMAGES
from sightline.server.models.ocr.ocr_models import OCR_LANGUAGES
from sightline.server.observability import logs, terminal
from sightline.server.observability.terminal_questions import ask_yes, can_ask
from sightline.storage.db.pool import Database
from sightline.storage.errors import ConfigurationError
from sightline.storage.ingest import collection_settings
from sightline.storage.ingest.reencode.reencoding import (
    ReencodeProgress,
    ReencodeSummary,
    reencode,
)
from sightline.storage.ingest.reencode.space_switch import SpaceChange, drop, switch_back
from sightline.storage.ingest.reencode.text_reading import reread_text
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import collections, embedding_spaces
from sightline.storage.types import Level

_MAX_SHOWN = 20
_LEVELS: dict[Level, str] = {"asset": "images", "region": "tiles", "passage": "passages"}
_SETTINGS = {"encoder": "encoder.model", "text_encoder": "encoder.passage_model"}


def configure_reencode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("collection", metavar="COLLECTION")
    parser.add_argument(
        "--encoder",
        metavar="NAME",
        help=f"encoder of images, as in {variable('encoder.model')}, which is the default",
    )
    parser.add_argument(
        "--text-encoder",
        metavar="NAME",
        help=f"encoder of passages, as in {variable('encoder.passage_model')}, which is the "
        f"default; '{SAME_AS_IMAGES}' for that of images",
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--back",
        action="store_true",
        help="use the vectors of before the last re-encoding again",
    )
    action.add_argument(
        "--drop-old",
        action="store_true",
        help="delete the vectors of before; with --encoder or --text-encoder, after the switch",
    )
    action.add_argument(
        "--cancel", action="store_true", help="delete the vectors of an unfinished re-encoding"
    )
    action.add_argument(
        "--ocr",
        action="store_true",
        help="read the text of images again that another OCR engine, mode or language has read",
    )
    parser.add_argument(
        "--ocr-languages",
        metavar="NAME,...",
        help=f"with --ocr: languages besides those in Latin script, Chinese and Japanese: "
        f"{', '.join(OCR_LANGUAGES)}; 'none' for no other",
    )
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="switch although some pictures cannot be read; searches by content will not find them",
    )
    parser.add_argument(
        "--save",
        action="store_true",
        help="after the switch, write the new encoder to sightline.toml without asking",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


async def run_reencode(arguments: argparse.Namespace) -> int:
    """Run one action; return 1 if pictures that cannot be read prevented the switch."""
    settings = load_settings()
    logs.configure(settings, is_command=True)
    chosen = {key: value for name, key in _SETTINGS.items() if (value := getattr(arguments, name))}
    if arguments.ocr_languages is not None and not arguments.ocr:
        raise ConfigurationError("--ocr-languages needs --ocr.")
    if chosen and (arguments.back or arguments.cancel or arguments.ocr):
        raise ConfigurationError("--back, --cancel and --ocr need no encoder.")
    if arguments.back or arguments.cancel or (arguments.drop_old and not chosen):
        async with open_database(settings) as database:
            return await _run_without_encoder(database, arguments)
    if arguments.ocr:
        return await _read_text(settings, arguments)
    overrides = {key.replace(".", "__"): value for key, value in chosen.items()}
    wanted = load_settings(**overrides)
    with _progress("encoding", "vectors", shown=_shows_progress(arguments)) as progress:
        async with open_dependencies(wanted) as deps:
            database = await deps.database.get()
            summary = await reencode(
                database,
                deps.blobs,
                await deps.encoder.get(),
                arguments.collection,
                passage_encoder=await (deps.passage_encoder or deps.encoder).get(),
                options=deps.ingest_options,
                progress=progress,
                allow_missing=arguments.allow_missing,
                free_bytes=_free_bytes(settings),
            )
            dropped: Sequence[EncoderIdentity] = ()
            if summary.switched and arguments.drop_old:
                async with database.connection() as connection:
                    target = await collections.get(connection, summary.collection)
                dropped = await drop(database, target, "previous")
            others = await _others(database, summary)
    advice = _settings_to_change(chosen) if summary.switched else {}
    if arguments.save and _is_savable(advice):
        plan_change(dict(chosen)).write()
        advice = _settings_to_change(chosen)
    if arguments.json:
        terminal.write_json(_as_json(summary, dropped, advice, others))
    else:
        _print(summary, dropped, advice, others)
        if _is_savable(advice) and can_ask() and not arguments.quiet:
            _ask_to_save(chosen)
    return 1 if summary.unreadable and not summary.switched else 0


async def _run_without_encoder(database: Database, arguments: argparse.Namespace) -> int:
    async with database.connection() as connection:
        target = await collections.get(connection, arguments.collection)
    result: dict[str, Any] = {"collection": target.name}
    if arguments.back:
        changes = await switch_back(database, target)
        result |= {"switched": True, "changes": [_change_as_json(each) for each in changes]}
        lines = [f"{target.name}: {_described(each)}" for each in changes]
        lines.append(
            "Set the old encoders for servers and commands again, and restart running servers."
        )
    else:
        dropped = await drop(database, target, "previous" if arguments.drop_old else "next")
        result["dropped"] = [str(each) for each in dropped]
        lines = [f"{target.name}: dropped the vectors of {each}" for each in dropped]
    if arguments.json:
        terminal.write_json(result)
    else:
        terminal.write_lines(*lines)
    return 0


async def _read_text(settings: Settings, arguments: argparse.Namespace) -> int:
    """Read the text of images again; return 1 if some could not be read."""
    chosen: dict[str, Any] = {}
    if arguments.ocr_languages is not None:
        languages = chosen_languages(arguments.ocr_languages)
        chosen[collection_settings.OCR_LANGUAGES_SETTING] = languages
    with _progress("reading", "files", shown=_shows_progress(arguments)) as progress:
        async with open_dependencies(settings) as deps:
            summary = await reread_text(
                await deps.database.get(),
                deps.blobs,
                arguments.collection,
                deps.ocr_engine,
                passage_encoder=await (deps.passage_encoder or deps.encoder).get(),
                options=deps.ingest_options,
                settings=chosen,
                progress=progress,
            )
    if arguments.json:
        terminal.write_json(
            {
                "collection": summary.collection,
                "ocr_engine": summary.ocr_engine,
                "sources": summary.sources,
                "lines": summary.lines,
                "unreadable": dict(summary.unreadable),
            }
        )
    else:
        _print_unreadable(summary.unreadable)
        terminal.write_lines(
            f"{summary.collection}: {summary.lines:,} lines in {summary.sources:,} files read "
            f"again ({summary.ocr_engine})"
        )
    return 1 if summary.unreadable else 0


def _shows_progress(arguments: argparse.Namespace) -> bool:
    return not arguments.quiet and not arguments.json


def _print_unreadable(unreadable: Mapping[str, str]) -> None:
    for name, reason in list(unreadable.items())[:_MAX_SHOWN]:
        terminal.write_lines(f"cannot be read: {name}: {reason}", error=True)


def _free_bytes(settings: Settings) -> int | None:
    """Return the free disk space of the embedded database; None for another one."""
    if settings.database.url is not None:
        return None
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return shutil.disk_usage(settings.data_dir).free


async def _others(database: Database, summary: ReencodeSummary) -> list[str]:
    """Return other collections with vectors of the encoders that this one had."""
    before = {(each.level, each.before) for each in summary.changes}
    found: list[str] = []
    async with database.connection() as connection:
        for each in await collections.list_collections(connection) if before else ():
            used = await embedding_spaces.of_collection(connection, each.id)
            if before & {(level, space.identity) for level, space in used.items()}:
                found.append(each.name)
    return found


def _settings_to_change(chosen: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the settings that name another encoder: the new value, and their source."""
    return {
        each.key: {"value": chosen[each.key], "source": each.source}
        for each in effective_settings()
        if each.key in chosen and each.value != chosen[each.key]
    }


def _is_savable(advice: Mapping[str, Mapping[str, str]]) -> bool:
    """Return whether sightline.toml decides: no variable overrides it."""
    return bool(advice) and all(change["source"] != variable(key) for key, change in advice.items())


def _ask_to_save(chosen: Mapping[str, str]) -> None:
    """Offer to write the new encoders to the configuration file."""
    values = ", ".join(f"{key} = {value}" for key, value in chosen.items())
    path = config_target(os.environ)
    if ask_yes(f"Write {values} to {path}?", default=True):
        plan_change(dict(chosen)).write()
        terminal.write_lines(f"{path}: written")


@contextmanager
def _progress(task: str, unit: str, *, shown: bool) -> Iterator[Callable[[ReencodeProgress], None]]:
    """Show a progress bar with the remaining time on stderr."""
    with terminal.progress_bar(shown=shown) as update_bar:

        def update(progress: ReencodeProgress) -> None:
            description = "indexing" if progress.is_indexing else task
            update_bar(description, progress.done, progress.total, unit)

        yield update


def _described(change: SpaceChange) -> str:
    return f"{_LEVELS[change.level]}: from {change.before} to {change.after}"


def _print(
    summary: ReencodeSummary,
    dropped: Sequence[EncoderIdentity],
    advice: dict[str, dict[str, str]],
    others: Sequence[str],
) -> None:
    name = summary.collection
    _print_unreadable(summary.unreadable)
    if summary.unreadable and not summary.switched:
        terminal.write_lines(
            f"{name}: not switched, because {len(summary.unreadable):,} pictures cannot be read. "
            "Restore them and run the command again, or add --allow-missing.",
            error=True,
        )
        return
    if not summary.switched:
        terminal.write_lines(f"{name}: has the vectors of these encoders already")
        return
    terminal.write_lines(f"{name}: {summary.vectors:,} vectors made")
    terminal.write_lines(*(f"{name}: {_described(each)}" for each in summary.changes))
    terminal.write_lines(*(f"{name}: dropped the vectors of {each}" for each in dropped))
    for key, change in advice.items():
        terminal.write_lines(f"Change now: {_instruction(key, change['value'], change['source'])}")
    if others:
        terminal.write_lines(
            f"These collections still have the old encoder: {', '.join(others)}. A server searches "
            "only collections of its own encoder: re-encode them, too."
        )
    terminal.write_lines("Restart running servers.")
    if not dropped:
        terminal.write_lines(
            f"The old vectors are kept: sightline reencode {name} --back or --drop-old"
        )


def _instruction(key: str, value: str, source: str) -> str:
    if source == "default":
        return f"{variable(key)}={value}, or {key} in sightline.toml"
    return f"{key} to {value!r} in {source}" if source != variable(key) else f"{source}={value}"


def _change_as_json(change: SpaceChange) -> dict[str, str]:
    return {
        "level": change.level,
        "before": str(change.before),
        "after": str(change.after),
    }


def _as_json(
    summary: ReencodeSummary,
    dropped: Sequence[EncoderIdentity],
    advice: dict[str, dict[str, str]],
    others: Sequence[str],
) -> dict[str, Any]:
    return {
        "collection": summary.collection,
        "switched": summary.switched,
        "changes": [_change_as_json(each) for each in summary.changes],
        "vectors": summary.vectors,
        "unreadable": dict(summary.unreadable),
        "dropped": [str(each) for each in dropped],
        "settings_to_change": advice,
        "collections_with_old_encoder": list(others),
    }
