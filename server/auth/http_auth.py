"""Which tokens open the HTTP server, and what it says of that to clients."""

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
from sightline.server.auth.static_tokens import PREFIX, StaticTokenVerifier, read_tokens
from sightline.server.config.hosts import is_loopback
from sightline.server.config.settings import Settings, variable
from sightline.storage.errors import ConfigurationError

_RETRY_SECONDS = 10
#: As it was given: clients compare the issuer letter by letter.
_URL = TypeAdapter(AnyHttpUrl, config=ConfigDict(url_preserve_empty_path=True))


@dataclass(frozen=True, slots=True)
class HttpAuth:
    """What the SDK's server is given, and what is added to its application."""

    verifier: TokenVerifier
    settings: AuthSettings
    #: Metadata of the protected resource (RFC 9728), where there is an authorisation server.
    metadata: Sequence[Route]

    def install(self, application: Starlette) -> None:
        """Serve the metadata, and answer 503 and not 400 while no token can be checked."""
        # Before the SDK's own route of the same path, which cannot name the scopes.
        application.router.routes[:0] = self.metadata
        for middleware in application.user_middleware:
            factory: object = middleware.cls
            if factory is AuthenticationMiddleware:
                middleware.kwargs["on_error"] = _unavailable


class _Either:
    """Static tokens are told by how they begin; anything else is a JSON Web Token."""

    def __init__(self, static: TokenVerifier, signed: TokenVerifier) -> None:
        self._static = static
        self._signed = signed

    async def verify_token(self, token: str) -> AccessToken | None:
        verifier = self._static if token.startswith(PREFIX) else self._signed
        return await verifier.verify_token(token)


def create_http_auth(settings: Settings, address: str) -> HttpAuth | None:
    """The gate of a server at ``address``; ``None`` where everybody on this machine is let in.

    Raises ConfigurationError for an address that others reach without any token to ask for.
    """
    tokens = read_tokens(settings)
    if not tokens and settings.jwt_issuer is None:
        if is_loopback(settings.http_host):
            return None
        raise ConfigurationError(
            f"{variable('http_host')} is {settings.http_host!r}, which other machines can reach, "
            f"and there are no tokens: set {variable('http_tokens_file')} or "
            f"{variable('jwt_issuer')}, or listen on 127.0.0.1"
        )
    static = StaticTokenVerifier(tokens)
    if settings.jwt_issuer is None:
        # Handed out by the operator: there is no authorisation server to point to, and a token is
        # bound to this server by being in its list.
        issuer = _URL.validate_python(settings.http_public_url or address)
        return HttpAuth(static, AuthSettings(issuer_url=issuer, resource_server_url=None), ())
    return _of_issuer(settings, settings.jwt_issuer, static, resource(settings, address))


def resource(settings: Settings, address: str) -> str:
    """The address by which clients name this server; tokens are made out to it (RFC 8707)."""
    if settings.http_public_url is None:
        return address
    path = urlsplit(settings.http_public_url).path
    base = settings.http_public_url.rstrip("/")
    return base if path.strip("/") else base + settings.http_path


def _of_issuer(
    settings: Settings, issuer: str, static: StaticTokenVerifier, own_address: str
) -> HttpAuth:
    # jwt and cryptography are imported only where they are used.
    from sightline.server.auth.jwks import JwksClient, KeyLimits
    from sightline.server.auth.jwt_verifier import Expected, JwtVerifier

    if settings.jwks_url is None:
        raise ConfigurationError(
            f"{variable('jwt_issuer')} needs {variable('jwks_url')}: where its keys are"
        )
    if settings.http_public_url is None and not is_loopback(settings.http_host):
        raise ConfigurationError(
            f"{variable('jwt_issuer')} needs {variable('http_public_url')}: tokens are made out "
            "to the address that clients use"
        )
    keys = JwksClient(
        settings.jwks_url,
        KeyLimits(
            timeout_seconds=settings.jwks_timeout_seconds,
            most_bytes=settings.jwks_bytes,
            kept_seconds=settings.jwks_kept_seconds,
            stale_seconds=settings.jwks_stale_seconds,
            pause_seconds=settings.jwks_pause_seconds,
        ),
    )
    expected = Expected(
        issuer=issuer,
        audience=settings.jwt_audience or own_address,
        algorithms=settings.jwt_algorithms,
        leeway_seconds=settings.jwt_leeway_seconds,
        most_bytes=settings.jwt_bytes,
        scope_prefix=settings.jwt_scope_prefix,
    )
    resource_url, issuer_url = _URL.validate_python(own_address), _URL.validate_python(issuer)
    return HttpAuth(
        _Either(static, JwtVerifier(keys, expected)),
        AuthSettings(
            issuer_url=issuer_url,
            resource_server_url=resource_url,
            validate_token_resource=False,  # the audience is checked with the rest of the token
        ),
        create_protected_resource_routes(
            resource_url,
            [issuer_url],
            scopes_supported=[settings.jwt_scope_prefix + scope for scope in SCOPES],
            resource_name="Sightline",
        ),
    )


def _unavailable(_: HTTPConnection, error: AuthenticationError) -> Response:
    return PlainTextResponse(
        f"{error}\n", status_code=503, headers={"Retry-After": str(_RETRY_SECONDS)}
    )
