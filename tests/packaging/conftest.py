"""Fixtures: the build script, and what it builds."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def load_script(path: Path) -> ModuleType:
    """Import a script that is not part of a package."""
    spec = spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def build_packages() -> ModuleType:
    return load_script(ROOT / "packaging" / "build_packages.py")


@pytest.fixture(scope="session")
def built(build_packages: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build everything once, as `make package` does. Tests only read it."""
    folder = tmp_path_factory.mktemp("built") / "packages"
    build_packages.build_all(folder)
    return folder
