"""The version of the installed package."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

#: Name of the package in package indexes, where another project owns ``sightline``.
DISTRIBUTION = "sightline-mcp"
_NOT_INSTALLED = "0+source"


def package_version() -> str:
    """Return the installed version, or ``0+source`` in a bare source tree."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return _NOT_INSTALLED
