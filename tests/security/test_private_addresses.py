"""URLs lead only to allowed hosts at public addresses, however they are written."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence

import pytest

from sightline.storage.errors import InvalidArgumentError, MediaError, NotAllowedError
from sightline.storage.ingest.discover.public_addresses import is_allowed_address
from sightline.storage.ingest.discover.urls import UrlFetcher
from sightline.storage.ingest.ingest_options import UrlPolicy

NOT_PUBLIC = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255"),
    *("127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1", "172.31.255.255"),
    *("192.0.0.1", "192.0.0.8", "192.0.0.9", "192.0.0.170", "192.0.2.1", "192.88.99.1"),
    *("192.31.196.1", "192.52.193.1", "192.168.1.1", "192.175.48.1", "198.18.0.1", "198.19.0.1"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1"),
    "255.255.255.255",
    # IPv6: unspecified, loopback, unique local, link-local, site-local, multicast.
    *("::", "::1", "fc00::1", "fd00::1", "fdff::1", "fe80::1", "fe80::1%eth0", "febf::1"),
    *("fec0::1", "feff::1", "ff00::1", "ff02::1", "ff0e::1"),
    # IPv4 within IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP of link-local.
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:192.0.0.8", "::127.0.0.1", "::8.8.8.8"),
    *("::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8", "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254"),
    *("64:ff9b::10.0.0.1", "64:ff9b:1::1", "64:ff9b:1:7f00:0:100::", "2002:7f00:1::"),
    *("2002:808:808::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    "fe80::5efe:10.0.0.1",
    # Discard, dummy, protocol assignments, benchmarks, ORCHID, documentation, SRv6, unassigned.
    *("100::1", "100:0:0:1::1", "2001:1::1", "2001:2::1", "2001:3::1", "2001:10::1", "2001:20::1"),
    *("2001:30::1", "2001:1ff::1", "2001:db8::1", "2620:4f:8000::1", "3fff::1", "3fff:fff::1"),
    *("5f00::1", "4000::1", "8000::1", "e000::1", "1::1", "1fff::1"),
]
PUBLIC = [
    *("8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1"),
    *("126.0.0.1", "128.0.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "192.167.0.1"),
    *("198.17.0.1", "198.20.0.1", "223.255.255.255", "2001:4860:4860::8888", "2001:200::1"),
    *("2606:4700:4700::1111", "2a00:1450:4001::1", "3ffe::1", "::ffff:8.8.8.8"),
    "64:ff9b::8.8.8.8",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not is_allowed_address(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed_address(address)


@pytest.mark.parametrize("address", ["", "localhost", "127.1", "0x7f000001", "2130706433", "1.2"])
def test_what_is_not_an_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="not appear to be"):
        is_allowed_address(address)


def test_a_private_network_can_be_allowed_and_only_that_one() -> None:
    networks = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00:1::/32"))
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00:1::5", "8.8.8.8"):
        assert is_allowed_address(address, networks), address
    for address in ("10.2.0.1", "::10.1.2.3", "64:ff9b::10.1.2.3", "2002:a01:203::", "fd00:2::5"):
        assert not is_allowed_address(address, networks), address


@pytest.mark.parametrize("address", ["fec0::1", "::ffff:0:127.0.0.1", "::127.0.0.1", "192.0.0.8"])
async def test_a_host_with_one_private_address_is_not_connected_to(address: str) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["8.8.8.8", address]

    remote = UrlFetcher(UrlPolicy(("pictures.test",)), resolve=resolve).remote_file(
        "https://pictures.test/a.jpg"
    )
    with pytest.raises(MediaError, match="not a public address"):
        await asyncio.to_thread(remote.load)


@pytest.mark.parametrize(
    "url",
    [
        "https://pictures.test@evil.test/",
        "https://pictures.test:443@evil.test/",
        "https://evil.test#@pictures.test/",
        "https://evil.test?@pictures.test/",
        "https://evil.test\\@pictures.test/",
        "https://pictures.test\\@evil.test/",
        "https://pictures.test\\.evil.test/",
        "https://evil.test/%2f@pictures.test/",
        "https://evil.test%2f.pictures.test/",
        "https://evil.test%2f@pictures.test/",
        "https://pictures.test%2eevil.test/",
        "https://pictures.test%00.evil.test/",
        "https://pictures.test\r\nHost: evil.test/",
        "https://pictures.test./a.jpg",
        "https://pictures.test:80/a.jpg",
        "https://pictures.test:0443@evil.test/",
        "https://xpictures.test/",
        "https://pictures.test.evil.test/",
        "https://ⓟictures.evil.test/",
        "https://pictures。test.evil.test/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://user:secret@pictures.test/a.jpg",
        "https:/pictures.test/",
        "https:///pictures.test/",
        "//pictures.test/",
        "http://pictures.test/",
        "file:///etc/passwd",
        "gopher://pictures.test/",
        "https://pіctures.test/a.jpg",
        "https://pictures.test:8443/a.jpg",
        "https://pictures.test \t.evil.test/a.jpg",
        "HTTPS:pictures.test/a.jpg",
        "jar:https://pictures.test/a.jpg",
        "data:image/png;base64,AAAA",
    ],
)
def test_a_url_that_hides_its_host_is_refused(url: str) -> None:
    with pytest.raises((NotAllowedError, InvalidArgumentError)) as raised:
        UrlFetcher(UrlPolicy(("pictures.test",))).remote_file(url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["https://pictures.test/a.jpg", "https://PICTURES.test:443/a.jpg?key=secret"]
)
def test_urls_of_the_allowed_host_are_accepted(url: str) -> None:
    remote = UrlFetcher(UrlPolicy(("pictures.test",))).remote_file(url)
    assert "secret" not in remote.name
