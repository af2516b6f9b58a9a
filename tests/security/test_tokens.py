"""Attacks with JSON Web Tokens on a running server: only 200, 401 and 403 are answered."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm

from sightline.server.auth import static_tokens
from sightline.server.http.http_server import start_http_server
from tests.support.mcp_messages import ACCEPT, INITIALIZE
from tests.support.settings import make_settings
from tests.support.token_issuer import AUDIENCE, EcKey, Issuer, RsaKey, payload, run_issuer

RSA_KEY, EC_KEY = RsaKey("rsa"), EcKey("ec")


class Target:
    """A running server that accepts the tokens of two keys, and a client without MCP."""

    def __init__(self, url: str, issuer: Issuer, static: str, http: httpx2.Client) -> None:
        self.url, self.issuer, self.static, self.http = url, issuer, static, http

    def send(
        self, token: str, message: dict[str, Any] = INITIALIZE, session: str | None = None
    ) -> httpx2.Response:
        headers = {
            **ACCEPT,
            "Authorization": f"Bearer {token}",
            **({} if session is None else {"Mcp-Session-Id": session}),
        }
        return self.http.post(self.url, json=message, headers=headers)

    def open_session(self, token: str) -> str:
        response = self.send(token)
        assert response.status_code == 200, response.text
        return response.headers["mcp-session-id"]

    def status(self, token: str) -> int:
        """Return the status of an opening request, and close the session again."""
        response = self.send(token)
        if response.status_code == 200:
            self.close(token, response.headers["mcp-session-id"])
        return response.status_code

    def close(self, token: str, session: str) -> int:
        headers = {"Authorization": f"Bearer {token}", "Mcp-Session-Id": session}
        return self.http.delete(self.url, headers=headers).status_code


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    secret, stored = static_tokens.issue_token("laptop", ["read", "write"])

    @asynccontextmanager
    async def serve() -> Any:
        async with run_issuer(RSA_KEY, EC_KEY) as issuer:
            settings = make_settings(
                tmp_path_factory.mktemp("server"),
                tokens=str(stored),
                auth__jwt__issuer=issuer.name,
                auth__jwt__jwks_url=issuer.url,
                auth__jwt__audience=AUDIENCE,
                rate_limit__max_calls_per_minute=0,
            )
            async with start_http_server(settings) as (url, _):
                yield url, issuer

    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve()) as (url, issuer),
        httpx2.Client() as http,
    ):
        yield Target(url, issuer, secret, http)


def test_valid_tokens_are_accepted(target: Target) -> None:
    for key in (RSA_KEY, EC_KEY):
        for headers in ({}, {"typ": "at+jwt"}, {"typ": "application/AT+JWT"}):
            assert target.status(key.token(headers=headers)) == 200
    assert target.status(target.static) == 200


FAR = 2**62
WRONG: dict[str, list[object]] = {
    "exp": ["9999999999", True, [FAR], {"at": FAR}, FAR, 10**400, 1e308, -1, 0, "", "x"],
    "nbf": ["0", False, [], {}, FAR, -(10**400), 1e308, time.time() + 300],
    "iat": ["0", True, [0], {}, FAR, 10**400, time.time() + 300],
    "aud": [[], {}, {AUDIENCE: 1}, [[AUDIENCE]], [AUDIENCE, 1], True, 1, AUDIENCE + "\n", "", " "],
    "iss": [[], ["https://login.example/"], {}, 1, True, "https://login.example/\x00"],
    "sub": [[], ["ada"], {}, 1, True, "", " \n", "a\x00b", "a\u202eb", "a\U000e0041", "a" * 201],
    "scope": [{}, {"read": 1}, 1, True, ["read", 1], [["read"]]],
    "scp": [{}, 3, [None], [{"read": True}]],
    "azp": [[], {}, 1, True],
    "client_id": [[], {}, 1, False],
    "typ": [[], {}, 1, "ID", "Refresh", "Offline", "Logout"],
    "nonce": ["n", 1],
    "at_hash": ["x"],
    "events": [{"http://schemas.openid.net/event/backchannel-logout": {}}],
}


@pytest.mark.parametrize("claim", WRONG)
def test_a_signed_token_with_a_malformed_claim_is_refused(target: Target, claim: str) -> None:
    without = {"scope": None} if claim == "scp" else {}
    for value in WRONG[claim]:
        claims = json.dumps(payload(**without) | {claim: value})
        assert target.status(sign(claims.encode())) == 401, value


@pytest.mark.parametrize("claim", ["exp", "aud", "iss", "sub"])
def test_a_token_without_a_required_claim_is_refused(target: Target, claim: str) -> None:
    assert target.status(EC_KEY.token(**{claim: None})) == 401


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "null", "9" * 5000])
@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
def test_numbers_that_json_libraries_read_differently_are_refused(
    target: Target, claim: str, text: str
) -> None:
    claims = json.dumps(payload() | {claim: "#"}).replace('"#"', text)
    assert target.status(sign(claims.encode())) == 401


@pytest.mark.parametrize(
    "claims",
    [b"", b"[]", b"1", b'"x"', b"null", b"{", b"\xff", b"[" * 9000, b'{"a":' * 2000 + b"1"],
)
def test_a_signed_payload_that_is_not_an_object_is_refused(target: Target, claims: bytes) -> None:
    assert target.status(sign(claims)) == 401


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([AUDIENCE, "https://login.example/", "read write", "ID"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(changes=st.dictionaries(st.sampled_from(sorted(WRONG)), json_values, max_size=4))
def test_any_claims_get_200_401_or_403(target: Target, changes: dict[str, object]) -> None:
    token = sign(json.dumps(payload() | changes).encode())
    assert target.status(token) in (200, 401, 403)


@settings(max_examples=100, deadline=None)
@given(changes=st.dictionaries(st.sampled_from(["typ", "cty", "crit", "b64", "kid"]), json_values))
def test_any_header_gets_200_401_or_403(target: Target, changes: dict[str, object]) -> None:
    token = sign(json.dumps(payload()).encode(), {"typ": "JWT", "kid": "ec", **changes})
    assert target.status(token) in (200, 401, 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"typ": "JWS"},
        {"typ": "logout+jwt"},
        {"typ": "dpop+jwt"},
        {"typ": "secevent+jwt"},
        {"typ": 1},
        {"typ": ["JWT"]},
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": "exp"},
        {"b64": False},
        {"kid": "../../../dev/null"},
        {"kid": "ec' UNION SELECT 'x"},
        {"kid": 1},
        {"kid": None},
    ],
    ids=repr,
)
def test_a_token_with_another_type_or_key_reference_is_refused(
    target: Target, headers: dict[str, object]
) -> None:
    token = sign(json.dumps(payload()).encode(), {"typ": "JWT", "kid": "ec", **headers})
    assert target.status(token) == 401


def test_unknown_key_ids_cause_one_request_for_keys(target: Target) -> None:
    assert target.status(EC_KEY.token()) == 200
    before = target.issuer.fetches
    for number in range(50):
        assert target.status(EC_KEY.token(headers={"kid": f"guess-{number}"})) == 401
    assert target.issuer.fetches <= before + 1


def test_a_token_outside_of_one_authorization_header_is_not_used(target: Target) -> None:
    token = target.static
    for where in (f"{target.url}?access_token={token}", f"{target.url}?token={token}"):
        assert target.http.post(where, json=INITIALIZE, headers=ACCEPT).status_code == 401
    for headers in ({"Cookie": f"token={token}"}, {"X-Authorization": f"Bearer {token}"}):
        response = target.http.post(target.url, json=INITIALIZE, headers={**ACCEPT, **headers})
        assert response.status_code == 401
    for value in (f"Basic {token}", token, f"Bearer  {token}", f"Bearer {token}, Bearer {token}"):
        response = target.http.post(
            target.url, json=INITIALIZE, headers={**ACCEPT, "Authorization": value}
        )
        assert response.status_code == 401


@pytest.mark.parametrize("stranger", ["none", "static", "subject"])
def test_a_session_belongs_to_the_principal_that_opened_it(target: Target, stranger: str) -> None:
    token = EC_KEY.token()
    session = target.open_session(token)
    other = {"none": "wrong", "static": target.static, "subject": EC_KEY.token(sub="eve")}[stranger]
    expected = 401 if stranger == "none" else 404
    for message in ({"jsonrpc": "2.0", "id": 2, "method": "ping"}, INITIALIZE):
        assert target.send(other, message, session).status_code == expected
    assert target.close(other, session) == expected
    # A renewed token of the same principal goes on.
    renewed = EC_KEY.token(exp=int(time.time()) + 600)
    ping = target.send(renewed, {"jsonrpc": "2.0", "id": 2, "method": "ping"}, session)
    assert ping.status_code == 200
    assert target.close(renewed, session) == 200


def test_a_session_does_not_keep_the_scopes_of_its_first_token(target: Target) -> None:
    session = target.open_session(EC_KEY.token(scope="read write analytics"))
    call = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "delete_assets", "arguments": {"assets": ["0" * 12]}},
    }
    refused = target.send(EC_KEY.token(scope="read"), call, session)
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]


def sign(claims: bytes, header: dict[str, object] | None = None) -> str:
    """Sign any bytes with the accepted key, as a faulty authorization server could."""
    head = json.dumps({"alg": "ES256", **({"kid": "ec"} if header is None else header)})
    text = b".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=") for part in (head.encode(), claims)
    )
    signature = ECAlgorithm(ECAlgorithm.SHA256).sign(text, EC_KEY.private)
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()
