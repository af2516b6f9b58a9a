"""``add_images``: put pictures into a collection, by path or as uploads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, NotAllowedError, shown
from sightline.storage.ingest.discover.discovered_file import Remote, Upload
from sightline.storage.ingest.discover.input_paths import Root
from sightline.storage.ingest.discover.sidecars import from_mapping
from sightline.storage.ingest.progress import Progress, Summary
from sightline.storage.records import collections
from sightline.tools.shared import image_input
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.tool_context import Call, ProgressReports, dependencies
from sightline.tools.shared.tool_results import Result, as_tool_result

DESCRIPTION = """\
Add pictures, documents or text files to a collection, which is made if there is none of that name.
Give `paths` (files, folders or archives under the folders that the server allows), `uploads`
(data URLs with a name, and a caption if you know one), or `urls` (https://, from the hosts that the
server allows). The same bytes added twice change nothing.
Files that cannot be read are named with the reason; the others are added all the same."""

MOST_ITEMS = 100


class UploadedPicture(BaseModel):
    """A picture sent with the call."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[
        str,
        Field(
            min_length=1, max_length=255, description="File name that results show, 'lot-3.jpg'."
        ),
    ]
    data: Annotated[str, Field(description="data:image/...;base64,... or plain base64.")]
    caption: Annotated[
        str, Field(max_length=10_000, description="What it shows, if you know; searchable.")
    ] = ""
    metadata: Annotated[
        dict[str, JsonValue] | None, Field(description="Facts to filter by, {'product': 'Garlic'}.")
    ] = None
    captured_at: Annotated[
        str, Field(max_length=64, description="When it was taken, ISO 8601.")
    ] = ""


class FailedFile(BaseModel):
    """A file that was not added."""

    model_config = ConfigDict(extra="forbid")

    name: str
    code: Annotated[str, Field(description="One word for what is wrong.")]
    reason: str


class AddedImages(Result):
    """What became of every file."""

    collection: str
    added: int
    updated: Annotated[int, Field(description="Known picture with a new caption or metadata.")]
    unchanged: Annotated[int, Field(description="Already there.")]
    duplicates: Annotated[int, Field(description="Same bytes as another file of this call.")]
    failed: int
    failures: list[FailedFile]
    assets: Annotated[int, Field(description="Assets written; a document has one for each page.")]
    passages: int
    seconds: float


async def add_images(
    deps: Dependencies,
    collection: str,
    paths: list[str],
    uploads: list[UploadedPicture],
    urls: list[str],
    progress: Callable[[Progress], None],
) -> AddedImages:
    """Ingest into ``collection``; returns when all is committed."""
    # Imported here: what ingest needs would hold up the handshake of every server.
    from sightline.storage.ingest.pipeline import ingest

    if not (paths or uploads or urls):
        raise InvalidArgumentError("nothing to add: give paths, uploads or urls")
    name = collections.valid_name(collection)
    remote = _remote(deps, urls)
    # A path is shown as the caller wrote it and read only after it was resolved and allowed.
    # In a thread: a folder of a network may take its time, and uploads are megabytes of base64.
    allowed, items = await anyio.to_thread.run_sync(
        lambda: (
            [Root(path, str(image_input.resolve_allowed(deps, path))) for path in paths],
            [_upload(deps, picture) for picture in uploads],
        )
    )
    database = await deps.database.get()
    await _require_allowed(database, name)
    passage_encoder = None if deps.passage_encoder is None else await deps.passage_encoder.get()
    with row_security.acting_for(None):  # it copies rows in, which no policy lets a principal do
        summary = await ingest(
            database,
            deps.objects,
            await deps.encoder.get(),
            [*allowed, *items, *remote],
            collection=name,
            options=deps.ingest_options,
            progress=progress,
            passage_encoder=passage_encoder,
            reader=deps.text_reader,
        )
    return _report(summary)


async def _require_allowed(database: Database, collection: str) -> None:
    """Raise UnknownNameError where the caller is bound, and to others: it makes none either."""
    if row_security.current() is not None:
        async with database.connection() as connection:
            await collections.get(connection, collection)


def _remote(deps: Dependencies, urls: list[str]) -> list[Remote]:
    if not urls:
        return []
    if deps.urls is None:
        raise NotAllowedError(
            "this server fetches nothing by its address. Set SIGHTLINE_ALLOWED_URL_HOSTS to the "
            "hosts that it may fetch from, or send the pictures as uploads"
        )
    from sightline.storage.ingest.discover.urls import Urls

    fetcher = Urls(deps.urls)
    return [fetcher.remote(url) for url in urls]


def _upload(deps: Dependencies, picture: UploadedPicture) -> Upload:
    encoded = picture.data
    if encoded.startswith("data:"):
        header, comma, encoded = encoded.partition(",")
        if not comma or not header.endswith(";base64"):
            raise InvalidArgumentError(
                f"the upload {shown(picture.name)} is no base64 data URL; "
                "it takes data:image/...;base64,..."
            )
    data = image_input.decode_upload(encoded, most_bytes=deps.limits.upload_bytes)
    said = {
        "caption": picture.caption or None,
        "captured_at": picture.captured_at or None,
        "metadata": picture.metadata,
    }
    try:
        sidecar = from_mapping({key: value for key, value in said.items() if value is not None})
    except ValueError as error:
        raise InvalidArgumentError(f"the upload {shown(picture.name)}: {error}") from error
    return Upload(picture.name, data, sidecar)


def _report(summary: Summary) -> AddedImages:
    return AddedImages(
        collection=summary.collection,
        added=summary.added + summary.replaced,
        updated=summary.updated,
        unchanged=summary.unchanged,
        duplicates=summary.duplicate,
        failed=summary.failed,
        failures=[
            FailedFile(name=name, code=code, reason=reason)
            for code, noted in summary.failures.items()
            for name, reason in noted.examples
        ],
        assets=summary.pictures,
        passages=summary.passages,
        seconds=round(summary.seconds, 2),
    )


def register(mcp: MCPServer) -> None:
    """Offer the tool."""

    @mcp.tool(
        name="add_images",
        title="Add images",
        description=DESCRIPTION,
        annotations=ToolAnnotations(
            read_only_hint=False,
            destructive_hint=False,
            idempotent_hint=True,
            open_world_hint=False,
        ),
    )
    async def tool(
        ctx: Call,
        collection: Annotated[str, Field(description="Collection to add to.")],
        paths: Annotated[
            list[str] | None,
            Field(max_length=MOST_ITEMS, description="Files, folders or archives to read."),
        ] = None,
        uploads: Annotated[
            list[UploadedPicture] | None,
            Field(max_length=MOST_ITEMS, description="Pictures sent with the call."),
        ] = None,
        urls: Annotated[
            list[str] | None,
            Field(max_length=MOST_ITEMS, description="https:// addresses to fetch."),
        ] = None,
    ) -> Annotated[CallToolResult, AddedImages]:
        async with ProgressReports(ctx) as reports:
            result = await add_images(
                dependencies(ctx),
                collection,
                paths or [],
                uploads or [],
                urls or [],
                lambda progress: reports.tell(progress.done, progress.total),
            )
        return as_tool_result(result)
