"""Lists the files that failed and the images whose text could not be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sightline.storage.db.queries import Connection, fetch_all, load_sql
from sightline.storage.ingest.discover.input_paths import IngestInput, InputPath

_SQL = load_sql("ingest")
_FILE: Final = "file:"
#: Separates the path of an archive from that of its member.
_MEMBER: Final = "//"

_RETRY = "Try again: sightline ingest --retry-failed."
_REPAIR = "Export or download the file again, or open it in its program and save it anew."
_CONVERT = "Convert it to a format of `sightline doctor`, or leave it out."
_LIMIT = "Raise the limit if you trust the file: {}."

#: What to do about each code of a failure.
ADVICE: Final = {
    "archive_bomb": "Do not trust this archive. Unpack it yourself if you know that it is good.",
    "archive_broken": _REPAIR,
    "broken": _REPAIR,
    "changed": _RETRY,
    "crashed": f"{_REPAIR} Please report a file that any other program can read.",
    "empty": "Nothing is in it. Delete it, or export it again.",
    "encoder": "Check the encoder with `sightline doctor`, then try again.",
    "encrypted": (
        "Remove the password, or unpack the archive yourself, and ingest it again. For a PDF, set "
        "SIGHTLINE_INGEST__PDF_PASSWORDS."
    ),
    "http_status": f"Check the URL. {_RETRY}",
    "link_outside": "Ingest the target of the link, or the folder that contains both.",
    "name_not_utf8": "Rename it: only names in UTF-8 can be stored.",
    "no_video": "It has neither video nor sound that can be decoded. Export it as MP4 or MP3.",
    "not_a_file": "Links, devices and sockets in a folder or archive are not read.",
    "not_allowed": "Allow the host or network: SIGHTLINE_URLS__ALLOWED_HOSTS and ALLOWED_NETWORKS.",
    "not_an_image": f"Its content is not what its name says. {_CONVERT}",
    "not_text": f"Its content is not what its name says, or its encoding is unknown. {_CONVERT}",
    "redirects": "Give the URL to which it leads in the end.",
    "timeout": _LIMIT.format("SIGHTLINE_INGEST__FILE_TIMEOUT_SECONDS"),
    "too_deep": "Move its folder up.",
    "result_too_large": "Split the document into parts.",
    "too_large": _LIMIT.format(
        "SIGHTLINE_INGEST__MAX_FILE_BYTES, for videos SIGHTLINE_INGEST__MAX_VIDEO_BYTES"
    ),
    "too_long": _LIMIT.format("SIGHTLINE_INGEST__MAX_VIDEO_SECONDS"),
    "too_many_pages": _LIMIT.format("SIGHTLINE_INGEST__MAX_PAGES"),
    "too_many_pixels": "Reduce the picture, or cut it into parts.",
    "too_many_rows": "Split the table into several files.",
    "truncated": "Its end is missing, and no part could be decoded. Copy or download it again.",
    "unreachable": f"Check the address and the network. {_RETRY}",
    "unreadable": "Check that it exists and that this user may read it, then try again.",
    "unsafe_name": "Unpack the archive yourself, and ingest the folder.",
    "unsupported": _CONVERT,
}
#: For images with the reading ``unreadable``.
UNREADABLE_ADVICE: Final = (
    "Text was seen on it, but not read. Scan it again with more pixels, or write a caption. For "
    "other scripts than Latin and Chinese, see the settings of OCR."
)


def path_of(location: str) -> str | None:
    """Return the path of a file or of its archive; None if the bytes have none."""
    if not location.startswith(_FILE):
        return None
    return location.removeprefix(_FILE).partition(_MEMBER)[0]


@dataclass(frozen=True, slots=True)
class RecordedFailure:
    """A file that could not be ingested; ``failed_at`` is the time of the last try.

    ``location`` is ``file:`` and a path, ``file:`` with an archive and ``//member``, a URL, or
    ``upload:`` and a name.
    """

    id: int
    collection: str
    name: str
    location: str
    code: str
    reason: str
    failed_at: datetime

    @property
    def advice(self) -> str:
        return ADVICE.get(self.code, "")

    @property
    def is_url(self) -> bool:
        return self.location.startswith(("https://", "http://"))

    @property
    def path(self) -> str | None:
        """Return the path of the file, or of its archive; None for URLs and uploads."""
        return path_of(self.location)


@dataclass(frozen=True, slots=True)
class UnreadableImage:
    """An image, page (from 1) or frame (its second) with text that was not read."""

    collection: str
    name: str
    asset: str
    page: int | None
    seconds: float | None
    ingested_at: datetime


async def failed_files(
    connection: Connection, collection: str | None = None
) -> list[RecordedFailure]:
    """Return the failed files of a collection, or of all, ordered by name."""
    values = {"collection": collection}
    return await fetch_all(connection, _SQL["failed_files"], values, row=RecordedFailure)


async def unreadable_images(
    connection: Connection, collection: str | None = None
) -> list[UnreadableImage]:
    """Return the images with unread text of a collection, or of all, in order."""
    values = {"collection": collection}
    return await fetch_all(connection, _SQL["unreadable_images"], values, row=UnreadableImage)


async def forget_failures(connection: Connection, ids: Sequence[int]) -> int:
    """Delete recorded failures; those of a later try stay. Return how many there were."""
    cursor = await connection.execute(_SQL["forget_failures"], {"ids": list(ids)})
    return cursor.rowcount


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """What to ingest to try failed files again.

    ``is_wanted`` tells by its failure location whether a file is one of them or inside of one: an
    archive or folder is read as a whole. ``gone`` do not exist any more. ``kept`` cannot be tried
    again: the bytes of an upload were not stored.
    """

    inputs: tuple[IngestInput, ...]
    is_wanted: Callable[[str], bool]
    gone: tuple[RecordedFailure, ...]
    kept: tuple[RecordedFailure, ...]


def plan_retry(
    failures: Sequence[RecordedFailure], open_url: Callable[[str], IngestInput | None]
) -> RetryPlan:
    """Return the plan for failed files; ``open_url`` returns None for a refused URL."""
    inputs: dict[str, IngestInput] = {}
    wanted: set[str] = set()
    gone: list[RecordedFailure] = []
    kept: list[RecordedFailure] = []
    for failure in sorted(failures, key=lambda each: each.location):
        path = failure.path
        if path is None:
            remote = open_url(failure.location) if failure.is_url else None
            if remote is None:
                kept.append(failure)
                continue
            inputs[failure.location] = remote
        elif not os.path.lexists(path):
            gone.append(failure)
            continue
        else:
            member = failure.location.removeprefix(_FILE + path).removeprefix(_MEMBER)
            given = failure.name.removesuffix(f"/{member}") if member else failure.name
            inputs[path] = InputPath(given, path)
            wanted.add(f"{_FILE}{path}{_MEMBER}")  # opens an archive
        wanted.add(failure.location)

    def is_wanted(location: str) -> bool:
        ends = [at for at, character in enumerate(location) if character == "/"]
        return location in wanted or any(location[:at] in wanted for at in ends)

    return RetryPlan(tuple(inputs.values()), is_wanted, tuple(gone), tuple(kept))
