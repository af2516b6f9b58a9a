"""Argument types that several tools share; their descriptions teach a model when to use what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue


def _empty_for_null(value: object) -> object:
    """Models send ``null`` for arguments that they leave out; an empty string means the same."""
    return "" if value is None else value


# Optional text is `str` with "" and not `str | None`: the SDK parses JSON found in any argument
# that is not plainly a string, which would turn the query "null" into nothing at all.
OptionalText = Annotated[str, BeforeValidator(_empty_for_null)]

Collection = Annotated[
    OptionalText,
    Field(
        description="Name of one collection, as list_collections gives it. Leave out to search all."
    ),
]

Filters = Annotated[
    dict[str, JsonValue] | None,
    Field(
        description=(
            "Keep only what matches its metadata: {'product': 'Garlic'}, "
            "{'price': {'lte': 5}}, {'or': [{'kind': 'page'}, {'kind': 'image'}]}, {'not': {...}}. "
            "Operators: eq ne gt gte lt lte in nin any all contains text_match "
            "text_match_insensitive is_empty. list_collections names each collection's keys."
        )
    ),
]

# Checked by `Limits.results`, for the upper bound is a setting.
Limit = Annotated[int, Field(description="How many hits, 1 to 50.")]

Cursor = Annotated[
    OptionalText,
    Field(
        description="next_cursor of an earlier result, to continue it. Repeat its other arguments."
    ),
]

Detail = Annotated[
    Literal["concise", "detailed"],
    Field(
        description=(
            "'concise' gives what is needed to answer and cite; 'detailed' adds all metadata, "
            "whole captions and how each branch of the search ranked the hit."
        )
    ),
]

AssetId = Annotated[
    str,
    Field(
        description="Asset id from a search result, twelve characters such as '3k9q0d7m2x5a'.",
        max_length=200,
    ),
]

#: One picture named by a caller: an asset id, a data URL, or a path under an allowed root.
PictureReference = Annotated[
    OptionalText,
    Field(
        description=(
            "A picture to search by: an asset id, a data URL (data:image/...;base64,...), or a "
            "file path under a folder that the server allows."
        )
    ),
]

BOX_FRAME = "Corners [x0, y0, x1, y1], 0 to 1 of the upright picture, origin top left."

Box = Annotated[list[float], Field(min_length=4, max_length=4, description=BOX_FRAME)]
