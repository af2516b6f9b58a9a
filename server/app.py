"""Composition root: creates the MCP server from settings.

Import and creation are fast: numpy, models and LlamaIndex are imported later, and nothing is opened
before the server runs. The handshake and ``tools/list`` wait for nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext

from mcp.server.auth.provider import TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer

from sightline.server.config import Settings
from sightline.server.config.package_version import package_version
from sightline.server.mcp_server.audit import Audit
from sightline.server.mcp_server.command_listener import listen_for_commands
from sightline.server.mcp_server.principals import require_read_only_login
from sightline.server.mcp_server.rate_limit import RateLimiter
from sightline.server.mcp_server.server import SightlineServer
from sightline.server.models.model_choice import check_reranker
from sightline.server.models.vision_language.vlm_endpoint import VlmEndpoint
from sightline.server.observability.gc_freeze import freeze_when_ready
from sightline.server.observability.logs import preserve_root_logger
from sightline.server.observability.metrics import Metrics
from sightline.server.runtime import Runtime, ingest_options
from sightline.server.web.chat_app import chat_app
from sightline.tools.registry import INSTRUCTIONS, register_all, register_analytics
from sightline.tools.shared.dependencies import Dependencies

#: Registers tools, resources or prompts.
Register = Callable[[MCPServer], None]


class App(SightlineServer):
    """The MCP server and its runtime."""

    #: None while the server does not run.
    runtime: Runtime | None = None
    #: None while the server does not run.
    tool_dependencies: Dependencies | None = None
    #: Set before shutdown: readiness probes fail, requests are still answered.
    stopping = False

    async def restricted_principal(self, principal: str) -> str | None:
        """Return the principal if it is bound to collections, or None if it sees all."""
        if self.runtime is None:
            return await super().restricted_principal(principal)
        return await self.runtime.principal_cache.restricted_principal(principal)


def create_app(
    settings: Settings,
    *,
    register: Sequence[Register] = (register_all,),
    metrics: Metrics | None = None,
    on_failure: Callable[[Exception], None] | None = None,
    auth: AuthSettings | None = None,
    token_verifier: TokenVerifier | None = None,
    uses_llama_index: bool = True,
    preloads: bool = True,
    answers_commands: bool = False,
) -> App:
    """Create the server; run it with any transport of the SDK.

    ``on_failure`` is called if the database has an error that a retry cannot solve. ``auth`` and
    ``token_verifier`` are for HTTP. ``uses_llama_index`` and ``preloads`` are those of
    `Runtime`. With ``answers_commands``, commands in a terminal use this server. Raises
    ConfigurationError for an invalid setting.
    """
    # Validated here, and not only when the transport already runs.
    ingest_options(settings)
    endpoint = VlmEndpoint.from_settings(settings.vlm)
    check_reranker(settings.reranker.model, has_vlm=endpoint is not None)
    if settings.analytics.enabled:
        require_read_only_login(settings)
    metrics = metrics or Metrics()
    audit = Audit(settings.log.audit_file)

    @asynccontextmanager
    async def lifespan(_: MCPServer[Dependencies]) -> AsyncIterator[Dependencies]:
        if app.tool_dependencies is not None:  # a command: a further session of the running server
            yield app.tool_dependencies
            return
        async with (
            Runtime(
                settings,
                metrics,
                on_failure=on_failure,
                uses_llama_index=uses_llama_index,
                preloads=preloads,
            ) as runtime,
            freeze_when_ready(runtime.wait_ready),
        ):
            app.runtime = runtime
            app.tool_dependencies = runtime.dependencies()
            try:
                async with (
                    listen_for_commands(app, settings) if answers_commands else nullcontext()
                ):
                    yield app.tool_dependencies
            finally:
                app.runtime = app.tool_dependencies = None
                audit.close()

    with preserve_root_logger():  # the SDK adds a handler
        app = App(
            "sightline",
            title="Sightline",
            version=package_version(),
            instructions=INSTRUCTIONS,
            lifespan=lifespan,
            extensions=[chat_app()],
            auth=auth,
            token_verifier=token_verifier,
            log_level="WARNING",
            metrics=metrics,
            audit=audit,
            call_timeout_seconds=settings.limits.call_timeout_seconds,
            rate_limiter=RateLimiter(
                per_minute=settings.rate_limit.max_calls_per_minute,
                burst=max(1, settings.rate_limit.max_calls_per_minute // 5),
                max_concurrent=settings.rate_limit.max_concurrent_calls,
            ),
        )
    for add in register:
        add(app)
    if settings.analytics.enabled:
        register_analytics(app)
    return app
