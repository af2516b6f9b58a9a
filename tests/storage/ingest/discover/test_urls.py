"""Files are fetched only from allowed hosts, at the address that was checked."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from sightline.storage.errors import InvalidArgumentError, MediaError, NotAllowedError
from sightline.storage.ingest.discover.urls import UrlFetcher
from sightline.storage.ingest.ingest_options import UrlPolicy
from tests.storage.ingest.conftest import Bench
from tests.support.https_site import Site, moved, page, site
from tests.support.sample_images import jpeg

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
PICTURE = jpeg(1)
OPEN = b"HTTP/1.1 200 OK\r\n\r\n"
PAGES = {
    "/a.jpg": page(PICTURE),
    "/moved": moved("/a.jpg"),
    "/round": moved("/round"),
    "/to-http": moved("http://pictures.test/a.jpg"),
    "/to-elsewhere": moved("https://elsewhere.test/a.jpg"),
    "/to-user": moved("https://user:secret@pictures.test/a.jpg"),
    "/to-nonsense": moved("https://[::1"),
    "/empty": page(b""),
    "/zipped": page(PICTURE, "Content-Encoding: gzip"),
    "/claims-too-much": b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + PICTURE,
    "/too-much": OPEN + b"<flood>",
    "/slow-body": OPEN + b"<drip>",
    "/slow-head": b"HTTP/1.1 200 OK\r\nX: <drip>",
    "/no-http": b"\xff\xd8 what\r\n\r\n",
    "/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nConnection: close\r\n\r\n\xff\xd8",
}


@pytest.fixture
async def pictures(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path / "site", PAGES) as served:
        yield served


async def here(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def fetcher(pictures: Site, **changes: object) -> UrlFetcher:
    arguments = {
        "hosts": (f"pictures.test:{pictures.port}", f"*.below.test:{pictures.port}"),
        "networks": LOOPBACK,
        "max_bytes": 100_000,
        "timeout_seconds": 10.0,
    }
    resolve = changes.pop("resolve", here)
    allowed = UrlPolicy(**{**arguments, **changes})  # type: ignore[arg-type]
    return UrlFetcher(allowed, resolve=resolve, context=pictures.context())  # type: ignore[arg-type]


async def fetch(urls: UrlFetcher, pictures: Site, path: str, host: str = "pictures.test") -> bytes:
    remote = urls.remote_file(f"https://{host}:{pictures.port}{path}")
    return await asyncio.to_thread(remote.load)


async def failure(
    urls: UrlFetcher, pictures: Site, path: str, host: str = "pictures.test"
) -> MediaError:
    with pytest.raises(MediaError) as raised:
        await fetch(urls, pictures, path, host)
    assert "secret" not in str(raised.value)
    return raised.value


async def test_a_file_is_fetched_by_its_name_from_the_address_that_was_checked(
    pictures: Site,
) -> None:
    assert await fetch(fetcher(pictures), pictures, "/a.jpg?key=secret") == PICTURE
    assert pictures.asked == [("/a.jpg?key=secret", f"pictures.test:{pictures.port}")]


async def test_the_host_is_resolved_once_so_that_a_second_answer_has_no_effect(
    pictures: Site,
) -> None:
    answers = [["127.0.0.1"], ["169.254.169.254"]]

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    assert await fetch(fetcher(pictures, resolve=rebinding), pictures, "/a.jpg") == PICTURE
    assert answers == [["169.254.169.254"]]


async def test_a_redirect_is_resolved_and_checked_again(pictures: Site) -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    assert await fetch(fetcher(pictures), pictures, "/moved") == PICTURE
    error = await failure(fetcher(pictures, resolve=rebinding), pictures, "/moved")
    assert (error.code, answers) == ("not_allowed", [])


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/round", "redirects"),
        ("/to-http", "not_allowed"),
        ("/to-elsewhere", "not_allowed"),
        ("/to-user", "not_allowed"),
        ("/to-nonsense", "unreachable"),
        ("/not-there", "http_status"),
        ("/empty", "empty"),
        ("/zipped", "unsupported"),
        ("/claims-too-much", "too_large"),
        ("/too-much", "too_large"),
        ("/no-http", "unreachable"),
        ("/cut", "unreachable"),
    ],
)
async def test_errors_of_a_site_have_a_code(pictures: Site, path: str, code: str) -> None:
    assert (await failure(fetcher(pictures), pictures, path)).code == code


@pytest.mark.parametrize("path", ["/slow-body", "/slow-head"])
async def test_a_slow_site_times_out(pictures: Site, path: str) -> None:
    assert (await failure(fetcher(pictures, timeout_seconds=1.0), pictures, path)).code == "timeout"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "100.64.0.1", "0.0.0.0"),
        *("::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
        *("224.0.0.1", "255.255.255.255", "::", "ff02::1"),
    ],
)
async def test_no_address_of_a_private_network_is_connected_to(
    pictures: Site, address: str
) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["8.8.8.8", address]

    urls = fetcher(pictures, networks=(), resolve=resolve)
    assert (await failure(urls, pictures, "/a.jpg")).code == "not_allowed"
    assert pictures.asked == []
    assert UrlPolicy(()).allows_address("8.8.8.8")
    assert UrlPolicy(()).allows_address("2001:4860:4860::8888")


async def test_a_certificate_of_another_name_is_refused(pictures: Site) -> None:
    error = await failure(fetcher(pictures), pictures, "/a.jpg", "x.below.test")
    assert (error.code, "certificate" in str(error)) == ("unreachable", True)
    assert pictures.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://pictures.test/a.jpg",
        "file:///etc/passwd",
        "https://elsewhere.test/a.jpg",
        "https://pictures.test/a.jpg",  # another port than the one that is named
        "https://pictures.test.evil.test:{port}/",
        "https://below.test:{port}/",
        "https://user:secret@pictures.test:{port}/",
        "https://127.0.0.1:{port}/a.jpg?key=secret",
        "//pictures.test/a.jpg",
        "",
    ],
)
async def test_other_urls_are_refused_before_any_request(pictures: Site, url: str) -> None:
    with pytest.raises(NotAllowedError) as raised:
        fetcher(pictures).remote_file(url.format(port=pictures.port))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["https://[::1", "https://a.test:99999999/", "https://\0/", "a" * 10**6]
)
def test_an_invalid_url_is_an_error(url: str) -> None:
    with pytest.raises((InvalidArgumentError, NotAllowedError)) as raised:
        UrlFetcher(UrlPolicy(("a.test",))).remote_file(url)
    assert len(str(raised.value)) < 1000


async def test_fetched_files_are_named_by_their_url_without_its_query(
    bench: Bench, pictures: Site
) -> None:
    urls = fetcher(pictures)
    remote = [
        urls.remote_file(f"https://pictures.test:{pictures.port}/{path}")
        for path in ("a.jpg?key=secret", "late.jpg", "cut")
    ]
    first = await bench.ingest(*remote)
    assert (first.added, first.failed) == (1, 2)
    base = f"https://pictures.test:{pictures.port}"
    assert await bench.failures() == {
        f"{base}/late.jpg": "http_status",
        f"{base}/cut": "unreachable",
    }
    names = await bench.rows("SELECT name FROM sightline.source WHERE state = 'done'")
    assert names == [(f"{base}/a.jpg",)]
    PAGES["/late.jpg"] = page(jpeg(2))
    try:
        second = await bench.ingest(*remote)
    finally:
        del PAGES["/late.jpg"]
    assert (second.added, second.unchanged, second.failed) == (1, 1, 1)
    assert await bench.failures() == {f"{base}/cut": "unreachable"}
