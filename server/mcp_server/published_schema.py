"""Publish input schemas in the part of JSON Schema that every client understands.

Several clients cannot load a schema with ``$ref``, with ``anyOf`` or with ``additionalProperties``,
or lose the types in it. The published schema has none of them. It is a guide for the model; the
server validates the arguments against the complete schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Schema = dict[str, Any]

#: Keywords that some clients reject, or that only repeat a name. Lengths of texts are checked by
#: the server; OpenAI's strict mode does not accept them.
_LEFT_OUT: Final = frozenset(
    {"$defs", "$ref", "additionalProperties", "anyOf", "default", "maxLength", "minLength", "title"}
)


def publish_schema(schema: Mapping[str, Any]) -> Schema:
    """Return a flat copy of the input schema of a tool.

    References are replaced by what they refer to. Of alternatives the first one that is not null
    is published. Defaults without a meaning for a model (null, empty) are left out.
    """
    published = _flatten(schema, schema.get("$defs", {}))
    published.setdefault("properties", {})
    return published


def _flatten(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    if "$ref" in schema:
        definition = definitions[schema["$ref"].rpartition("/")[2]]
        schema = {**definition, **{key: schema[key] for key in schema if key != "$ref"}}
        return _flatten(schema, definitions)
    if alternatives := [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]:
        outer = {key: value for key, value in schema.items() if key != "anyOf"}
        return _flatten({**alternatives[0], **outer}, definitions)
    flat: Schema = {key: value for key, value in schema.items() if key not in _LEFT_OUT}
    if schema.get("default") not in (None, "") and schema["default"] is not False:
        flat["default"] = schema["default"]
    if "properties" in flat:
        flat["properties"] = {
            name: _flatten(each, definitions) for name, each in flat["properties"].items()
        }
    if "items" in flat:
        flat["items"] = _flatten(flat["items"], definitions)
        if flat["items"].get("type") == "object":
            flat["items"].pop("description", None)  # the list has one
    return flat
