"""Large images: no bitmap reaches the server process, and no principal waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sightline.storage.ingest.decode.worker import frames
from sightline.storage.ingest.decode.worker_process import WorkerProcess
from sightline.tools.shared.image_input import EXAMPLE_EDGE_PIXELS
from tests.security.two_principals import ALICE, BOB, House, call, call_json, read
from tests.support.sample_images import encoded
from tests.tools.toolbox import data_url

#: 16 megapixels in a file of 50 kB; 48 MB decoded.
EDGE = 4_000
WHOLE_BYTES = 3 * EDGE * EDGE


class Pipes:
    """Counts the bytes of each message to and from the workers of images."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[int] = []
        self.received: list[int] = []
        receive, send = frames.receive_frame, WorkerProcess.send

        async def counted_receive(stream: asyncio.StreamReader, max_bytes: int) -> dict[str, Any]:
            values = await receive(stream, max_bytes)
            blobs = [value for value in values.values() if isinstance(value, bytes)]
            self.received.append(sum(map(len, blobs)))
            return values

        def counted_send(worker: WorkerProcess, frames: Any) -> None:
            pieces = list(frames)
            self.sent.append(sum(map(len, pieces)))
            send(worker, pieces)

        monkeypatch.setattr(frames, "receive_frame", counted_receive)
        monkeypatch.setattr(WorkerProcess, "send", counted_send)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """Return a PNG with very many pixels in very few bytes."""
    return encoded(Image.new("RGB", (EDGE, EDGE), (10, 20, 30)), "PNG")


@pytest.fixture(scope="module")
def bomb_path(house: House, vault: str, bomb: bytes) -> Path:
    path = house.folder / vault / "bomb.png"
    path.parent.mkdir()
    path.write_bytes(bomb)
    return path


@pytest.fixture(scope="module")
def big_asset(house: House, vault: str, bomb_path: Path) -> str:
    """Return the asset of that image, in carol's collection."""

    async def add() -> str:
        async with house.client("carol") as carol:
            added = await call_json(carol, "add_images", collection=vault, paths=[str(bomb_path)])
            assert added["added"] == 1, added
        found = house.rows(
            "SELECT asset.id FROM sightline.asset JOIN sightline.source ON source.id = source_id "
            "WHERE source.name LIKE '%%bomb.png'"
        )
        return str(found[0][0])

    return asyncio.run(add())


async def test_only_what_is_shown_crosses_the_pipe(
    house: House, big_asset: str, bomb: bytes, bomb_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipes = Pipes(monkeypatch)
    async with house.client("carol") as carol:
        await call_json(carol, "view_image", asset=big_asset, max_edge=128)
        await call_json(carol, "view_image", asset=big_asset, crop=[0, 0, 0.9, 0.9])
        boxes = [{"box": [0.1, 0.1, 0.9, 0.9], "label": "x"}]
        await call_json(carol, "annotate_image", asset=big_asset, boxes=boxes)
        await read(carol, f"sightline://asset/{big_asset}")
        assert max(pipes.received) < 700_000 < WHOLE_BYTES
        # Examples for the encoder, whole or in part, from each kind of reference.
        url, path = data_url(bomb), str(bomb_path)
        for image in (url, path):
            await call_json(carol, "search_images", image=image)
        for image in (url, path, big_asset):
            await call_json(carol, "search_images", image=image, region=[0, 0, 0.9, 0.9])
    assert len(pipes.received) >= 9
    assert max(pipes.received) <= 3 * EXAMPLE_EDGE_PIXELS**2
    # Files are opened by the worker; only what came with the call is sent to it.
    assert max(pipes.sent) < len(bomb) + 10_000


async def test_without_a_model_a_question_decodes_nothing(
    house: House, big_asset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipes = Pipes(monkeypatch)
    async with house.client("carol") as carol:
        answer = await call_json(carol, "answer_question", question="What?", assets=[big_asset])
    assert answer["status"] == "no_model"
    assert answer["evidence"][0]["asset"]["asset"] == big_asset
    assert pipes.sent == pipes.received == []


async def test_the_images_of_another_principal_are_shown_meanwhile(
    house: House, big_asset: str
) -> None:
    done: list[str] = []
    begun = asyncio.Event()

    async def view(who: str, asset: str) -> None:
        async with house.client(who) as client:
            await call_json(client, "view_image", asset=asset, max_edge=128)
            done.append(who)
            begun.set()

    async with house.client("bob") as bob:
        await call_json(bob, "view_image", asset=house.assets[BOB][0])  # starts a worker
    flood = [asyncio.create_task(view("carol", big_asset)) for _ in range(12)]
    await begun.wait()
    await view("bob", house.assets[BOB][0])
    assert done.count("carol") < 12
    await asyncio.gather(*flood)
    assert done.count("carol") == 12


@asynccontextmanager
async def _held(house: House, who: str) -> AsyncIterator[None]:
    """Hold all of the image memory that a principal may have, as its running calls do."""
    held = house.runtime.dependencies().decoder.memory.hold(who, 1 << 40)
    await asyncio.to_thread(house.run, held.__aenter__)
    try:
        yield
    finally:
        await asyncio.to_thread(house.run, held.__aexit__, None, None, None)


async def test_a_principal_that_uses_up_its_image_memory_does_not_stop_another(
    house: House,
) -> None:
    image = data_url(encoded(Image.new("RGB", (64, 64)), "PNG"))
    order: list[str] = []

    async def search(who: str) -> None:
        async with house.client(who) as client:
            await call_json(client, "search_images", image=image)
            order.append(who)

    async with _held(house, "alice"):
        waiting = asyncio.create_task(search("alice"))
        await search("bob")
        assert order == ["bob"]
    await waiting
    assert order == ["bob", "alice"]


REFUSED = (
    "/etc/passwd",
    "/no/such/file.png",
    "../../../../etc/passwd",
    "~root/.ssh/id_rsa",
    "a\0b",
)


@pytest.mark.parametrize("who", ["alice", "boss"])
async def test_a_refused_path_names_no_folder_of_the_server(house: House, who: str) -> None:
    inside = house.folder / "shelf"
    (inside / "folder.png").mkdir(parents=True, exist_ok=True)
    paths = [*REFUSED, str(inside / "nothing.png"), str(inside.parent.parent / "tokens")]
    async with house.client(who) as client:
        for path in paths:
            for tool, arguments in (
                ("search_images", {"image": path}),
                ("search_images", {"query": "x", "like": [path]}),
                ("search_images", {"image": path, "region": [0, 0, 1, 1]}),
                ("add_images", {"collection": ALICE, "paths": [path]}),
            ):
                said = await call(client, tool, **arguments)
                assert "is not a file under the folders that this server may read" in said, path
                rest = said.replace(repr(path), "")
                assert str(house.folder) not in rest
                assert "/" not in rest.replace("true/false", "")
        # Inside the folders the caller sees the path as it gave it, and nothing else.
        for path in (str(inside / "folder.png"), f"{inside}/../{ALICE}/log.md"):
            said = await call(client, "search_images", image=path)
            assert str(house.folder) not in said.replace(path, "")
