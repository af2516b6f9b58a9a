"""Analytics: ``sightline analyze``, ``atlas``, ``export`` and ``sql``."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sightline.server.config import Settings, load_settings
from sightline.server.database import schema_migration
from sightline.server.database.provider import database_dsn, open_database
from sightline.server.observability.terminal import write_lines
from sightline.storage.errors import ConfigurationError
from sightline.storage.files import write_private

_THUMBNAIL_BATCH = 500
#: The same options as those of `grant-analyst` logins.
_SQL_OPTIONS = "-c search_path={path} -c default_transaction_read_only=on -c statement_timeout=60s"


def configure_analyze(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "collections", nargs="*", metavar="COLLECTION", help="collections to cluster (default: all)"
    )
    parser.add_argument(
        "--clusters",
        type=int,
        metavar="K",
        help="clusters per collection (default: square root of half its images, at most 100)",
    )


async def run_analyze(arguments: argparse.Namespace) -> None:
    from sightline.storage.analytics import cluster_analysis

    async with open_database(load_settings()) as database:
        for result in await cluster_analysis.cluster_collections(
            database, names=arguments.collections or None, k=arguments.clusters
        ):
            write_lines(
                f"{result.collection}: {result.assets:,} images in {result.k} clusters "
                f"(embedding space {result.embedding_space_id}), "
                f"mean distance {result.mean_distance:.3f}"
            )
        compared = await cluster_analysis.find_near_duplicates(
            database, progress=lambda line: write_lines(line, error=True)
        )
        write_lines(f"{compared:,} new images compared")


def configure_atlas(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("collection", help="collection, such as album")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="file to write (default: COLLECTION.html)"
    )
    parser.add_argument(
        "--color", metavar="KEY", help="metadata key that is selected for the colors first"
    )
    parser.add_argument(
        "--method", choices=("umap", "pca"), help="projection (default: umap if installed)"
    )
    parser.add_argument(
        "--max-images", type=int, default=20_000, help="draw a sample of larger collections"
    )


def run_atlas(arguments: argparse.Namespace) -> None:
    """Write the file, and print a summary on stderr."""
    path = arguments.output or Path(f"{arguments.collection.replace('/', '_')}.html")
    html, summary = asyncio.run(_draw_atlas(arguments))
    try:
        write_private(path, html)
    except OSError as error:
        raise ConfigurationError(f"Cannot write {str(path)!r}: {error.strerror}.") from error
    write_lines(f"{path}: {summary}, {len(html) / 1e6:.1f} MB", error=True)


async def _draw_atlas(arguments: argparse.Namespace) -> tuple[str, str]:
    """Return the HTML page and a summary."""
    from sightline.server.reports import atlas_page
    from sightline.storage.analytics import atlas_data
    from sightline.storage.records import assets

    async with open_database(load_settings()) as database:
        map_ = await atlas_data.build_map(
            database,
            arguments.collection,
            color=arguments.color,
            method=arguments.method,
            max_points=arguments.max_images,
        )
        thumbnails: dict[str, str] = {}
        for start in range(0, len(map_.ids), _THUMBNAIL_BATCH):
            ids = map_.ids[start : start + _THUMBNAIL_BATCH]
            async with database.connection() as connection:
                jpegs = await assets.thumbnails(connection, ids)
            thumbnails |= {id_: atlas_page.shrink(jpeg) for id_, jpeg in jpegs.items()}
    summary = f"{len(map_.ids):,} of {map_.total:,} images, laid out by {map_.method.upper()}"
    return atlas_page.render(map_, thumbnails, created_at=datetime.now(UTC)), summary


def configure_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("view", help="view, such as assets, searches or embeddings")
    parser.add_argument("--format", choices=("csv", "jsonl", "npy", "parquet"), default="csv")
    parser.add_argument("--space", type=int, help="export one embedding space only")
    parser.add_argument(
        "-o", "--output", type=Path, help="file to write (default: VIEW.FORMAT)", metavar="FILE"
    )


async def run_export(arguments: argparse.Namespace) -> None:
    """Write the file, and print the number of rows on stderr."""
    from sightline.storage.analytics.view_export import export_view

    path = arguments.output or Path(f"{arguments.view}.{arguments.format}")
    async with open_database(load_settings()) as database:
        rows = await export_view(
            database, arguments.view, arguments.format, path, embedding_space=arguments.space
        )
    write_lines(f"{rows:,} rows in {path}", error=True)


def configure_sql(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--command",
        dest="statements",
        action="append",
        default=[],
        metavar="SQL",
        help="run this statement and exit",
    )
    parser.add_argument("--csv", action="store_true", help="print rows as CSV")


def run_sql(arguments: argparse.Namespace) -> int:
    """Run psql and return its exit code; without a terminal it reads stdin."""
    from sightline.server.mcp_server.principals import require_read_only_login

    settings = load_settings()
    require_read_only_login(settings)
    with database_dsn(settings) as dsn:
        schema_migration.require_head(dsn)
        parameters = conninfo_to_dict(_analyst_dsn(settings, dsn))
        # Other users of the machine can see the command line, but not the environment.
        password = parameters.pop("password", None)
        environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
        command = [_find_psql(settings), "--quiet", make_conninfo("", **parameters)]
        command += ["--csv", "--no-psqlrc"] if arguments.csv else []
        if arguments.statements or not sys.stdin.isatty():  # fail on the first error in scripts
            command += ["--set", "ON_ERROR_STOP=1"]
        for statement in arguments.statements:
            command += ["--command", statement]
        with subprocess.Popen(command, env=environment) as psql:  # noqa: S603
            while True:
                try:
                    return psql.wait()
                except KeyboardInterrupt:
                    continue  # psql cancels the statement and goes on


def _analyst_dsn(settings: Settings, dsn: str) -> str:
    if settings.analytics.database_url is not None:
        return settings.analytics.database_url.get_secret_value()
    from sightline.storage.analytics.analyst_roles import shared_query_role
    from sightline.storage.db.connect import connect
    from sightline.storage.db.schema_safety import extension_schema_sync, search_path

    role = asyncio.run(shared_query_role(dsn))
    with connect(dsn) as connection:
        path = search_path("analytics", extension_schema_sync(connection) or "analytics")
    options = _SQL_OPTIONS.format(path=path.replace("\\", r"\\").replace(" ", r"\ "))
    return make_conninfo(dsn, user=role, options=options)


def _find_psql(settings: Settings) -> str:
    """Return psql of the PATH or of the embedded Postgres."""
    path = shutil.which("psql")
    if path is None and settings.database.url is None:
        from sightline.storage.postgres.programs import installed

        path = shutil.which(installed()[0].program("psql"))
    if path is None:
        raise ConfigurationError(
            "psql was not found. Install the Postgres client (postgresql-client on Debian and "
            "Ubuntu, libpq on Homebrew), or use another client with the connection string of "
            "sightline grant-analyst."
        )
    return path
