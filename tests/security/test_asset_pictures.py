"""Pictures over HTTP show nothing of another principal, under no spelling and no condition."""

from __future__ import annotations

import httpx2
import pytest

from tests.security.two_principals import ALICE, BOB, House
from tests.support.raw_http import exchange

PATHS = ("", "/thumbnail", "?max_edge=64", "?crop=0,0,0.5,0.5", "?annotated=true")
OWNERS = (("alice", ALICE), ("bob", BOB))


async def get(house: House, who: str, asset: str, path: str, **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=120, headers=house.headers(who)) as http:
        return await http.get(f"{house.base_url}/assets/{asset}{path}", headers=headers)


@pytest.mark.parametrize("path", PATHS)
async def test_the_picture_of_another_is_as_unknown_as_one_that_does_not_exist(
    path: str, house: House
) -> None:
    for owner, collection in OWNERS:
        asset = house.assets[collection][0]
        own = await get(house, owner, asset, path)
        assert own.status_code == 200
        for condition in (own.headers["etag"], "*"):
            fresh = await get(house, owner, asset, path, **{"If-None-Match": condition})
            assert fresh.status_code == 304
            for who in {"alice", "bob", "nil"} - {owner}:
                refused = await get(house, who, asset, path, **{"If-None-Match": condition})
                unknown = await get(house, who, "0" * 12, path, **{"If-None-Match": condition})
                assert refused.status_code == unknown.status_code == 404
                assert refused.text.replace(asset, "0" * 12) == unknown.text
                for response in (refused, unknown):
                    del response.headers["date"], response.headers["x-request-id"]
                assert refused.headers == unknown.headers
        assert (await get(house, "boss", asset, path)).status_code == 200


async def test_a_picture_follows_the_binding_at_once(house: House) -> None:
    asset = house.assets[ALICE][0]
    try:
        house.bind("carol", [ALICE])
        own = await get(house, "carol", asset, "")
        assert own.status_code == 200
    finally:
        house.bind("carol", [])
    condition = {"If-None-Match": own.headers["etag"]}
    assert (await get(house, "carol", asset, "", **condition)).status_code == 404


async def test_a_signed_token_needs_the_scope_read(house: House) -> None:
    asset = house.assets[ALICE][0]
    for scope, status in (("write analytics", 403), ("read", 404)):
        signed = house.jwt_key.token(headers={"typ": "at+jwt"}, sub="zoe", scope=scope)
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {signed}"}) as http:
            response = await http.get(f"{house.base_url}/assets/{asset}")
        assert response.status_code == status
        challenge = response.headers.get("www-authenticate", "")
        assert ('scope="read"' in challenge) == (status == 403)
        assert ("resource_metadata=" in challenge) == (status == 403)


@pytest.mark.parametrize("path", ["", "/thumbnail"])
async def test_an_expired_token_shows_nothing_even_if_the_client_has_the_picture(
    path: str, house: House
) -> None:
    asset = house.assets[ALICE][0]
    etag = (await get(house, "alice", asset, path)).headers["etag"]
    expired = house.jwt_key.token(headers={"typ": "at+jwt"}, sub="alice", scope="read", exp=1)
    headers = {"Authorization": f"Bearer {expired}", "If-None-Match": etag}
    async with httpx2.AsyncClient(headers=headers) as http:
        response = await http.get(f"{house.base_url}/assets/{asset}{path}")
    assert (response.status_code, "etag" in response.headers) == (401, False)


@pytest.mark.parametrize(
    "path",
    ["/assets", "/assets/", "/assets//{}", "/ASSETS/{}", "/assets/{}/", "/assets/{}/thumbnail/x"],
)
async def test_other_spellings_of_the_path_open_nothing(path: str, house: House) -> None:
    target = path.format(house.assets[ALICE][0])
    address = house.base_url.removeprefix("http://")
    head = f"GET {target} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer "
    head += f"{house.tokens['alice']}\r\nConnection: close\r\n\r\n"
    answer = await exchange(house.base_url, head.encode())
    assert answer.startswith(b"HTTP/1.1 404 ")


async def test_two_tokens_never_mix_two_principals(house: House) -> None:
    address = house.base_url.removeprefix("http://")
    for first, second in (("alice", "bob"), ("bob", "alice")):
        head = f"GET /assets/{house.assets[ALICE][0]} HTTP/1.1\r\nHost: {address}\r\n"
        for who in (first, second):
            head += f"Authorization: Bearer {house.tokens[who]}\r\n"
        answer = await exchange(house.base_url, f"{head}Connection: close\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 400 ")
