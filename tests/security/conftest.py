"""Fixtures: one server with two bound principals for all tests of this folder.

A test that needs other settings opens its own house with `two_principals.open_house`. A test that
writes uses the collection `vault` as carol: what alice and bob own stays as it is, so that the
tests do not depend on their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.two_principals import (
    ALICE,
    BOB,
    IMAGES,
    House,
    call_json,
    open_house,
    upload,
)
from tests.support import random_clip
from tests.support.sample_images import jpeg


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an encoder with random weights that loads like a real one."""
    import torch

    torch.set_num_threads(1)
    return random_clip.write(tmp_path_factory.mktemp("models") / "random-clip")


@pytest.fixture(scope="session")
def house(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run the server; see `two_principals`."""
    with open_house(tmp_path_factory.mktemp("house").resolve(), encoder_folder) as opened:
        yield opened


@pytest.fixture(autouse=True)
def unchanged_material(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test after which alice or bob has other images, or other files in the folder."""
    yield
    house = request.node.funcargs.get("house")
    if house is None or house is not request.getfixturevalue("house"):
        return
    counted = house.rows(
        "SELECT c.name, count(*) FROM sightline.asset AS a "
        "JOIN sightline.collection AS c ON c.id = a.collection_id "
        "WHERE c.name = ANY (%s) GROUP BY 1",
        [ALICE, BOB],
    )
    assert dict(counted) == {ALICE: IMAGES, BOB: IMAGES}
    for owner in (ALICE, BOB):
        assert len(list((house.folder / owner).glob("*.jpg"))) == IMAGES
        assert len(list((house.folder / owner).iterdir())) == IMAGES + 2


@pytest.fixture(scope="module")
def vault(house: House, request: pytest.FixtureRequest) -> Iterator[str]:
    """Make a collection for the tests of a module and bind carol to it."""
    name = "vault-" + request.module.__name__.rpartition(".test_")[2]
    house.run(_create, house, name)
    house.bind("carol", [name])
    yield name
    house.bind("carol", [])


async def _create(house: House, name: str) -> None:
    async with house.client("boss") as boss:
        uploads = [upload("first.jpg", jpeg(500))]
        await call_json(boss, "add_images", collection=name, uploads=uploads)
