"""Search for images and passages.

Layers: `image_search`, `passage_search` > `search_pipeline` > `query_planner`, `ranking`,
`hydrate` > `retrievers` > `filters`. `llama_index` is not imported here: it takes seconds.
"""

from sightline.storage.retrieval.image_search import ImageSearch
from sightline.storage.retrieval.passage_search import PassageSearch
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
