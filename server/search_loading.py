"""Imports the searches and LlamaIndex while the server already answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from sightline.server.lazy_resource import run_in_daemon_thread
from sightline.storage.import_lock import import_lock

if TYPE_CHECKING:
    from sightline.storage.retrieval import ImageHit, ImageSearch, PassageHit, PassageSearch
    from sightline.storage.retrieval.llama_index import ImageRetriever, PassageRetriever


class SearchTypes(NamedTuple):
    """The classes of the searches, and the retrievers of LlamaIndex if they are used."""

    image_search: type[ImageSearch]
    passage_search: type[PassageSearch]
    image_retriever: type[ImageRetriever[ImageHit]] | None = None
    passage_retriever: type[PassageRetriever[PassageHit]] | None = None


@asynccontextmanager
async def open_search_types(uses_llama_index: bool) -> AsyncIterator[SearchTypes]:
    """Import the searches in a thread; LlamaIndex's retrievers only if they are used."""
    yield await run_in_daemon_thread(partial(_import_search_types, uses_llama_index))


def _import_search_types(uses_llama_index: bool) -> SearchTypes:
    with import_lock:
        from sightline.storage.retrieval import ImageSearch, PassageSearch

        if not uses_llama_index:
            return SearchTypes(ImageSearch, PassageSearch)
        # Takes two seconds.
        from sightline.storage.retrieval.llama_index import ImageRetriever, PassageRetriever

    return SearchTypes(ImageSearch, PassageSearch, ImageRetriever, PassageRetriever)
