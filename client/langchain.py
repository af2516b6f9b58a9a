"""The searches as a LangChain retriever; needs the extra ``langchain``."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import PrivateAttr

from sightline.client.search_requests import BackendSearch
from sightline.storage.loop_runner import LoopRunner
from sightline.storage.retrieval.hydrate.search_hit import to_search_hit
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest


class SightlineRetriever(BaseRetriever):
    """Retrieves images or passages as documents.

    The metadata of a document has all fields of the hit, and its score. Get one from
    `Sightline.langchain_retriever`.
    """

    _runner: LoopRunner = PrivateAttr()
    _search: BackendSearch = PrivateAttr()
    _request: ImageRequest | PassageRequest = PrivateAttr()

    def __init__(
        self,
        runner: LoopRunner,
        search: BackendSearch,
        request: ImageRequest | PassageRequest,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._runner = runner
        self._search = search
        self._request = request

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - LangChain passes it
    ) -> list[Document]:
        return self._runner.run(self._find(query))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # noqa: ARG002 - LangChain passes it
    ) -> list[Document]:
        return await self._runner.arun(self._find(query))

    def _find(self, query: str) -> Coroutine[Any, Any, list[Document]]:
        return _documents(self._search, replace(self._request, query=query))


async def _documents(
    search: BackendSearch, request: ImageRequest | PassageRequest
) -> list[Document]:
    results = await search.search(request)
    hits = [to_search_hit(hit) for hit in results.hits]
    return [
        Document(id=hit.id, page_content=hit.text, metadata=hit.fields() | {"score": hit.score})
        for hit in hits
    ]
