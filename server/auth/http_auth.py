"""Authentication setup of the HTTP server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.routes import create_protected_resource_routes
from mcp.server.auth.settings import AuthSettings
from pydantic import AnyHttpUrl, ConfigDict, TypeAdapter
from starlette.applications import Starlette
from starlette.authentication import AuthenticationError
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sightline.server.auth.scopes import SCOPES
from sightline.server.auth.static_tokens import TOKEN_PREFIX, StaticTokenVerifier, load_tokens
from sightline.server.config import Settings, variable
from sightline.server.config.hosts import MCP_PATH, is_loopback
from sightline.storage.errors import ConfigurationError

_RETRY_SECONDS = 10
#: Keeps the URL as configured, because clients compare the issuer character by character.
_URL = TypeAdapter(AnyHttpUrl, config=ConfigDict(url_preserve_empty_path=True))


@dataclass(frozen=True, slots=True)
class HttpAuth:
    """Authentication of one HTTP server."""

    verifier: TokenVerifier
    settings: AuthSettings
    #: Protected resource metadata (RFC 9728), if there is an authorization server.
    metadata_routes: Sequence[Route]

    def install(self, application: Starlette) -> None:
        """Add the metadata routes, and answer 503 while no token can be checked."""
        # Before the route of the SDK with the same path, which does not list the scopes.
        application.router.routes[:0] = self.metadata_routes
        for middleware in application.user_middleware:
            factory: object = middleware.cls
            if factory is AuthenticationMiddleware:
                middleware.kwargs["on_error"] = _unavailable


@dataclass(frozen=True, slots=True)
class _CombinedVerifier:
    """Verifies static tokens by their prefix, and all others as JSON Web Tokens."""

    static: TokenVerifier
    jwt: TokenVerifier

    async def verify_token(self, token: str) -> AccessToken | None:
        verifier = self.static if token.startswith(TOKEN_PREFIX) else self.jwt
        return await verifier.verify_token(token)


def create_http_auth(settings: Settings, address: str) -> HttpAuth | None:
    """Return the authentication of a server, or None on loopback without tokens.

    Raises ConfigurationError for a non-loopback address without authentication.
    """
    tokens, jwt = load_tokens(settings), settings.auth.jwt
    if not tokens and jwt.issuer is None:
        if is_loopback(settings.http.host):
            return None
        raise ConfigurationError(
            f"{variable('http.host')} is {settings.http.host!r}, which other machines can reach, "
            f"but no authentication is configured. Set {variable('auth.tokens_file')} or "
            f"{variable('auth.jwt.issuer')}, or listen on 127.0.0.1"
        )
    static = StaticTokenVerifier(tokens)
    if jwt.issuer is None:
        # There is no authorization server. The token list binds each token to this server.
        issuer = _URL.validate_python(settings.http.public_url or address)
        return HttpAuth(static, AuthSettings(issuer_url=issuer, resource_server_url=None), ())
    if jwt.jwks_url is None:
        raise ConfigurationError(
            f"{variable('auth.jwt.issuer')} needs {variable('auth.jwt.jwks_url')}, the address "
            "of the keys"
        )
    if settings.http.public_url is None and not is_loopback(settings.http.host):
        raise ConfigurationError(
            f"{variable('auth.jwt.issuer')} needs {variable('http.public_url')}: the audience "
            "of tokens is the address that clients use"
        )
    # Slow import that only this configuration needs.
    from sightline.server.auth.jwt_verifier import JwksClient, JwtVerifier

    own_url = resource_url(settings, address)
    keys, audience = JwksClient(jwt.jwks_url), jwt.audience or own_url
    verifier = JwtVerifier(
        keys, jwt.issuer, audience, jwt.algorithms, jwt.scope_prefix, jwt.require_at_jwt
    )
    public_url, issuer = _URL.validate_python(own_url), _URL.validate_python(jwt.issuer)
    return HttpAuth(
        _CombinedVerifier(static, verifier),
        AuthSettings(
            issuer_url=issuer,
            resource_server_url=public_url,
            validate_token_resource=False,  # the verifier checks the audience
        ),
        create_protected_resource_routes(
            public_url,
            [issuer],
            scopes_supported=[jwt.scope_prefix + scope for scope in SCOPES],
            resource_name="Sightline",
        ),
    )


def resource_url(settings: Settings, address: str) -> str:
    """Return the address that clients use; it is the audience of tokens (RFC 8707)."""
    if settings.http.public_url is None:
        return address
    path = urlsplit(settings.http.public_url).path
    base = settings.http.public_url.rstrip("/")
    return base if path.strip("/") else base + MCP_PATH


def _unavailable(_: HTTPConnection, error: AuthenticationError) -> Response:
    return PlainTextResponse(
        f"{error}\n", status_code=503, headers={"Retry-After": str(_RETRY_SECONDS)}
    )
