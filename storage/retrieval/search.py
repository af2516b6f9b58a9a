"""The two searches, and all that their callers name."""

from sightline.storage.retrieval.image_search import ImageSearch
from sightline.storage.retrieval.passage_search import PassageSearch
from sightline.storage.retrieval.ranking.reranker import Exhibit, Judge, Reranker

__all__ = ["Exhibit", "ImageSearch", "Judge", "PassageSearch", "Reranker"]
