"""Opens the tool dependencies, calls tools and asks questions for CLI commands."""

from __future__ import annotations

import math
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from sightline.server.config import Settings
from sightline.server.mcp_server.command_socket import ask_running_server
from sightline.server.observability.terminal import write_lines
from sightline.storage.errors import ConfigurationError, SightlineError

if TYPE_CHECKING:
    from sightline.tools.shared.dependencies import Dependencies


@asynccontextmanager
async def open_dependencies(settings: Settings) -> AsyncIterator[Dependencies]:
    """Open the dependencies of the tools, and wait without limit for models to load."""
    from sightline.server.observability.metrics import Metrics
    from sightline.server.runtime import Runtime

    async with Runtime(_patient(settings), Metrics(), uses_llama_index=False) as runtime:
        yield runtime.dependencies()


def _patient(settings: Settings) -> Settings:
    """Return the settings without a limit for loading.

    Who waits for a command can stop it.
    """
    return settings.replace(startup_timeout_seconds=math.inf)


class ToolFailedError(SightlineError):
    """A tool call failed; the message is that of the tool."""


class CalledTool(NamedTuple):
    """The JSON result of a tool, and its images as files."""

    result: dict[str, Any]
    images: tuple[bytes, ...] = ()


async def call_tool(settings: Settings, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Call a tool and return its JSON result; see `call_tool_with_images`."""
    return (await call_tool_with_images(settings, tool, arguments)).result


async def call_tool_with_images(
    settings: Settings, tool: str, arguments: dict[str, Any], *, asks_server: bool = True
) -> CalledTool:
    """Call a tool of a running server, or else of one in this process.

    It waits without limit for the database and models. Raises ToolFailedError.
    """
    reply = ask_running_server(settings, tool, arguments) if asks_server else None
    if reply is not None:
        if reply.result is None:
            raise ToolFailedError(reply.error)
        return CalledTool(reply.result, reply.images)
    # They take a second to import, which a command that a server answers must not wait for.
    from mcp import Client
    from mcp.types import TextContent

    from sightline.server.app import create_app
    from sightline.tools.shared.tool_results import read_images, read_result

    app = create_app(_patient(settings), uses_llama_index=False, preloads=False)
    async with Client(app) as client:
        result = await client.call_tool(tool, arguments)
    if result.is_error:
        texts = [block.text for block in result.content if isinstance(block, TextContent)]
        raise ToolFailedError(" ".join(texts))
    return CalledTool(read_result(result), tuple(read_images(result)))


class DeclinedError(SightlineError):
    """The user answered a question with no."""


def confirm(question: str, *, yes: bool) -> None:
    """Ask a question, unless ``yes`` answers it.

    Raises DeclinedError for another answer than yes, and ConfigurationError without a terminal.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} To agree without a terminal, add --yes.")
    write_lines(f"{question} [y/N]", error=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise DeclinedError("Nothing was changed.")
