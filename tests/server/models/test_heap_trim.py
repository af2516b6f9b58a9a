"""What a model leaves behind goes back to the system."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

import numpy as np
import pytest

from sightline.server.models.image_text.checkpoint import FingerprintCache, ModelFolder
from sightline.server.models.image_text.open_clip_model import OpenClipModel, in_folder

_MIB = 1 << 20


def _resident_mib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 // _MIB


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to")
def test_a_model_that_saw_many_pictures_gives_free_memory_back(random_encoder_folder: Path) -> None:
    source = in_folder(ModelFolder.open(random_encoder_folder), "random", FingerprintCache(None))
    model = OpenClipModel(source, device="cpu", cpu_threads=1)
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    # Blocks that are kept part those that are freed: the heap cannot shrink by itself.
    kept, freed = [], []
    for _ in range(3000):
        freed.append(library.malloc(100_000))
        ctypes.memset(ctypes.c_void_p(freed[-1]), 1, 100_000)
        kept.append(library.malloc(20_000))
    for block in freed:
        library.free(ctypes.c_void_p(block))
    held = _resident_mib()
    picture = np.zeros((model.preprocess.height, model.preprocess.width, 3), np.uint8)
    for _ in range(8):
        model.encode_images([picture] * 128)
    assert _resident_mib() < held - 200
    for block in kept:
        library.free(ctypes.c_void_p(block))
