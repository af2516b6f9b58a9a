from __future__ import annotations

import ctypes
import platform
from pathlib import Path

import numpy as np
import pytest

from sightline.server.models.image_text.checkpoint import OpenClipFolder
from sightline.server.models.image_text.open_clip_model import ModelSource, OpenClipModel
from sightline.server.models.model_files import FingerprintCache

_MIB = 1 << 20


def _resident_mib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 // _MIB


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc_trim is a function of glibc")
def test_a_model_that_encoded_many_images_returns_free_memory(
    random_encoder_folder: Path, tmp_path: Path
) -> None:
    source = ModelSource.from_folder(
        OpenClipFolder.open(random_encoder_folder), "random", FingerprintCache(tmp_path)
    )
    model = OpenClipModel(source, device="cpu", cpu_threads=1)
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    # Allocated blocks between the freed ones keep the heap from shrinking by itself.
    allocated, freed = [], []
    for _ in range(3000):
        freed.append(library.malloc(100_000))
        ctypes.memset(ctypes.c_void_p(freed[-1]), 1, 100_000)
        allocated.append(library.malloc(20_000))
    for block in freed:
        library.free(ctypes.c_void_p(block))
    before = _resident_mib()
    image = np.zeros((model.preprocess.height, model.preprocess.width, 3), np.uint8)
    for _ in range(8):
        model.encode_images([image] * 128)
    assert _resident_mib() < before - 200
    for block in allocated:
        library.free(ctypes.c_void_p(block))
