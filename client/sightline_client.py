"""The client of this installation or of a server, sync and async."""

from __future__ import annotations

import asyncio
import atexit
import base64
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from sightline.storage.errors import InvalidArgumentError
from sightline.storage.loop_runner import LoopRunner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightline.client.backends import Backend
    from sightline.client.langchain import SightlineRetriever
    from sightline.client.search_requests import Filters
    from sightline.client.tool_replies import HitPage, ToolReply
    from sightline.server.config import Settings
    from sightline.storage.retrieval.llama_index import (
        ImageRetriever,
        LoadPicture,
        PassageRetriever,
        Reranker,
    )
    from sightline.storage.types import Level

_NOT_OPEN = "Sightline is not open. Use it in a 'with' block, or call open() first."


class PassageOptions(TypedDict, total=False):
    """Options of retrievers of passages: arguments of the tool ``search_text``."""

    collection: str | None
    kinds: Sequence[str] | None
    filters: Filters
    limit: int


class ImageOptions(TypedDict, total=False):
    """Options of retrievers of images: arguments of the tool ``search_images``."""

    collection: str | None
    filters: Filters
    captured_after: str | None
    captured_before: str | None
    visual_weight: float | None
    diversity: float
    limit: int


class Sightline:
    """Searches and tools of this installation, or of the server at ``url``.

        with Sightline() as sightline:  # settings and database as for `sightline serve`
        with Sightline("https://host/mcp", token="...") as sightline:

    A thread of its own owns the connections. So every method works in any thread, also where an
    event loop runs, and the methods with ``a`` before their name work in any event loop. All raise
    SightlineError.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        settings: Settings | None = None,
        timeout_seconds: float = 300.0,
    ) -> None:
        """Connect to nothing yet. ``settings`` replaces those of the installation.

        ``timeout_seconds`` limits the connection to a server, and each call.
        """
        if url is None and token is not None:
            raise InvalidArgumentError("A token is for a server. Give its address too.")
        if url is not None and settings is not None:
            raise InvalidArgumentError("A server has its own settings. Give only its address.")
        self._url = url
        self._token = token
        self._settings = settings
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._opened: tuple[LoopRunner, Backend, ExitStack] | None = None

    def open(self) -> Self:
        """Open the database or connect to the server; the end of the process closes it."""
        from anyio.from_thread import start_blocking_portal

        with self._lock:
            if self._opened is None:
                with ExitStack() as stack:
                    portal = stack.enter_context(start_blocking_portal(name="sightline"))
                    runner = LoopRunner(portal.call(_current_loop))
                    backend = stack.enter_context(
                        portal.wrap_async_context_manager(self._open_backend())
                    )
                    self._opened = (runner, backend, stack.pop_all())
                    atexit.register(self.close)
        return self

    def close(self) -> None:
        """Close all connections. May be called twice."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            atexit.unregister(self.close)
            opened[2].close()

    async def aopen(self) -> Self:
        """Open the database or connect to the server."""
        return await asyncio.to_thread(self.open)

    async def aclose(self) -> None:
        """Close all connections. May be called twice."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await self.aopen()

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def call(self, tool: str, **arguments: Any) -> ToolReply:
        """Call a tool by name; an argument that is None is left out."""
        return self._runner.run(self._call(tool, arguments))

    async def acall(self, tool: str, **arguments: Any) -> ToolReply:
        """Call a tool by name; an argument that is None is left out."""
        return await self._runner.arun(self._call(tool, arguments))

    def search_images(self, query: str = "", **arguments: Any) -> HitPage:
        """Search images with the arguments of the tool; without a query, list them.

        ``image``, ``like`` and ``unlike`` also take the bytes or the `Path` of an image.
        """
        return self._runner.run(self._search_images(query, arguments))

    async def asearch_images(self, query: str = "", **arguments: Any) -> HitPage:
        """Search images; see `search_images`."""
        return await self._runner.arun(self._search_images(query, arguments))

    def search_text(self, query: str = "", **arguments: Any) -> HitPage:
        """Search passages with the arguments of the tool ``search_text``."""
        return self._runner.run(self._search_text(query, arguments))

    async def asearch_text(self, query: str = "", **arguments: Any) -> HitPage:
        """Search passages; see `search_text`."""
        return await self._runner.arun(self._search_text(query, arguments))

    def view_image(self, asset: str, **arguments: Any) -> bytes:
        """Return an image, or its part ``crop``, as JPEG of at most ``max_edge`` pixels."""
        return self._runner.run(self._view_image(asset, arguments))

    async def aview_image(self, asset: str, **arguments: Any) -> bytes:
        """Return an image as JPEG; see `view_image`."""
        return await self._runner.arun(self._view_image(asset, arguments))

    def read_text(self, **arguments: Any) -> dict[str, Any]:
        """Return the text of an ``asset``, or of pages of a ``source``."""
        return self.call("read_text", **arguments).data

    async def aread_text(self, **arguments: Any) -> dict[str, Any]:
        """Return the text of an ``asset``, or of pages of a ``source``."""
        return (await self.acall("read_text", **arguments)).data

    def answer_question(self, question: str, **arguments: Any) -> ToolReply:
        """Answer a question with checked citations; the reply has images if annotated."""
        return self.call("answer_question", question=question, **arguments)

    async def aanswer_question(self, question: str, **arguments: Any) -> ToolReply:
        """Answer a question; see `answer_question`."""
        return await self.acall("answer_question", question=question, **arguments)

    def list_collections(self) -> list[dict[str, Any]]:
        """Return the collections with their sizes and metadata keys."""
        return self._runner.run(self._list_collections())

    async def alist_collections(self) -> list[dict[str, Any]]:
        """Return the collections with their sizes and metadata keys."""
        return await self._runner.arun(self._list_collections())

    def embed(
        self, *texts: str, level: Level = "asset", collection: str | None = None
    ) -> NDArray[np.float16]:
        """Return the vectors of texts, float16 (n, dimension), to search with them in SQL.

        Those of the level "asset" compare with pictures, those of "passage" with texts; with
        ``collection`` they must fit its vectors. Not on a server.
        """
        return self._runner.run(self._backend.embed(texts, level, collection))

    async def aembed(
        self, *texts: str, level: Level = "asset", collection: str | None = None
    ) -> NDArray[np.float16]:
        """Return the vectors of texts; see `embed`."""
        return await self._runner.arun(self._backend.embed(texts, level, collection))

    def image_retriever(
        self, *, with_images: bool = False, max_edge: int = 512, **options: Unpack[ImageOptions]
    ) -> ImageRetriever[Any]:
        """Return a LlamaIndex retriever of images.

        ``with_images`` puts the pictures into the nodes, as JPEG of at most ``max_edge`` pixels.
        The other options are arguments of the tool ``search_images``.
        """
        from sightline.client.search_requests import BackendSearch, image_request
        from sightline.storage.retrieval.llama_index import ImageRetriever

        return ImageRetriever(
            BackendSearch(self._backend.search_images),
            image_request(**options),
            runner=self._runner,
            load_picture=self._picture_loader(max_edge) if with_images else None,
        )

    def passage_retriever(
        self, *, with_images: bool = False, max_edge: int = 512, **options: Unpack[PassageOptions]
    ) -> PassageRetriever[Any]:
        """Return a LlamaIndex retriever of passages.

        ``with_images`` as in `image_retriever`. The other options are arguments of the tool
        ``search_text``.
        """
        from sightline.client.search_requests import BackendSearch, passage_request
        from sightline.storage.retrieval.llama_index import PassageRetriever

        return PassageRetriever(
            BackendSearch(self._backend.search_passages),
            passage_request(**options),
            runner=self._runner,
            load_picture=self._picture_loader(max_edge) if with_images else None,
        )

    def langchain_image_retriever(self, **options: Unpack[ImageOptions]) -> SightlineRetriever:
        """Return a LangChain retriever of images; needs the extra ``langchain``."""
        from sightline.client.langchain import SightlineRetriever
        from sightline.client.search_requests import BackendSearch, image_request

        search = BackendSearch(self._backend.search_images)
        return SightlineRetriever(self._runner, search, image_request(**options))

    def langchain_passage_retriever(self, **options: Unpack[PassageOptions]) -> SightlineRetriever:
        """Return a LangChain retriever of passages; needs the extra ``langchain``."""
        from sightline.client.langchain import SightlineRetriever
        from sightline.client.search_requests import BackendSearch, passage_request

        search = BackendSearch(self._backend.search_passages)
        return SightlineRetriever(self._runner, search, passage_request(**options))

    def reranker(
        self,
        model: str | None = None,
        *,
        top_n: int | None = None,
        max_candidates: int = 20,
        timeout_seconds: float = 3.0,
    ) -> Reranker:
        """Return a LlamaIndex postprocessor that reranks nodes; load its model first.

        ``model`` is 'local-dir:PATH' or 'OWNER/MODEL', None the configured one. ``top_n`` nodes
        remain, None keeps all.
        """
        loaded = self._runner.run(self._backend.load_reranker(model))
        return self._reranker(loaded, top_n, max_candidates, timeout_seconds)

    async def areranker(
        self,
        model: str | None = None,
        *,
        top_n: int | None = None,
        max_candidates: int = 20,
        timeout_seconds: float = 3.0,
    ) -> Reranker:
        """Return a LlamaIndex postprocessor; see `reranker`."""
        loaded = await self._runner.arun(self._backend.load_reranker(model))
        return self._reranker(loaded, top_n, max_candidates, timeout_seconds)

    @property
    def _runner(self) -> LoopRunner:
        return self._require_open()[0]

    @property
    def _backend(self) -> Backend:
        return self._require_open()[1]

    def _require_open(self) -> tuple[LoopRunner, Backend, ExitStack]:
        if self._opened is None:
            raise RuntimeError(_NOT_OPEN)
        return self._opened

    def _open_backend(self) -> AbstractAsyncContextManager[Backend]:
        if self._url is not None:
            from sightline.client.remote_backend import open_remote

            return open_remote(self._url, self._token, self._timeout_seconds)
        from sightline.client.local_backend import open_local
        from sightline.server.config import load_settings

        return open_local(self._settings or load_settings())

    async def _call(self, tool: str, arguments: Mapping[str, Any]) -> ToolReply:
        from sightline.client.tool_replies import parse_reply

        given = {
            name: _argument(name, value) for name, value in arguments.items() if value is not None
        }
        return parse_reply(tool, await self._backend.call_tool(tool, given))

    async def _search_images(self, query: str, arguments: Mapping[str, Any]) -> HitPage:
        from sightline.client.tool_replies import image_page

        complete = {"query": query, **arguments, "detail": "detailed"}
        return image_page((await self._call("search_images", complete)).data)

    async def _search_text(self, query: str, arguments: Mapping[str, Any]) -> HitPage:
        from sightline.client.tool_replies import text_page

        complete = {"query": query, **arguments, "detail": "detailed"}
        return text_page((await self._call("search_text", complete)).data)

    async def _view_image(self, asset: str, arguments: Mapping[str, Any]) -> bytes:
        from sightline.client.tool_replies import first_image

        reply = await self._call("view_image", {"asset": asset, **arguments, "inline": True})
        return first_image("view_image", reply)

    async def _list_collections(self) -> list[dict[str, Any]]:
        from sightline.client.tool_replies import collection_list

        return collection_list((await self._call("list_collections", {})).data)

    def _picture_loader(self, max_edge: int) -> LoadPicture:
        async def load(asset: str) -> bytes:
            return await self._view_image(asset, {"max_edge": max_edge})

        return load

    def _reranker(
        self, model: Any, top_n: int | None, max_candidates: int, timeout_seconds: float
    ) -> Reranker:
        from sightline.storage.retrieval.llama_index import Reranker

        return Reranker(
            model,
            runner=self._runner,
            load_picture=self._picture_loader(256),
            top_n=top_n,
            max_candidates=max_candidates,
            timeout_seconds=timeout_seconds,
        )


async def _current_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _argument(name: str, value: Any) -> Any:
    """Return an argument of a tool as JSON."""
    if name == "filters" and not isinstance(value, Mapping | str):
        from sightline.client.search_requests import json_filters

        return json_filters(value)
    if isinstance(value, Path):
        value = value.read_bytes()
    if isinstance(value, bytes):
        return f"data:image/jpeg;base64,{base64.b64encode(value).decode('ascii')}"
    if isinstance(value, list | tuple):
        return [_argument(name, each) for each in value]
    return value
