"""The commands of ``sightline``, in the groups and order of ``sightline --help``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

#: Meaning of each exit code. ``sql`` and ``vlm serve`` return the code of their program.
EXIT_CODES = {
    0: "done",
    1: "done, but with problems: found, left over, no hit, or nothing could be ingested",
    2: "error: one message on stderr says what to do",
    70: "unexpected error: a traceback on stderr; please report it",
    130: "stopped by Ctrl-C",
    141: "the reader of the output has gone",
}


@dataclass(frozen=True, slots=True)
class Command:
    """One command. The module defines ``run_NAME`` and perhaps ``configure_NAME``.

    ``run_NAME`` may be async and may return an exit code. ``help`` is one line of
    ``sightline --help``; ``description`` says more in ``sightline NAME --help``. Commands with
    actions give an example of each action.
    """

    name: str
    module: str
    help: str
    examples: tuple[str, ...]
    description: str = ""

    @property
    def suffix(self) -> str:
        """Return the name as part of an identifier."""
        return self.name.replace("-", "_")


GROUPS: dict[str, tuple[Command, ...]] = {
    "Start": (
        Command(
            "demo",
            "demo.demo_command",
            "try it: demo images, every tool, no download",
            ("sightline demo", "sightline demo --images ~/Pictures --once"),
            "serve demo images and call every tool (built-in models, no download)",
        ),
        Command(
            "setup",
            "setup.setup_command",
            "choose models, ingest a folder, search, connect",
            ("sightline setup", "sightline setup ~/Pictures --yes --offline"),
            "choose and download models, ingest a folder, search it and connect MCP clients",
        ),
        Command(
            "connect",
            "connect.connect_command",
            "add the server to an MCP client, or list them",
            ("sightline connect claude-desktop",),
            "add the server to an MCP client, or list the clients of this machine",
        ),
        Command(
            "doctor",
            "admin.doctor",
            "check the installation and explain each problem",
            ("sightline doctor",),
            "check database, models and settings, and explain how to fix problems",
        ),
        Command(
            "config",
            "admin.config",
            "print all settings with values and sources",
            ("sightline config --format toml > sightline.toml",),
            "print all settings with their values and sources",
        ),
    ),
    "Library": (
        Command(
            "ingest",
            "library.ingest",
            "add files, folders, archives and URLs",
            ("sightline ingest ~/Pictures --collection album",),
            "add images, documents, video, sound and text to a collection",
        ),
        Command(
            "watch",
            "library.watch_command",
            "keep a collection like a folder",
            ("sightline watch ~/Pictures --collection album",),
            "ingest what is added to a folder or changed in it, and forget what is deleted",
        ),
        Command(
            "collections",
            "library.collections_command",
            "list, rename, describe, delete, set up",
            (
                "sightline collections list",
                "sightline collections rename album holidays",
                'sightline collections describe album "Photographs of our journeys"',
                "sightline collections settings album tiles=true ocr_languages=korean,el",
                "sightline collections delete album",
            ),
            "list, rename, describe, delete and set up collections",
        ),
        Command(
            "list",
            "library.content_commands",
            "list the assets of a collection, page by page",
            ('sightline list album --filter \'{"kind": "page"}\' --after 2026-05-01',),
            "list assets, the newest first, page by page",
        ),
        Command(
            "delete",
            "library.content_commands",
            "delete assets or the content of files",
            (
                "sightline delete 4f7a2c9e1b03",
                "sightline delete scans/invoice.pdf --collection receipts",
            ),
            "delete assets, or all that was made from files; your own files stay",
        ),
        Command(
            "prune",
            "library.prune_command",
            "forget files that do not exist any more",
            ("sightline prune --collection album --dry-run",),
            "forget files that do not exist any more, with their assets and annotations",
        ),
        Command(
            "stats",
            "library.content_commands",
            "count files, assets, passages, vectors, bytes",
            ("sightline stats album",),
            "count what a collection or the whole library holds, and its size",
        ),
        Command(
            "failures",
            "library.failures_command",
            "list failed files and unreadable pages",
            ("sightline failures --collection album",),
            "list the files that failed and the pages that could not be read",
        ),
        Command(
            "reencode",
            "library.reencode_command",
            "give a collection vectors of another encoder",
            (
                "sightline reencode album --encoder siglip2-base",
                "sightline reencode album --back",
                "sightline reencode album --drop-old",
                "sightline reencode album --ocr --ocr-languages th",
            ),
            "give a collection vectors of another encoder while searches continue, then switch",
        ),
        Command(
            "export-annotations",
            "library.export_annotations",
            "write saved boxes as COCO or LLaVA data set",
            ("sightline export-annotations boxes --collection album --format coco",),
            "write saved annotations and their images in COCO or LLaVA format",
        ),
    ),
    "Search": (
        Command(
            "search",
            "library.search",
            "find images or, with --text, passages",
            (
                'sightline search "a red van" --collection album',
                "sightline search --like photo.jpg --open",
            ),
            "search images (or, with --text, passages) and print a table",
        ),
        Command(
            "show",
            "library.search",
            "show the properties of one asset",
            ("sightline show 4f7a2c9e1b03",),
        ),
    ),
    "Servers": (
        Command(
            "serve",
            "serving.serve",
            "run the MCP server: stdio, or --http",
            ("sightline serve", "sightline serve --http --port 8765"),
            "run the MCP server over stdio, or with --http over streamable HTTP",
        ),
        Command(
            "open",
            "serving.open_command",
            "open the web app; start a server if none runs",
            ("sightline open", "sightline open --no-browser"),
            "open the web app of a running server in the browser, or start a server for it",
        ),
        Command(
            "vlm",
            "serving.vlm",
            "serve a vision-language model for answers",
            ("sightline vlm serve llava-hf/llava-1.5-7b-hf --name llava",),
            "serve a vision-language model for answer_question",
        ),
    ),
    "Models": (
        Command(
            "models",
            "model_commands.models_command",
            "list, download, convert and remove models",
            (
                "sightline models list",
                "sightline models pull siglip2-base",
                "sightline models export ~/checkpoints/clip --precision int8",
                "sightline models remove siglip2-base",
            ),
        ),
        Command(
            "eval",
            "analysis.eval",
            "measure retrieval and answers on your queries",
            ("sightline eval queries.jsonl --collection album",),
            "measure retrieval and answers on your own queries",
        ),
        Command(
            "world",
            "demo.world",
            "draw synthetic images with exact captions",
            ("sightline world scenes --count 100",),
            "draw synthetic images with exact captions, questions and boxes",
        ),
    ),
    "Analysis": (
        Command(
            "analyze",
            "analysis.analytics_commands",
            "cluster images and find near-duplicates",
            ("sightline analyze album",),
            "cluster the images of collections and find near-duplicates",
        ),
        Command(
            "atlas",
            "analysis.analytics_commands",
            "draw a map of a collection as one HTML file",
            ("sightline atlas album --output album.html",),
            "draw a map of a collection: one HTML file that shows images on hover",
        ),
        Command(
            "sql",
            "analysis.sql_command",
            "open psql on the schema analytics (read-only)",
            (
                'sightline sql --command "SELECT count(*) FROM assets"',
                "sightline sql -At -v name=album -f report.sql -o report.txt",
            ),
            "open psql on the schema analytics (read-only); the exit code is that of psql",
        ),
        Command(
            "embed",
            "analysis.embed_command",
            "print the vectors of words as literals for SQL",
            ("sightline embed 'a red van'", "sightline embed --level passage 'departure times'"),
        ),
        Command(
            "export",
            "analysis.view_export_command",
            "write a view or a query to a file, with vectors",
            (
                "sightline export embeddings --collection album --level asset --format parquet",
                'sightline export --query "SELECT * FROM duplicates(0.02)" --format csv',
            ),
            "write a view or a query of the schema analytics, including vectors, to a file",
        ),
    ),
    "Admin": (
        Command(
            "completion",
            "completion",
            "print a completion script for bash, zsh or fish",
            ("sightline completion bash",),
        ),
        Command(
            "migrate",
            "admin.database_commands",
            "upgrade the database schema to this version",
            ("sightline migrate",),
        ),
        Command(
            "check",
            "admin.database_commands",
            "check tables, vectors and stored files",
            ("sightline check --repair",),
            "check the consistency of tables, vectors and stored files",
        ),
        Command(
            "backup",
            "admin.database_commands",
            "write database and stored files into one file",
            ("sightline backup monday.sightline",),
            "write the database and the stored files into one file",
        ),
        Command(
            "restore",
            "admin.database_commands",
            "restore a backup",
            ("sightline restore monday.sightline",),
        ),
        Command(
            "token",
            "admin.access_commands",
            "create a bearer token for the HTTP server",
            ("sightline token alice --scopes read write",),
        ),
        Command(
            "bind",
            "admin.access_commands",
            "set which collections a principal sees",
            ("sightline bind", "sightline bind alice --collections album receipts"),
            "set which collections a principal sees; without arguments, list all bindings",
        ),
        Command(
            "grant-analyst",
            "admin.access_commands",
            "create a login for the schema analytics",
            ("sightline grant-analyst alice --collections album",),
            "create a login that can read the schema analytics only",
        ),
        Command(
            "revoke-analyst",
            "admin.access_commands",
            "delete a login of grant-analyst",
            ("sightline revoke-analyst alice", "sightline revoke-analyst alice --drop-owned"),
            "delete a login of grant-analyst and end its sessions",
        ),
    ),
}

COMMANDS = {command.name: command for group in GROUPS.values() for command in group}


def overview() -> str:
    """Return the help of ``sightline``: one line per command, at most 40 lines."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "usage: sightline [--version] [--config FILE] COMMAND [--help] ..."
    name_width = max(map(len, COMMANDS))
    for title, commands in GROUPS.items():
        for number, command in enumerate(commands):
            yield f"{title if number == 0 else '':8} {command.name:{name_width}}  {command.help}"
    yield "Options and examples: sightline COMMAND --help. Settings: sightline config."


def examples_of(prog: str) -> list[str]:
    """Return the examples of a command or action, such as ``sightline models pull``."""
    command = COMMANDS[prog.split()[1]]
    return [each for each in command.examples if f"{each} ".startswith(f"{prog} ")]


def epilog(prog: str) -> str:
    """Return the end of the help of a command: its examples, and the exit codes."""
    examples = examples_of(prog)
    title = "examples:" if len(examples) > 1 else "example:"
    codes = (f"  {code:<3}  {meaning}" for code, meaning in EXIT_CODES.items())
    return "\n".join([title, *(f"  {each}" for each in examples), "", "exit codes:", *codes])
