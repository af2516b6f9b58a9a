"""What the tests of the process share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import random_clip


@pytest.fixture(scope="session")
def random_encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open_clip model folder whose weights are random, and whose name says so."""
    import torch

    torch.set_num_threads(1)
    return random_clip.write(tmp_path_factory.mktemp("models") / "random-clip")
