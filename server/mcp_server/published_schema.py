"""Publish input schemas in the part of JSON Schema that every client understands.

Several clients cannot load a schema with ``$ref``, with ``anyOf`` or with ``additionalProperties``,
or lose the types in it; OpenAI's strict mode rejects limits and defaults. The published schema has
types, enumerations and descriptions only. It is a guide for the model; the server validates the
arguments against the complete schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]


def publish_schema(schema: Mapping[str, Any]) -> Schema:
    """Return a flat copy of the input schema of a tool.

    References are replaced by what they refer to. Of alternatives the first one that is not null
    is published.
    """
    return {"properties": {}, **_flatten(schema, schema.get("$defs", {}))}


def _flatten(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    if "$ref" in schema:
        definition = definitions[schema["$ref"].rpartition("/")[2]]
        schema = {**definition, **{key: schema[key] for key in schema if key != "$ref"}}
        return _flatten(schema, definitions)
    if alternatives := [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]:
        outer = {key: value for key, value in schema.items() if key != "anyOf"}
        return _flatten({**alternatives[0], **outer}, definitions)
    flat: Schema = {
        key: schema[key] for key in ("type", "description", "enum", "required") if key in schema
    }
    if "properties" in schema:
        flat["properties"] = {
            name: _flatten(each, definitions) for name, each in schema["properties"].items()
        }
    if "items" in schema:
        flat["items"] = _flatten(schema["items"], definitions)
        if flat["items"]["type"] == "object":
            flat["items"].pop("description", None)  # the list has one
    return flat
