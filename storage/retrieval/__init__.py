"""Search for images and passages.

Layers: `image_search`, `passage_search` > `search_pipeline` > `query_planner`, `ranking`,
`hydrate` > `retrievers` > `filters`. `llama_index` is not imported here: it takes seconds. The
searches are imported when they are first used, because they need numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from sightline.storage.retrieval.ranking.reranker import (
    RerankCandidate,
    RerankModel,
    RerankStage,
)
from sightline.storage.retrieval.retrieval_log import LogLimits, RetrievalLog
from sightline.storage.retrieval.search_caches import SearchCaches
from sightline.storage.retrieval.search_types import (
    Example,
    ImageHit,
    ImageRequest,
    ImageResults,
    MatchedRegion,
    Passage,
    PassageHit,
    PassageRequest,
    PassageResults,
    RetrieverScore,
    SearchReport,
    SearchResults,
    Selection,
)
from sightline.storage.retrieval.stage_runner import StageTimer, gather_or_cancel

if TYPE_CHECKING:
    from sightline.storage.retrieval.image_search import ImageSearch
    from sightline.storage.retrieval.passage_search import PassageSearch

__all__ = [
    "Example",
    "ImageHit",
    "ImageRequest",
    "ImageResults",
    "ImageSearch",
    "LogLimits",
    "MatchedRegion",
    "Passage",
    "PassageHit",
    "PassageRequest",
    "PassageResults",
    "PassageSearch",
    "RerankCandidate",
    "RerankModel",
    "RerankStage",
    "RetrievalLog",
    "RetrieverScore",
    "SearchCaches",
    "SearchReport",
    "SearchResults",
    "Selection",
    "StageTimer",
    "gather_or_cancel",
]

_SEARCHES = {"ImageSearch": "image_search", "PassageSearch": "passage_search"}

if not TYPE_CHECKING:  # a type checker would accept any name

    def __getattr__(name):
        if name not in _SEARCHES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_SEARCHES[name]}"), name)
