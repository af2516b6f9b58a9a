"""``query_sql``: read-only SQL on the schema ``analytics``."""

from __future__ import annotations

from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field, JsonValue

from sightline.storage.analytics.sql_runner import SchemaSummary, SqlRunner
from sightline.storage.errors import NotAllowedError, UnknownNameError
from sightline.tools.shared.dependencies import Call, dependencies, principal
from sightline.tools.shared.tool_results import (
    Milliseconds,
    ToolModel,
    ToolResult,
    to_tool_result,
)

DESCRIPTION = """\
Analyze all collections with one read-only PostgreSQL statement. Views: collections, assets,
sources, regions, passages, annotations, detections, embeddings, embedding_spaces, cluster_members,
searches. Functions: nearest(asset, k), knn(assets, k), search(vector, k), search_text(words, k),
duplicates(max_distance), clusters(k), coverage(), outliers(k), centroid(), drift(period, period),
similarity(a, b), overlapping_annotations(). Described in sightline://analytics/schema."""

# The SDK passes a context only to templates, so the only page is a variable.
SCHEMA_URI = "sightline://analytics/{page}"
_PAGE = "schema"
_SHORT_TYPES = (
    ("timestamp with time zone", "timestamptz"),
    ("timestamp without time zone", "timestamp"),
    ("double precision", "float8"),
    (" DEFAULT ", " = "),
    ("::integer", ""),
    ("::jsonb", ""),
    ("integer", "int"),
    ("::text", ""),
)


class ResultColumn(ToolModel):
    """A column of the result."""

    name: str
    type: str = Field(description="Postgres type name.")


class QueryResult(ToolResult):
    """The rows, each a list in the order of the columns."""

    columns: list[ResultColumn]
    rows: list[list[JsonValue]]
    truncated: str | None = Field(
        default=None, description="Why rows are missing; absent if all are here."
    )
    timings_ms: dict[str, Milliseconds] = Field(description="Milliseconds.")


RESULT = QueryResult


def schema_text(outline: SchemaSummary) -> str:
    """Return the views with their columns and the functions with their arguments."""
    views = [
        f"{view.name}: {view.comment}\n  ({', '.join(view.columns)})" for view in outline.views
    ]
    functions = [
        f"{each.name}({each.arguments}) -> {each.result}\n  {each.comment}"
        for each in outline.functions
    ]
    header = "PostgreSQL, schema analytics, read only."
    text = "\n".join([header, "", "Views", *views, "", "Functions", *functions])
    for long, short in _SHORT_TYPES:
        text = text.replace(long, short)
    return text


async def _sql_runner(ctx: Call) -> SqlRunner:
    deps = dependencies(ctx)
    if deps.sql_runner is None:
        raise NotAllowedError("query_sql is off. Set SIGHTLINE_ANALYTICS__ENABLED to use it.")
    return await deps.sql_runner.get()


async def tool(
    ctx: Call,
    sql: Annotated[
        str, Field(description="One statement that begins with SELECT, WITH, VALUES or TABLE.")
    ],
    limit: Annotated[int, Field(description="Maximum number of rows.")] = 100,
    explain: Annotated[bool, Field(description="Return the plan instead of the rows.")] = False,
) -> CallToolResult:
    runner = await _sql_runner(ctx)
    answer = await runner.run(sql, rows=limit, explain=explain, caller=principal())
    result = QueryResult(
        columns=[ResultColumn.model_validate(each) for each in answer.columns],
        rows=answer.rows,
        truncated=answer.truncated,
        timings_ms={"total": answer.milliseconds},
    )
    return to_tool_result(result)


async def schema_page(page: str, ctx: Call) -> str:
    if page != _PAGE:
        raise UnknownNameError("page", page, [_PAGE])
    runner = await _sql_runner(ctx)
    return schema_text(await runner.schema(principal()))
