"""No file, path or URL leads outside of what is allowed, or exhausts a decoder."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path

import pytest

from tests.security.two_principals import House, call, call_json, upload
from tests.support.archive_files import tar_of, zip_of
from tests.support.peak_memory import PeakMemory
from tests.support.sample_images import encoded, jpeg, picture, png_chunk

SECRET = "xyzzy-4711"


def png_with(*chunks: bytes, width: int = 8, height: int = 8) -> bytes:
    """Return a PNG of 1 bit per pixel with these chunks before its data."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * min(height, 64))
    data = png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + data


BOMB = zlib.compress(bytes(300_000_000), 9)
SVG = b"""<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<svg xmlns="http://www.w3.org/2000/svg"><text>&x;</text><image href="http://127.0.0.1/"/></svg>"""
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\nshowpage\n"

#: Uploads that must fail, by name; their names claim to be images.
HOSTILE_UPLOADS = {
    "a.svg": SVG,
    "svg.png": SVG,
    "a.eps": EPS,
    "eps.png": EPS,
    "a.zip": zip_of(("a.jpg", jpeg(1))),
    "zip.png": zip_of(("a.jpg", jpeg(1))),
    "tar.jpg": tar_of(("a.jpg", jpeg(1))),
    "wide.png": png_with(width=60_000, height=60_000),
    "bytes.png": b"\x89PNG\r\n\x1a\n" + b"\x00" * 1_000,
}
#: Uploads whose useless parts are large; the image itself may be read.
BLOATED_UPLOADS = {
    "ztxt.png": png_with(png_chunk(b"zTXt", b"k\0\0" + BOMB)),
    "icc.png": png_with(png_chunk(b"iCCP", b"k\0\0" + BOMB)),
    "many.png": png_with(*[png_chunk(b"tEXt", b"k%d\0v" % n) for n in range(60_000)]),
}


def playlists(secret: Path) -> dict[str, str]:
    """Return the files that make a media player open other files."""
    return {
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "ffconcat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "asx": f'<asx><entry><ref href="file://{secret}"/></entry></asx>',
    }


async def test_uploads_that_are_no_images_fail_by_name_and_alone(house: House, vault: str) -> None:
    good = upload("good.jpg", jpeg(501))
    async with house.client("carol") as carol:
        added = await call_json(
            carol,
            "add_images",
            collection=vault,
            uploads=[*[upload(*each) for each in HOSTILE_UPLOADS.items()], good],
        )
        assert (added["added"], added["failed"]) == (1, len(HOSTILE_UPLOADS))
        for data in HOSTILE_UPLOADS.values():
            url = "data:image/png;base64," + base64.b64encode(data).decode()
            refused = await carol.call_tool("search_images", {"image": url})
            assert refused.is_error
            assert "root:" not in str(refused.content)


async def test_bloated_images_do_not_grow_the_server(house: House, vault: str) -> None:
    grown = PeakMemory()
    async with house.client("carol") as carol:
        for name, data in BLOATED_UPLOADS.items():
            report = await call_json(
                carol, "add_images", collection=vault, uploads=[upload(name, data)]
            )
            assert report["added"] + report["failed"] == 1
    assert grown.bytes() < 100_000_000


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "mov", "avi"])
async def test_playlists_under_the_name_of_a_video_open_no_other_file(
    suffix: str, house: House, vault: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_text(SECRET)
    folder = house.folder / f"films-{suffix}"
    folder.mkdir()
    for kind, text in playlists(secret).items():
        (folder / f"{kind}.{suffix}").write_text(text)
    async with house.client("carol") as carol:
        added = await call_json(carol, "add_images", collection=vault, paths=[str(folder)])
        assert (added["added"], added["failed"]) == (0, len(playlists(secret)))
        assert SECRET not in json.dumps(added)
        assert (await call_json(carol, "search_text", query=SECRET))["hits"] == []


async def test_paths_out_of_the_roots_are_not_read(
    house: House, vault: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.md"
    secret.write_text(f"{SECRET}\n")
    root = house.folder / "drop"
    root.mkdir(exist_ok=True)
    (root / "file.md").symlink_to(secret)
    (root / "folder").symlink_to(tmp_path)
    (root / "proc").symlink_to("/proc/self/root")
    paths = [
        str(secret),
        str(root / "file.md"),
        str(root / "folder" / "secret.md"),
        str(root / "proc") + str(secret),
        f"{root}/../../{secret.relative_to('/')}",
        f"{root}/../../../../../../../..{secret}",
        f"/proc/self/root{secret}",
        f"/proc/self/cwd/..{secret}",
        f"file://{secret}",
        f"~/..{secret}",
        f"{root}\0{secret}",
        f"{secret}\n",
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/environ",
        "/proc/self/mem",
        "//etc/passwd",
        "/etc/passwd",
    ]
    async with house.client("carol") as carol:
        for path in paths:
            answer = await carol.call_tool("add_images", {"collection": vault, "paths": [path]})
            report = answer.structured_content
            assert answer.is_error or (report or {})["added"] == 0, path
            image = await carol.call_tool("search_images", {"image": path})
            assert image.is_error, path
            assert SECRET not in str(answer.content) + str(image.content)
        assert (await call_json(carol, "search_text", query=SECRET))["hits"] == []


async def test_names_of_uploads_write_no_file(house: House, vault: str, tmp_path: Path) -> None:
    names = ["../../evil.jpg", str(tmp_path / "evil.jpg"), "a\\..\\evil.jpg", "~/evil.jpg"]
    async with house.client("carol") as carol:
        for number, name in enumerate(names):
            data = encoded(picture(600 + number), "PNG")
            await carol.call_tool(
                "add_images", {"collection": vault, "uploads": [upload(name, data)]}
            )
    for folder in (house.folder.parent, tmp_path):
        assert not list(folder.rglob("*evil*"))


async def test_a_server_without_allowed_hosts_fetches_nothing(house: House, vault: str) -> None:
    async with house.client("carol") as carol:
        for url in ("https://pictures.test/a.jpg", f"{house.base_url}/healthz", "file:///etc/x"):
            refused = await call(carol, "add_images", collection=vault, urls=[url])
            assert "fetches no URLs" in refused
