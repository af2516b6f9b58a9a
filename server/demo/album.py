"""The pictures of the demo: a drawn album, made once and kept in the data folder."""

from __future__ import annotations

from pathlib import Path

COLLECTION = "demo"
OWN_COLLECTION = "my-pictures"

_PICTURES = 180
_SEED = 7


def drawn_album(data_dir: Path, *, workers: int = 2) -> Path:
    """The folder of the drawn album below ``data_dir``; drawn if it is not there yet.

    The pictures are of the test split: the built-in models have seen none of them.
    """
    folder = data_dir / "demo" / "album"
    if not folder.is_dir():
        from sightline.training.world.export import export

        export(folder, split="test", count=_PICTURES, seed=_SEED, workers=workers)
    return folder
