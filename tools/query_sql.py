"""``query_sql``: questions in SQL on the schema ``analytics``."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from sightline.storage.analytics.sql_runner import Outline, Questions
from sightline.storage.errors import NotAllowedError, SightlineError, UnknownNameError
from sightline.tools.resources import as_resource_error
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.tool_context import Call, dependencies
from sightline.tools.shared.tool_results import Milliseconds, Result, as_tool_result

DESCRIPTION = """\
Answer questions that need counting, grouping or comparing over all collections with one read-only
SQL statement (PostgreSQL): how many, which are missing, near-duplicates, drift between months, slow
or empty searches. Views: assets, sources, regions, passages, annotations, embeddings, spaces,
cluster_members, searches. Functions: nearest(asset, k), search(vector, k), duplicates(threshold),
clusters(k), coverage(), outliers(k), centroid(collection), drift(period, period), similarity(a, b),
overlapping_annotations().
The resource sightline://analytics/schema describes them all; a wrong name is answered with those
that there are. To find pictures by what they show use search_images instead."""

# The SDK hands a context to templates alone, so the only name is a variable.
_URI = "sightline://analytics/{page}"
_PAGE = "schema"


class ResultColumn(BaseModel):
    """A column of the answer."""

    model_config = ConfigDict(extra="forbid")

    name: str
    type: Annotated[str, Field(description="Postgres' name of its type.")]


class QueryResult(Result):
    """The rows, each a list in the order of the columns."""

    columns: list[ResultColumn]
    rows: list[list[JsonValue]]
    truncated: Annotated[
        str | None, Field(description="Why there are no more rows; absent where that is all.")
    ] = None
    timings_ms: Annotated[dict[str, Milliseconds], Field(description="Milliseconds.")]


async def query_sql(
    deps: Dependencies, statement: str, *, limit: int, explain: bool
) -> QueryResult:
    """Raises InvalidArgumentError with Postgres' own words, NotAllowedError for what may not be."""
    questions = await _questions(deps)
    answer = await questions.ask(statement, rows=limit, explain=explain)
    return QueryResult(
        columns=[ResultColumn(name=each.name, type=each.type) for each in answer.columns],
        rows=answer.rows,
        truncated=answer.truncated,
        timings_ms={"total": answer.milliseconds},
    )


async def describe(deps: Dependencies) -> str:
    """The schema for a model: what there is to ask, in few words."""
    return as_text(await (await _questions(deps)).outline())


def as_text(outline: Outline) -> str:
    """Views with their columns, functions with their arguments."""
    views = [
        f"{view.name}: {view.comment}\n  ({', '.join(view.columns)})" for view in outline.views
    ]
    functions = [
        f"{each.name}({each.arguments}) -> {each.result}\n  {each.comment}"
        for each in outline.functions
    ]
    text = "\n".join(
        [
            "PostgreSQL, schema analytics, read only.",
            "",
            "Views",
            *views,
            "",
            "Functions",
            *functions,
        ]
    )
    for long, short in (
        ("timestamp with time zone", "timestamptz"),
        ("timestamp without time zone", "timestamp"),
        ("double precision", "float8"),
        (" DEFAULT ", " = "),
        ("::integer", ""),
        ("::jsonb", ""),
        ("integer", "int"),
        ("::text", ""),
    ):
        text = text.replace(long, short)
    return text


async def _questions(deps: Dependencies) -> Questions:
    if deps.questions is None:
        raise NotAllowedError("questions in SQL are switched off (SIGHTLINE_ANALYTICS_ENABLED)")
    return await deps.questions.get()


def register(mcp: MCPServer) -> None:
    """Offer the tool and the description of the schema."""

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
        limit: Annotated[int, Field(description="Most rows to return.")] = 100,
        explain: Annotated[
            bool, Field(description="Return the plan instead of running the statement.")
        ] = False,
    ) -> Annotated[CallToolResult, QueryResult]:
        found = await query_sql(dependencies(ctx), sql, limit=limit, explain=explain)
        return as_tool_result(found)

    @mcp.resource(
        _URI,
        name="analytics",
        title="What query_sql can ask",
        description="At sightline://analytics/schema: views with their columns, and functions.",
        mime_type="text/plain",
    )
    async def schema(page: str, ctx: Call) -> str:
        try:
            if page != _PAGE:
                raise UnknownNameError("page", page, [_PAGE])
            return await describe(dependencies(ctx))
        except SightlineError as error:
            raise as_resource_error(error) from error
