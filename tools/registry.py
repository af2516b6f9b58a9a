"""All tools, in the order in which a client lists them."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

from sightline.tools import (
    add_images,
    annotate_image,
    answer_question,
    delete_assets,
    list_collections,
    query_sql,
    resources,
    save_annotation,
    search_images,
    search_text,
    view_image,
)

#: Tools that change what is stored; they ask for the scope ``write``.
WRITE_TOOLS = frozenset({"add_images", "delete_assets", "save_annotation"})


def register_all(mcp: MCPServer) -> None:
    """Offer every tool and resource."""
    for module in (
        list_collections,
        search_images,
        search_text,
        answer_question,
        view_image,
        annotate_image,
        add_images,
        save_annotation,
        delete_assets,
        resources,
    ):
        module.register(mcp)


def register_analytics(mcp: MCPServer) -> None:
    """Offer questions in SQL, which the operator switches on; the scope is ``analytics``."""
    query_sql.register(mcp)
