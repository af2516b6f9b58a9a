"""Use Sightline as a library: against this installation or against a server.

    from sightline.client import Sightline

    with Sightline() as sightline:
        nodes = sightline.image_retriever(limit=5).retrieve("a red bus")

Importing this package imports none of LlamaIndex, LangChain, the MCP SDK and the models. The
LlamaIndex classes are imported when they are first used.
"""

from typing import TYPE_CHECKING, Any

from sightline.client.sightline_client import Sightline

if TYPE_CHECKING:
    from llama_index.core.vector_stores.types import (
        FilterCondition,
        FilterOperator,
        MetadataFilter,
        MetadataFilters,
    )

    from sightline.client.tool_replies import HitPage, ToolCallError, ToolReply
    from sightline.client.tool_session import ConnectionFailedError
    from sightline.storage.retrieval.hydrate.search_hit import SearchHit
    from sightline.storage.retrieval.llama_index import ImageRetriever, PassageRetriever, Reranker

__all__ = [
    "ConnectionFailedError",
    "FilterCondition",
    "FilterOperator",
    "HitPage",
    "ImageRetriever",
    "MetadataFilter",
    "MetadataFilters",
    "PassageRetriever",
    "Reranker",
    "SearchHit",
    "Sightline",
    "ToolCallError",
    "ToolReply",
]

_LLAMA_INDEX = "sightline.storage.retrieval.llama_index"
_FILTERS = "llama_index.core.vector_stores.types"
_REPLIES = "sightline.client.tool_replies"
_MODULES = {
    "ConnectionFailedError": "sightline.client.tool_session",
    "FilterCondition": _FILTERS,
    "FilterOperator": _FILTERS,
    "HitPage": _REPLIES,
    "ImageRetriever": _LLAMA_INDEX,
    "MetadataFilter": _FILTERS,
    "MetadataFilters": _FILTERS,
    "PassageRetriever": _LLAMA_INDEX,
    "Reranker": _LLAMA_INDEX,
    "SearchHit": "sightline.storage.retrieval.hydrate.search_hit",
    "ToolCallError": _REPLIES,
    "ToolReply": _REPLIES,
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
