"""Settings for tests."""

from __future__ import annotations

from pathlib import Path

from sightline.server.config import Settings, load_settings

#: A database that refuses connections.
NO_DATABASE = "postgresql://nobody@127.0.0.1:1/x"


def make_settings(tmp_path: Path, *, tokens: str = "", **overrides: object) -> Settings:
    """Return settings with a free port and, by default, no encoder and no database.

    ``tokens`` is the content of the token file.
    """
    defaults: dict[str, object] = {
        "data_dir": tmp_path,
        "http__port": 0,
        "encoder__model": f"local-dir:{tmp_path / 'nowhere'}",
        "database__url": NO_DATABASE,
    }
    if tokens:
        file = tmp_path / "tokens"
        file.write_text(tokens)
        file.chmod(0o600)
        defaults["auth__tokens_file"] = file
    return load_settings(**{**defaults, **overrides})
