"""``query_sql``: read-only SQL on the schema ``analytics``."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import Field, JsonValue

from sightline.storage.analytics.sql_runner import SchemaSummary, SqlRunner
from sightline.storage.errors import NotAllowedError, SightlineError, UnknownNameError
from sightline.tools.shared.dependencies import Call, Dependencies, dependencies
from sightline.tools.shared.tool_results import (
    Milliseconds,
    ToolModel,
    to_resource_error,
    to_tool_result,
)

DESCRIPTION = """\
Count, group or compare over all collections with one read-only SQL statement (PostgreSQL): how
many, which are missing, near-duplicates, drift between months, slow or empty searches. Views:
assets, sources, regions, passages, annotations, embeddings, embedding_spaces, cluster_members,
searches. Functions: nearest(asset, k), search(vector, k), duplicates(max_distance), clusters(k),
coverage(), outliers(k), centroid(collection), drift(period, period), similarity(a, b),
overlapping_annotations(). The resource sightline://analytics/schema describes them all; an error
for a wrong name lists the valid ones. To find images by content use search_images instead."""

# The SDK passes a context only to templates, so the only page is a variable.
_URI = "sightline://analytics/{page}"
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
    type: Annotated[str, Field(description="Postgres type name.")]


class QueryResult(ToolModel):
    """The rows, each a list in the order of the columns."""

    columns: list[ResultColumn]
    rows: list[list[JsonValue]]
    truncated: Annotated[
        str | None, Field(description="Why rows are missing; absent if all are here.")
    ] = None
    timings_ms: Annotated[dict[str, Milliseconds], Field(description="Milliseconds.")]


async def query_sql(
    deps: Dependencies, statement: str, *, limit: int, explain: bool
) -> QueryResult:
    """Run the statement.

    Raises InvalidArgumentError with Postgres' message, or NotAllowedError.
    """
    runner = await _sql_runner(deps)
    answer = await runner.run(statement, rows=limit, explain=explain)
    return QueryResult(
        columns=[ResultColumn.model_validate(each) for each in answer.columns],
        rows=answer.rows,
        truncated=answer.truncated,
        timings_ms={"total": answer.milliseconds},
    )


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


async def _sql_runner(deps: Dependencies) -> SqlRunner:
    if deps.sql_runner is None:
        raise NotAllowedError("query_sql is off. Set SIGHTLINE_ANALYTICS__ENABLED to use it.")
    return await deps.sql_runner.get()


def register(mcp: MCPServer) -> None:
    """Register the tool and the description of the schema."""

    @mcp.tool(
        name="query_sql",
        title="Query in SQL",
        description=DESCRIPTION,
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )
    async def tool(
        ctx: Call,
        sql: Annotated[
            str, Field(description="One statement that begins with SELECT, WITH, VALUES or TABLE.")
        ],
        limit: Annotated[int, Field(description="Maximum number of rows.")] = 100,
        explain: Annotated[
            bool, Field(description="Return the plan instead of running the statement.")
        ] = False,
    ) -> Annotated[CallToolResult, QueryResult]:
        return to_tool_result(await query_sql(dependencies(ctx), sql, limit=limit, explain=explain))

    @mcp.resource(
        _URI,
        name="analytics",
        title="Schema of query_sql",
        description="At sightline://analytics/schema: views with their columns, and functions.",
        mime_type="text/plain",
    )
    async def schema(page: str, ctx: Call) -> str:
        try:
            if page != _PAGE:
                raise UnknownNameError("page", page, [_PAGE])
            runner = await _sql_runner(dependencies(ctx))
            return schema_text(await runner.schema())
        except SightlineError as error:
            raise to_resource_error(error) from error
