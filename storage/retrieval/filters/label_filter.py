"""The filter key ``objects``: labels of the boxes on an image, in any case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, LiteralString

from psycopg import sql

from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.retrieval.filters.filter_language import Comparison

_HAS_ANY: Final[LiteralString] = (
    "EXISTS (SELECT FROM sightline.annotation AS n WHERE n.asset_id = a.id"
    " AND lower(n.label) = ANY({}))"
)
_ANY, _NONE = ("eq", "contains", "in", "any"), ("ne", "nin")


def has_labels(leaf: Comparison, bind: Callable[[object], sql.Composable]) -> sql.Composable:
    """Return the condition on the labels of the image's boxes.

    ``bind`` returns the placeholder of a parameter. Raises InvalidArgumentError for an operator
    that compares no whole labels, and for a value that is no text.
    """
    values = leaf.value if isinstance(leaf.value, list) else [leaf.value]
    if leaf.operator not in (*_ANY, *_NONE, "all"):
        raise InvalidArgumentError(
            f"{shown(leaf.key)} has the labels of boxes. '{leaf.operator}' does not compare them; "
            "use contains, any, all, nin or is_empty."
        )
    labels = []
    for value in values:
        if not isinstance(value, str):
            raise InvalidArgumentError(f"{shown(leaf.key)} has texts, not {shown(value)}.")
        labels.append(" ".join(value.lower().split()))
    template = sql.SQL(_HAS_ANY)
    if leaf.operator == "all":
        each_label = [template.format(bind([label])) for label in labels]
        return sql.SQL("({})").format(sql.SQL(" AND ").join(each_label))
    found = template.format(bind(labels))
    return sql.SQL("(NOT {})").format(found) if leaf.operator in _NONE else found
