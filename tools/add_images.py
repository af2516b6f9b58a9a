"""``add_images``: ingest images into a collection, by path, upload or URL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import anyio.to_thread
from mcp.types import CallToolResult
from pydantic import Field, JsonValue

from sightline.storage.errors import InvalidArgumentError, NotAllowedError, shown
from sightline.storage.ingest.discover.input_paths import InputPath, RemoteFile, Upload
from sightline.storage.ingest.discover.sidecars import parse_mapping
from sightline.storage.ingest.progress import IngestedFile, IngestProgress
from sightline.storage.isolation.caller import as_principal, current_principal
from sightline.storage.records import collections
from sightline.tools.shared import image_input
from sightline.tools.shared.argument_types import MAX_NAME_CHARS
from sightline.tools.shared.dependencies import (
    Call,
    Dependencies,
    ReportProgress,
    dependencies,
    principal,
    progress_reporter,
)
from sightline.tools.shared.tool_results import (
    ToolModel,
    ToolResult,
    short_source,
    to_tool_result,
)

DESCRIPTION = """\
Add images, documents or text files to a collection, which is created if needed. The same bytes
added twice change nothing."""

MAX_ITEMS = 100
#: Files of a result, and ids of all of them.
MAX_FILES = 100
_MAX_IDS = 300
_WAITING = "waiting for other add_images calls of yours to end"


class UploadedImage(ToolModel):
    """An image sent with the call."""

    name: str = Field(
        min_length=1, max_length=255, description="File name for results, 'lot-3.jpg'."
    )
    data: str = Field(description="data:image/...;base64,... or plain base64.")
    caption: str = Field(default="", max_length=10_000, description="What it shows; searchable.")
    metadata: dict[str, JsonValue] | None = Field(
        default=None, description="Facts to filter by, {'product': 'Garlic'}."
    )
    captured_at: str = Field(default="", max_length=64, description="Capture time, ISO 8601.")


class FailedFile(ToolModel):
    """A file that was not added."""

    name: str
    code: str = Field(description="Error code.")
    reason: str


class AddedFile(ToolModel):
    """A file with the assets that were made from it, now or earlier."""

    name: str
    status: str = Field(description="'added', 'updated', 'unchanged', 'duplicate' or 'failed'.")
    assets: list[str] | None = Field(default=None, description="Ids, in the order of the pages.")
    more_assets: int | None = Field(default=None, description="How many ids are not listed.")


class AddedImages(ToolResult):
    """Counts of files by outcome."""

    collection: str
    files: list[AddedFile] = Field(description=f"At most {MAX_FILES}.")
    more_files: int | None = Field(default=None, description="How many files are not listed.")
    added: int
    updated: int = Field(description="Known image with a new caption or metadata.")
    unchanged: int = Field(description="Already in the collection.")
    duplicates: int = Field(description="Same bytes as another file of this call.")
    failed: int
    failures: list[FailedFile]
    assets: int = Field(description="Assets written; documents have one per page.")
    passages: int
    seconds: float


RESULT = AddedImages


def _added_files(files: Sequence[IngestedFile]) -> list[AddedFile]:
    listed, left = [], _MAX_IDS
    for file in files:
        ids = file.asset_ids[:left]
        left -= len(ids)
        added = AddedFile(
            name=short_source(file.name),
            status="added" if file.outcome == "replaced" else file.outcome,
            assets=list(ids) or None,
            more_assets=file.asset_count - len(ids) or None,
        )
        listed.append(added)
    return listed


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


def _on_change(report: ReportProgress) -> Callable[[IngestProgress], None]:
    """Return a listener that reports changed counts only, as the protocol demands."""
    last: tuple[int, int] | None = None

    def update(progress: IngestProgress) -> None:
        nonlocal last
        if (progress.done, progress.total) != last:
            last = progress.done, progress.total
            report(*last)

    return update


async def tool(
    ctx: Call,
    collection: Annotated[
        str, Field(max_length=MAX_NAME_CHARS, description="Collection to add to.")
    ],
    paths: Annotated[
        list[str] | None,
        Field(max_length=MAX_ITEMS, description="Files, folders or archives in allowed folders."),
    ] = None,
    uploads: Annotated[
        list[UploadedImage] | None,
        Field(max_length=MAX_ITEMS, description="Images sent with the call."),
    ] = None,
    urls: Annotated[
        list[str] | None,
        Field(max_length=MAX_ITEMS, description="https:// URLs of allowed hosts."),
    ] = None,
) -> CallToolResult:
    # Imported here: its imports would delay the start of every server.
    from sightline.storage.ingest.pipeline import ingest

    if not (paths or uploads or urls):
        raise InvalidArgumentError("Nothing to add. Give paths, uploads or urls.")
    deps = dependencies(ctx)
    name = collections.validate_name(collection)
    remote = _remote_files(deps, urls or [])
    # A path is displayed as given, and read only after it was resolved and allowed. In a thread,
    # because network folders are slow and uploads are megabytes of base64.
    allowed, items = await anyio.to_thread.run_sync(
        lambda: (
            [InputPath(path, str(image_input.resolve_allowed(deps, path))) for path in paths or ()],
            [_upload(deps, image) for image in uploads or ()],
        )
    )
    if current_principal() is not None:
        async with deps.connection() as connection:  # raises unless bound to the collection
            await collections.get(connection, name)
    passage_encoder = None if deps.passage_encoder is None else await deps.passage_encoder.get()
    caller = principal()
    async with progress_reporter(ctx) as report:
        with as_principal(None):  # COPY needs the rights of the server
            summary = await ingest(
                await deps.database.get(),
                deps.blobs,
                await deps.encoder.get(),
                [*allowed, *items, *remote],
                collection=name,
                options=deps.ingest_options,
                progress=_on_change(report),
                passage_encoder=passage_encoder,
                ocr_engine=deps.ocr_engine,
                transcriber=deps.transcriber,
                detector=deps.detector,
                capacity=deps.ingest_capacity,
                principal=caller,
                on_wait=lambda: report(0, None, _WAITING),
                max_listed_files=MAX_FILES,
            )
    result = AddedImages(
        collection=summary.collection,
        files=_added_files(summary.files),
        more_files=summary.done - len(summary.files) or None,
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
        notes=list(summary.notes) or None,
    )
    return to_tool_result(result)
