"""``add_images``: ingest images into a collection, by path, upload or URL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import Field, JsonValue

from sightline.storage.db import row_security
from sightline.storage.errors import InvalidArgumentError, NotAllowedError, shown
from sightline.storage.ingest.discover.input_paths import InputPath, RemoteFile, Upload
from sightline.storage.ingest.discover.sidecars import parse_mapping
from sightline.storage.ingest.progress import IngestProgress, IngestSummary
from sightline.storage.records import collections
from sightline.tools.shared import image_input
from sightline.tools.shared.dependencies import (
    Call,
    Dependencies,
    dependencies,
    progress_reporter,
)
from sightline.tools.shared.tool_results import ToolModel, to_tool_result

DESCRIPTION = """\
Add images, documents or text files to a collection, which is created if needed. Give `paths`
(files, folders or archives under allowed folders), `uploads` (data URLs with a name, and a caption
if you know one), or `urls` (https://, from allowed hosts). The same bytes added twice change
nothing. Files that cannot be read are named with the reason; the others are added."""

MAX_ITEMS = 100


class UploadedImage(ToolModel):
    """An image sent with the call."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=255, description="File name for results, 'lot-3.jpg'."),
    ]
    data: Annotated[str, Field(description="data:image/...;base64,... or plain base64.")]
    caption: Annotated[
        str, Field(max_length=10_000, description="What it shows, if you know; searchable.")
    ] = ""
    metadata: Annotated[
        dict[str, JsonValue] | None, Field(description="Facts to filter by, {'product': 'Garlic'}.")
    ] = None
    captured_at: Annotated[str, Field(max_length=64, description="Capture time, ISO 8601.")] = ""


class FailedFile(ToolModel):
    """A file that was not added."""

    name: str
    code: Annotated[str, Field(description="Error code.")]
    reason: str


class AddedImages(ToolModel):
    """Counts of files by outcome."""

    collection: str
    added: int
    updated: Annotated[int, Field(description="Known image with a new caption or metadata.")]
    unchanged: Annotated[int, Field(description="Already in the collection.")]
    duplicates: Annotated[int, Field(description="Same bytes as another file of this call.")]
    failed: int
    failures: list[FailedFile]
    assets: Annotated[int, Field(description="Assets written; documents have one per page.")]
    passages: int
    seconds: float


async def add_images(
    deps: Dependencies,
    collection: str,
    paths: list[str],
    uploads: list[UploadedImage],
    urls: list[str],
    progress: Callable[[IngestProgress], None],
) -> AddedImages:
    """Ingest into the collection; return when everything is committed."""
    # Imported here: its imports would delay the start of every server.
    from sightline.storage.ingest.pipeline import ingest

    if not (paths or uploads or urls):
        raise InvalidArgumentError("Nothing to add. Give paths, uploads or urls.")
    name = collections.validate_name(collection)
    remote = _remote_files(deps, urls)
    # A path is displayed as given, and read only after it was resolved and allowed. In a thread,
    # because network folders are slow and uploads are megabytes of base64.
    allowed, items = await anyio.to_thread.run_sync(
        lambda: (
            [InputPath(path, str(image_input.resolve_allowed(deps, path))) for path in paths],
            [_upload(deps, image) for image in uploads],
        )
    )
    database = await deps.database.get()
    await _require_binding(deps, name)
    passage_encoder = None if deps.passage_encoder is None else await deps.passage_encoder.get()
    with row_security.as_principal(None):  # COPY needs the rights of the server
        summary = await ingest(
            database,
            deps.blobs,
            await deps.encoder.get(),
            [*allowed, *items, *remote],
            collection=name,
            options=deps.ingest_options,
            progress=progress,
            passage_encoder=passage_encoder,
            ocr_engine=deps.ocr_engine,
        )
    return _to_result(summary)


async def _require_binding(deps: Dependencies, collection: str) -> None:
    """Raise UnknownNameError if the caller is not bound to the collection."""
    if row_security.current_principal() is not None:
        async with deps.connection() as connection:
            await collections.get(connection, collection)


def _remote_files(deps: Dependencies, urls: list[str]) -> list[RemoteFile]:
    if not urls:
        return []
    if deps.urls is None:
        raise NotAllowedError(
            "This server fetches no URLs. Set SIGHTLINE_URLS__ALLOWED_HOSTS to allowed hosts, or "
            "send the images as uploads."
        )
    from sightline.storage.ingest.discover.urls import UrlFetcher

    fetcher = UrlFetcher(deps.urls)
    return [fetcher.remote_file(url) for url in urls]


def _upload(deps: Dependencies, image: UploadedImage) -> Upload:
    encoded = image.data
    if encoded.startswith("data:"):
        header, comma, encoded = encoded.partition(",")
        if not comma or not header.endswith(";base64"):
            raise InvalidArgumentError(
                f"The upload {shown(image.name)} is not a base64 data URL. "
                "Give data:image/...;base64,..."
            )
    data = image_input.decode_upload(encoded, max_bytes=deps.limits.max_upload_bytes)
    fields = {
        "caption": image.caption or None,
        "captured_at": image.captured_at or None,
        "metadata": image.metadata,
    }
    try:
        sidecar = parse_mapping({key: value for key, value in fields.items() if value is not None})
    except ValueError as error:
        raise InvalidArgumentError(f"The upload {shown(image.name)}: {error}") from error
    return Upload(image.name, data, sidecar)


def _to_result(summary: IngestSummary) -> AddedImages:
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
        assets=summary.images,
        passages=summary.passages,
        seconds=round(summary.seconds, 2),
    )


def register(mcp: MCPServer) -> None:
    """Register the tool."""

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
            Field(max_length=MAX_ITEMS, description="Files, folders or archives to read."),
        ] = None,
        uploads: Annotated[
            list[UploadedImage] | None,
            Field(max_length=MAX_ITEMS, description="Images sent with the call."),
        ] = None,
        urls: Annotated[
            list[str] | None,
            Field(max_length=MAX_ITEMS, description="https:// URLs to fetch."),
        ] = None,
    ) -> Annotated[CallToolResult, AddedImages]:
        async with progress_reporter(ctx) as report:
            result = await add_images(
                dependencies(ctx),
                collection,
                paths or [],
                uploads or [],
                urls or [],
                lambda progress: report(progress.done, progress.total),
            )
        return to_tool_result(result)
