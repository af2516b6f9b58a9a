"""The frameworks of the matrix: what to install, which program to run, and known faults.

A known fault names the check that fails because of the framework, and the upstream issue. The
matrix reports a failure that is not listed here, and a listed one that has disappeared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = Path(__file__).parents[2] / "docs" / "examples" / "frameworks"


@dataclass(frozen=True)
class Framework:
    """A framework with its documented program."""

    title: str
    program: str
    #: Requirements for pip, or for npm if the program is TypeScript.
    packages: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    #: By check: the upstream issue and a short explanation.
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The program."""
        return PROGRAMS / self.program

    @property
    def uses_node(self) -> bool:
        """Whether the program is TypeScript."""
        return self.program.endswith(".ts")


_AGENTS = ("openai-agents",)

FRAMEWORKS: Mapping[str, Framework] = {
    "plain_mcp": Framework("Plain MCP, Python", "with_plain_mcp.py", ("mcp", "openai")),
    "plain_mcp_ts": Framework(
        "Plain MCP, TypeScript", "with_plain_mcp.ts", ("@modelcontextprotocol/client", "openai")
    ),
    "langgraph": Framework(
        "LangGraph",
        "with_langgraph.py",
        ("langgraph", "langchain", "langchain-mcp-adapters", "langchain-openai"),
    ),
    "openai_agents": Framework("OpenAI Agents", "with_openai_agents.py", _AGENTS),
    "openai_agents_strict": Framework(
        "OpenAI Agents, strict schemas",
        "with_openai_agents.py",
        _AGENTS,
        {"STRICT_SCHEMAS": "1"},
    ),
    "openai_agents_structured": Framework(
        "OpenAI Agents, structured content",
        "with_openai_agents.py",
        _AGENTS,
        {"STRUCTURED_CONTENT": "1"},
    ),
    "pydantic_ai": Framework(
        "Pydantic AI", "with_pydantic_ai.py", ("pydantic-ai-slim[mcp,openai]",)
    ),
    "llamaindex": Framework(
        "LlamaIndex",
        "with_llamaindex.py",
        ("llama-index-core", "llama-index-tools-mcp", "llama-index-llms-openai"),
    ),
    "crewai": Framework(
        "CrewAI",
        "with_crewai.py",
        ("crewai", "crewai-tools[mcp]"),
        faults={
            "image": "results of tools are text, the image is dropped "
            "(https://github.com/crewAIInc/crewAI/issues/4016)"
        },
    ),
    "google_adk": Framework("Google ADK", "with_google_adk.py", ("google-adk", "mcp")),
    "google_genai": Framework("Google Gen AI SDK", "with_google_genai.py", ("google-genai", "mcp")),
    "semantic_kernel": Framework(
        "Semantic Kernel",
        "with_semantic_kernel.py",
        ("semantic-kernel[mcp]",),
        faults={
            "image": "results of functions are text; the program asks for links instead "
            "(https://github.com/microsoft/semantic-kernel/issues/11161)"
        },
    ),
    "smolagents": Framework(
        "smolagents", "with_smolagents.py", ("smolagents[mcp,openai]", "mcp<2")
    ),
    "autogen": Framework(
        "AutoGen",
        "with_autogen.py",
        ("autogen-agentchat", "autogen-ext[mcp,openai]", "mcp<2"),
        faults={
            "image": "results of tools are text; the program asks for links instead "
            "(https://github.com/microsoft/autogen/issues/5250)"
        },
    ),
    "strands": Framework("Strands Agents", "with_strands.py", ("strands-agents[openai]",)),
    "haystack": Framework("Haystack", "with_haystack.py", ("haystack-ai", "mcp-haystack")),
    "vercel_ai_sdk": Framework(
        "Vercel AI SDK", "with_vercel_ai_sdk.ts", ("ai", "@ai-sdk/mcp", "@ai-sdk/openai")
    ),
    "mastra": Framework(
        "Mastra", "with_mastra.ts", ("@mastra/core", "@mastra/mcp", "@ai-sdk/openai")
    ),
}
