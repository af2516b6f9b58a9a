"""Retrievers of LlamaIndex and LangChain, against this installation and against a server."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.retrieval import (
    RetrievalEndEvent,
    RetrievalStartEvent,
)
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import ImageNode, MetadataMode, TextNode
from llama_index.core.tools import QueryEngineTool, RetrieverTool
from PIL import Image
from pydantic import Field

from sightline.client import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    Sightline,
    ToolCallError,
)
from sightline.storage.errors import SightlineError
from tests.client.conftest import ALBUM, CAPTIONS, NOTES
from tests.client.scripted_llm import calling

#: LlamaIndex's agents use deprecated parts of pydantic and of its own workflows.
DEPRECATED = pytest.mark.filterwarnings("ignore::DeprecationWarning")
FIRST_LINE = MetadataFilters(
    filters=[MetadataFilter(key="line", value=1, operator=FilterOperator.LTE)]
)


def test_an_image_node_has_text_source_and_metadata(sightline: Sightline) -> None:
    retriever = sightline.image_retriever(collection=ALBUM, limit=1)
    (node,) = retriever.retrieve("red bus harbour")
    assert isinstance(node.node, ImageNode)
    assert node.node.get_content() == CAPTIONS[0]
    metadata = node.node.metadata
    assert metadata["source"].endswith("0000.jpg")
    assert (metadata["collection"], metadata["kind"]) == (ALBUM, "image")
    assert (metadata["asset"], metadata["uri"]) == (
        node.node.node_id,
        f"sightline://asset/{node.node.node_id}",
    )
    assert (metadata["line"], metadata["metadata.source"]) == (1, "camera")
    assert metadata["size"] == [48, 32]
    assert node.score is not None
    assert node.score > 0
    assert node.node.image is None
    assert node.node.ref_doc_id == f"{ALBUM}/{metadata['source']}"
    shown = node.node.get_content(MetadataMode.LLM)
    assert metadata["source"] in shown
    assert "uri" not in shown


def test_a_passage_node_has_its_page_and_asset(sightline: Sightline) -> None:
    (node,) = sightline.passage_retriever(limit=1).retrieve('"the filter of the pump"')
    assert type(node.node) is TextNode
    assert "every spring" in node.node.get_content()
    metadata = node.node.metadata
    assert metadata["source"].endswith("manual.pdf")
    assert metadata["page"] == 1
    assert metadata["passage"] == node.node.node_id
    assert len(metadata["asset"]) == 12


def test_local_and_remote_nodes_are_the_same(local: Sightline, remote: Sightline) -> None:
    def nodes(sightline: Sightline) -> list[Any]:
        found = [
            *sightline.image_retriever(collection=ALBUM).retrieve("bus"),
            *sightline.passage_retriever(collection=ALBUM).retrieve("bus harbour"),
        ]
        for each in found:
            each.node.metadata.pop("distance", None)  # rounded in results of tools
        return [(each.node.node_id, each.node.text, each.node.metadata) for each in found]

    assert nodes(local) == nodes(remote) != []


@pytest.mark.parametrize("filters", [FIRST_LINE, {"line": {"lte": 1}}])
def test_filters_restrict_the_hits(sightline: Sightline, filters: Any) -> None:
    nodes = sightline.image_retriever(filters=filters).retrieve("bus")
    assert [node.node.get_content() for node in nodes] == [CAPTIONS[0]]


def test_only_some_kinds_of_text_are_found(sightline: Sightline) -> None:
    (node,) = sightline.passage_retriever(kinds=["chunk"]).retrieve('"bus to the harbour"')
    assert node.node.get_content() == NOTES.strip()


def test_pictures_are_in_the_nodes_on_request(sightline: Sightline) -> None:
    retriever = sightline.image_retriever(limit=2, with_images=True, max_edge=64)
    nodes = retriever.retrieve("bus")
    assert len(nodes) == 2
    for node in nodes:
        with Image.open(io.BytesIO(node.node.resolve_image().read())) as image:
            assert (image.format, max(image.size)) == ("JPEG", 48)
    page = sightline.passage_retriever(limit=1, with_images=True, max_edge=128)
    (node,) = page.retrieve('"the filter of the pump"')
    with Image.open(io.BytesIO(node.node.resolve_image().read())) as image:
        assert max(image.size) == 128


async def test_sync_and_async_calls_work_on_a_running_loop(sightline: Sightline) -> None:
    retriever = sightline.image_retriever(limit=1)
    expected = [node.node.node_id for node in await retriever.aretrieve("red bus")]
    assert [node.node.node_id for node in retriever.retrieve("red bus")] == expected
    in_thread = await asyncio.to_thread(retriever.retrieve, "red bus")
    assert [node.node.node_id for node in in_thread] == expected


def test_async_calls_work_on_one_loop_after_another(sightline: Sightline) -> None:
    retriever = sightline.image_retriever(limit=1)
    for _ in range(2):
        assert len(asyncio.run(retriever.aretrieve("red bus"))) == 1


def test_a_query_engine_answers_from_images_and_passages(sightline: Sightline) -> None:
    for retriever in (sightline.image_retriever(limit=1), sightline.passage_retriever(limit=1)):
        engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
        response = engine.query("red bus harbour")
        assert CAPTIONS[0] in str(response)  # the mock model repeats its prompt
        assert response.source_nodes[0].node.metadata["collection"] == ALBUM


async def test_a_query_engine_answers_in_async_code(sightline: Sightline) -> None:
    engine = RetrieverQueryEngine.from_args(sightline.image_retriever(limit=1), llm=MockLLM())
    assert CAPTIONS[0] in str(await engine.aquery("red bus harbour"))


@DEPRECATED
async def test_a_function_calling_agent_sees_the_hits(sightline: Sightline) -> None:
    tool = RetrieverTool.from_defaults(
        sightline.image_retriever(limit=2), name="find_images", description="Finds images."
    )
    llm = calling("find_images", input="red bus harbour")
    answer = str(await FunctionAgent(tools=[tool], llm=llm).run("Any buses?"))
    assert CAPTIONS[0] in answer
    assert "asset: " in answer
    assert "0000.jpg" in answer


class ScriptedLLM(MockLLM):  # type: ignore[misc]
    """Calls the tool, then answers with what it returned."""

    def _chat(self, messages: Any) -> str:
        observation = str(messages[-1].content)
        if "Observation:" in observation:
            return f"Thought: I know.\nAnswer: {observation}"
        return (
            "Thought: I need a tool.\nAction: find_text\n"
            'Action Input: {"input": "bus to the harbour"}'
        )

    async def achat(self, messages: Any, **_: Any) -> Any:
        return ChatResponse(message=ChatMessage(role="assistant", content=self._chat(messages)))


@DEPRECATED
async def test_a_react_agent_asks_a_query_engine(sightline: Sightline) -> None:
    engine = RetrieverQueryEngine.from_args(
        sightline.passage_retriever(kinds=["chunk"], limit=1), llm=MockLLM()
    )
    tool = QueryEngineTool.from_defaults(engine, name="find_text", description="Finds text.")
    agent = ReActAgent(tools=[tool], llm=ScriptedLLM(), streaming=False)
    assert NOTES.strip() in str(await agent.run("When does the bus leave?"))


def test_errors_name_what_is_wrong(sightline: Sightline) -> None:
    with pytest.raises(SightlineError, match=r"nowhere.*Available: .*album"):
        sightline.image_retriever(collection="nowhere").retrieve("bus")
    with pytest.raises(SightlineError, match="colour"):
        sightline.passage_retriever(filters={"colour": "red"}).retrieve("bus")
    with pytest.raises(SightlineError, match="limit"):
        sightline.image_retriever(limit=0).retrieve("bus")


async def test_errors_are_raised_in_async_code(remote: Sightline) -> None:
    with pytest.raises(ToolCallError, match="nowhere"):
        await remote.image_retriever(collection="nowhere").aretrieve("bus")


def test_a_principal_sees_only_its_collections(local: Sightline, remote: Sightline) -> None:
    def seen(sightline: Sightline) -> set[str]:
        nodes = sightline.image_retriever(limit=10).retrieve("picture")
        return {node.node.metadata["collection"] for node in nodes}

    assert seen(local) == {ALBUM, "private"}
    assert seen(remote) == {ALBUM}


@pytest.mark.parametrize("kind", ["image", "passage"])
async def test_a_langchain_chain_gets_documents(sightline: Sightline, kind: str) -> None:
    create = getattr(sightline, f"langchain_{kind}_retriever")
    retriever = create(collection=ALBUM, filters=FIRST_LINE, limit=1)
    (document,) = retriever.invoke("red bus harbour")
    assert document.page_content == CAPTIONS[0]
    assert document.metadata["source"].endswith("0000.jpg")
    assert document.metadata["line"] == 1
    assert document.metadata["score"] > 0
    assert await retriever.ainvoke("red bus harbour") == [document]

    def join(documents: list[Any]) -> str:
        return "\n".join(each.page_content for each in documents)

    seen: list[str] = []

    def remember(prompt: Any) -> Any:
        seen.append(prompt.to_string())
        return prompt

    prompt = ChatPromptTemplate.from_template("{context}\n\nQuestion: {question}")
    model = FakeListChatModel(responses=["A bus."])
    given = {"context": retriever | join, "question": RunnablePassthrough()}
    chain = given | prompt | remember | model | StrOutputParser()
    assert chain.invoke("red bus harbour") == "A bus."
    assert await chain.ainvoke("red bus harbour") == "A bus."
    assert all(CAPTIONS[0] in text for text in seen)
    assert len(seen) == 2


class Recorder(BaseEventHandler):  # type: ignore[misc]
    """Remembers the events of retrievals."""

    events: list[Any] = Field(default_factory=list)

    def handle(self, event: Any, **_: Any) -> None:
        if isinstance(event, RetrievalStartEvent | RetrievalEndEvent):
            self.events.append(event)


async def test_llama_index_instrumentation_sees_a_call_once(local: Sightline) -> None:
    recorder, dispatcher = Recorder(), get_dispatcher()
    dispatcher.add_event_handler(recorder)
    try:
        retriever = local.image_retriever(limit=1)
        retriever.retrieve("red bus")
        await retriever.aretrieve("red bus")
    finally:
        dispatcher.event_handlers.remove(recorder)
    kinds = [type(event).__name__ for event in recorder.events]
    assert kinds == ["RetrievalStartEvent", "RetrievalEndEvent"] * 2
    assert all(event.nodes for event in recorder.events[1::2])
    assert len({event.span_id for event in recorder.events}) == 2
