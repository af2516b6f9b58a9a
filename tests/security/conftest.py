"""Fixtures: one server with two bound principals for all tests of this folder.

A test that changes the material of alice or bob, or needs other settings, opens its own house with
`two_principals.open_house`, or binds carol to a collection that the test makes as boss.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.two_principals import House, open_house
from tests.support import random_clip


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
