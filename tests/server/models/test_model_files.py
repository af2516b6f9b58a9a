from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from sightline.server.models import model_files
from sightline.server.models.model_files import FingerprintCache, require_torch
from sightline.storage.errors import ConfigurationError


def test_a_fingerprint_is_cached_until_the_file_changes(tmp_path: Path) -> None:
    cache_file, file = tmp_path / "cache" / "fingerprints.json", tmp_path / "weights"
    file.write_bytes(b"one")
    first = FingerprintCache(tmp_path).sha256(file)
    key = next(iter(json.loads(cache_file.read_text())))
    cache_file.write_text(json.dumps({key: "cached"}))
    assert FingerprintCache(tmp_path).sha256(file) == "cached"
    file.write_bytes(b"three")
    assert FingerprintCache(tmp_path).sha256(file) not in (first, "cached")
    assert len(json.loads(cache_file.read_text())) == 1


@pytest.mark.parametrize("content", ["", "[]", "\x00", '{"a": 1}'])
def test_an_unreadable_cache_file_is_ignored(tmp_path: Path, content: str) -> None:
    cache_file, file = tmp_path / "cache" / "fingerprints.json", tmp_path / "weights"
    file.write_bytes(b"one")
    cache_file.parent.mkdir()
    cache_file.write_text(content)
    assert FingerprintCache(tmp_path).sha256(file) == hashlib.sha256(b"one").hexdigest()


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    require_torch("The encoder 'x'")
    monkeypatch.setattr(model_files, "_TORCH_PACKAGES", ("torch", "no_such_package"))
    with pytest.raises(
        ConfigurationError, match=r"'x' needs no_such_package\. .* 'sightline-mcp\[gpu\]'"
    ):
        require_torch("The encoder 'x'")
