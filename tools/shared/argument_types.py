"""Argument types of several tools, with the descriptions that models read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue

from sightline.storage.retrieval.search_types import Selection
from sightline.storage.types import PassageKind
from sightline.tools.shared.tool_results import ToolModel

MAX_BOXES = 50
MAX_LABEL_CHARS = 120
#: More than any valid name, cursor or time has.
MAX_NAME_CHARS = 200
BOX_FRAME = "Corners [x0, y0, x1, y1], 0 to 1 of the upright image, origin top left."

# Optional text is `str` with "", not `str | None`: the SDK parses JSON in any argument that is not
# a plain string, so the query "null" would become None. Models send null for omitted arguments.
OptionalText = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]

Collection = Annotated[
    OptionalText,
    Field(
        max_length=MAX_NAME_CHARS,
        description="Name of one collection, from list_collections. Omit to search all.",
    ),
]

Filters = Annotated[
    dict[str, JsonValue] | None,
    Field(
        description=(
            "Metadata filter: {'product': 'Garlic'}, {'price': {'lte': 5}}, "
            "{'or': [{'kind': 'page'}, {'kind': 'image'}]}, {'not': {...}}. "
            "Operators: eq ne gt gte lt lte in nin any all contains text_match "
            "text_match_insensitive is_empty. list_collections lists the keys."
        )
    ),
]

# `Limits.results` checks it, because the maximum is a setting.
Limit = Annotated[int, Field(description="Number of hits, 1 to 50.")]

Cursor = Annotated[
    OptionalText,
    Field(
        max_length=MAX_NAME_CHARS,
        description="next_cursor of the previous result; repeat its other arguments.",
    ),
]

Detail = Annotated[
    Literal["concise", "detailed"],
    Field(
        description=(
            "'concise': what is needed to answer and cite. 'detailed': also all metadata, whole "
            "captions and the rank of each hit by retriever."
        )
    ),
]

#: An item of a list of ids, which the list describes.
ListedId = Annotated[str, Field(max_length=MAX_NAME_CHARS)]

AssetId = Annotated[
    str,
    Field(
        description="Asset id from a search result, twelve characters such as '3k9q0d7m2x5a'.",
        max_length=MAX_NAME_CHARS,
    ),
]

ImageReference = Annotated[
    OptionalText,
    Field(
        description=(
            "Image to search by: an asset id, a data URL (data:image/...;base64,...), or a file "
            "path under an allowed folder."
        )
    ),
]

BoxCorners = Annotated[list[float], Field(min_length=4, max_length=4, description=BOX_FRAME)]


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
