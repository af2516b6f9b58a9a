"""Whether typed queries find the right text: R@1 by kind of query.

    python -m benchmarks typed_queries -- QUERIES.jsonl TEXTS

Each line of the file of queries has ``kind``, ``q`` and ``rel``: the names without suffix of the
files in the folder of texts of which any is right as the first hit, or ``["-"]`` if the result must
be empty or have only weak hits. Each text is ingested as a document for `search_text`, and as the
caption of a picture for `search_images`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image

from benchmarks.environment import temporary_settings
from benchmarks.search_quality.outcomes import (
    NONE,
    Outcome,
    Query,
    print_failures,
    print_json,
    print_recall,
    summary,
)
from benchmarks.search_quality.search_session import SearchTool, open_session
from sightline.server.config import Settings

#: By tool: the collection that it searches.
_COLLECTIONS: Final[dict[SearchTool, str]] = {"search_text": "texts", "search_images": "captions"}
_PICTURE_SIZE = (64, 48)


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = _options(arguments)
    with temporary_settings(rate_limit__max_calls_per_minute=0) as settings:
        outcomes = await measure(settings, load_queries(options.queries), options.texts)
    if options.json:
        print_json({tool: summary(found) for tool, found in outcomes.items()})
        return
    print_recall("Typed queries, R@1", "kind", outcomes)
    if options.verbose:
        for tool, found in outcomes.items():
            print_failures(tool, found)


def load_queries(path: Path) -> list[Query]:
    """Read the queries. Exits with an error that names a line without a field."""
    queries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            queries.append(Query(row["kind"], row["q"], frozenset(row["rel"]) - {NONE}))
        except (ValueError, KeyError) as error:
            sys.exit(f"{path}, line {number}: needs kind, q and rel ({error}).")
    return queries


async def measure(
    settings: Settings, queries: Sequence[Query], texts: Path
) -> dict[str, list[Outcome]]:
    """Ingest the texts and return the outcomes by tool."""
    pictures = settings.data_dir.parent / _COLLECTIONS["search_images"]
    caption_pictures(texts, pictures)
    async with open_session(settings) as session:
        await session.ingest(texts, _COLLECTIONS["search_text"])
        await session.ingest(pictures, _COLLECTIONS["search_images"])
        return {
            tool: await session.run(tool, queries, collection)
            for tool, collection in _COLLECTIONS.items()
        }


def caption_pictures(texts: Path, folder: Path) -> None:
    """Write a picture of one color for each text, and the text as its caption."""
    folder.mkdir()
    captions: list[dict[str, Any]] = []
    for number, path in enumerate(sorted(texts.iterdir())):
        name = f"{path.stem}.png"
        shade = number * 37 % 256, number * 101 % 256, number * 59 % 256
        Image.new("RGB", _PICTURE_SIZE, shade).save(folder / name)
        text = path.read_bytes().decode("utf-8-sig", "replace")
        captions.append({"file_name": name, "caption": text})
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in captions]
    (folder / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks typed_queries")
    parser.add_argument("queries", type=Path, metavar="QUERIES", help="file of queries, JSON Lines")
    parser.add_argument("texts", type=Path, metavar="TEXTS", help="folder of the texts")
    parser.add_argument("--verbose", action="store_true", help="list the wrong results")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead")
    return parser.parse_args(arguments)
