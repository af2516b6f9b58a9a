"""Fixtures of the server tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import random_clip


@pytest.fixture(scope="session")
def random_encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an open_clip model with random weights."""
    import torch

    torch.set_num_threads(1)
    return random_clip.write(tmp_path_factory.mktemp("models") / "random-clip")
