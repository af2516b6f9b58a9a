"""The composition root: settings in, MCP server out.

Importing this imports neither torch nor open_clip nor LlamaIndex (a test holds that), and nothing
is opened before the server runs: the handshake and ``tools/list`` answer at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from mcp.server.auth.provider import TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer

from sightline.server.config import Settings
from sightline.server.mcp_server.analytics_provider import require_analytics_login
from sightline.server.mcp_server.audit import Audit
from sightline.server.mcp_server.rate_limit import RateLimiter
from sightline.server.mcp_server.server import SightlineServer
from sightline.server.models.text import cross_encoder_reranker
from sightline.server.models.vision_language.vlm_endpoint import Endpoint
from sightline.server.observability.gc_freeze import freeze_when_ready
from sightline.server.observability.logs import preserve_root_logger
from sightline.server.observability.metrics import Metrics
from sightline.server.runtime import Runtime, ingest_options
from sightline.tools.registry import INSTRUCTIONS, register_all, register_analytics
from sightline.tools.shared.dependencies import Dependencies

#: Offers tools, resources or prompts on a server.
Register = Callable[[MCPServer], None]


class App(SightlineServer):
    """The server, with what is running inside it while it runs."""

    #: Set while it runs.
    runtime: Runtime | None = None
    #: Set when it is about to end: it answers what comes, and asks for no more.
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
    on_final: Callable[[Exception], None] | None = None,
    auth: AuthSettings | None = None,
    token_verifier: TokenVerifier | None = None,
) -> App:
    """A server over the settings; run it over any of the SDK's transports.

    ``register`` offers the tools; ``on_final`` is told when the database can never be used as
    things stand; ``auth`` and ``token_verifier`` are the SDK's, for HTTP. Raises
    ConfigurationError for a setting that does not work.
    """
    ingest_options(settings)  # here, and not when the transport already runs
    Endpoint.from_settings(settings)
    cross_encoder_reranker.check(settings.reranker.model, settings.vlm.base_url)
    require_analytics_login(settings)
    metrics = metrics or Metrics()
    audit = Audit(settings.log.audit_file)

    @asynccontextmanager
    async def lifespan(_: MCPServer[Dependencies]) -> AsyncIterator[Dependencies]:
        async with (
            Runtime(settings, metrics, on_final=on_final) as runtime,
            freeze_when_ready(runtime.opened),
        ):
            app.runtime = runtime
            try:
                yield runtime.dependencies()
            finally:
                app.runtime = None
                audit.close()

    with preserve_root_logger():  # the SDK puts a handler of its own on it
        app = App(
            "sightline",
            title="Sightline",
            version=version("sightline"),
            instructions=INSTRUCTIONS,
            lifespan=lifespan,
            auth=auth,
            token_verifier=token_verifier,
            log_level="WARNING",
            metrics=metrics,
            audit=audit,
            rate_limiter=RateLimiter(
                calls_per_minute=settings.rate_limit.max_calls_per_minute,
                burst=max(1, settings.rate_limit.max_calls_per_minute // 5),
                max_concurrent=settings.rate_limit.max_concurrent_calls,
            ),
        )
    for offer in register:
        offer(app)
    if settings.analytics.enabled:
        register_analytics(app)
    return app
