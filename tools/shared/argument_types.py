"""Argument types of several tools, with the descriptions that models read.

Optional text is ``str`` with "", not ``str | None``: the SDK parses JSON in any argument that is
not a plain string, so the query "null" would become None.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, JsonValue

from sightline.storage.retrieval.search_types import Selection
from sightline.storage.types import ASSET_ID, PassageKind
from sightline.tools.shared.tool_results import ASSET_URI, SHORTENED, ToolModel

MAX_BOXES: Final = 50
MAX_LABEL_CHARS: Final = 120
#: More than any valid name, cursor or time has.
MAX_NAME_CHARS: Final = 200
BOX_FRAME: Final = "[x0, y0, x1, y1], 0 to 1, from the top left"

Collection = Annotated[
    str,
    Field(max_length=MAX_NAME_CHARS, description="One collection. Default: all."),
]

#: The tool that lists the whole language describes it for all.
FILTER_LANGUAGE: Final = (
    "{'product': 'Garlic'}, {'price': {'lte': 5}}, {'time_of_day': {'lt': '17:00'}}, "
    "{'or': [{'kind': 'page'}, {'page': 3}]}, {'not': {...}}. Operators: eq ne gt gte lt lte "
    "between in nin any all contains text_match text_match_insensitive is_empty. Keys: kind "
    "file_name source page seconds captured_at time_of_day width height caption, gps {'near': "
    "[lat, lon], 'km': 5}, and metadata keys of list_collections."
)
Filters = Annotated[
    dict[str, JsonValue] | None,
    Field(description="As in search_images."),
]

# `Limits.results` checks it, because the maximum is a setting.
Limit = Annotated[int, Field(description="1 to 50, default 5.")]

Cursor = Annotated[
    str,
    Field(
        max_length=MAX_NAME_CHARS,
        description="next_cursor of the last result; repeat its other arguments.",
    ),
]

#: The links that results have when the server runs over HTTP.
_PICTURE_URL = re.compile(rf"https?://[^/\s]+(?:/[^\s?]*)?/assets/({ASSET_ID.pattern})(?:[/?]\S*)?")
_MAX_URL_CHARS = 2_048

Detail = Annotated[
    Literal["concise", "detailed"],
    Field(description="'detailed': whole texts, all metadata, ranks. Default: concise."),
]


def asset_id(reference: object) -> object:
    """Return the asset id of a URI or an ``image_url``; else the reference.

    Only the id of an ``image_url`` counts, whatever its host: nothing is fetched.
    """
    if not isinstance(reference, str):
        return reference
    reference = reference.strip()
    found = _PICTURE_URL.fullmatch(reference) if len(reference) <= _MAX_URL_CHARS else None
    if found is not None:
        return found[1]
    return reference.removeprefix(ASSET_URI)


def source_name(name: object) -> object:
    """Return a name of a source, or the end of it that a concise result shows."""
    return name.strip().removeprefix(SHORTENED) if isinstance(name, str) else name


#: A whole name, or its end after a slash.
SourceName = Annotated[str, Field(max_length=4_096), BeforeValidator(source_name)]

#: An item of a list of ids, which the list describes.
ListedId = Annotated[str, Field(max_length=MAX_NAME_CHARS), BeforeValidator(asset_id)]

AssetId = Annotated[ListedId, Field(description="Asset id of a hit.")]

ImageReference = Annotated[
    str,
    BeforeValidator(asset_id),
    Field(
        description="Image to search by: asset id, data URL (data:image/...;base64,...) or "
        "allowed file path."
    ),
]

BoxCorners = Annotated[list[float], Field(min_length=4, max_length=4, description=BOX_FRAME)]

#: Of tools that return an image. None: as the server or the connection is configured.
Inline = Annotated[bool | None, Field(description="false: links, no images.")]


class LabeledBox(ToolModel):
    """A box with its label."""

    box: BoxCorners
    label: str = Field(default="", max_length=MAX_LABEL_CHARS)


def selection(
    collection: str,
    filters: dict[str, JsonValue] | None,
    captured_after: str = "",
    captured_before: str = "",
    kinds: Sequence[PassageKind] = (),
) -> Selection:
    return Selection(
        collections=(collection,) if collection else None,
        filters=filters,
        captured_after=captured_after or None,
        captured_before=captured_before or None,
        kinds=tuple(kinds) or None,
    )
