"""``sightline models export``: convert a folder, and print the agreement."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sightline.server.models.model_files import LOCAL_DIR, require_torch
from sightline.server.models.store.model_store import (
    ModelStore,
    installed_name,
    is_installed_name,
)
from sightline.server.observability import terminal
from sightline.server.observability.terminal import write_lines
from sightline.storage.errors import ConfigurationError

if TYPE_CHECKING:
    from PIL.Image import Image

    from sightline.server.models.export.agreement import Samples
    from sightline.server.models.export.model_export import ExportedModel

_MAX_IMAGES: Final = 200
_MAX_TEXTS: Final = 1000
_BUILTIN_SAMPLES: Final = 24
_MIN_TEXTS: Final = 2


def run(arguments: argparse.Namespace, data_dir: Path) -> None:
    """Export to ``--out`` or into the data folder."""
    store = ModelStore(data_dir)
    installed = store.find(str(arguments.folder))
    source = arguments.folder.absolute() if installed is None else installed.folder
    if not source.is_dir():
        raise ConfigurationError(
            f"{str(arguments.folder)!r} is no folder, and no model of `sightline models list`."
        )
    target = installed_name(f"{source.name}-onnx", arguments.precision)
    out: Path | None = arguments.out
    if out is None and not is_installed_name(target):
        raise ConfigurationError(
            f"No model can be named {target!r}: settings take letters, digits, '.', '_' and '-'. "
            "Rename the folder, or give --out."
        )
    require_torch("The export of a model", ("onnx", "onnxscript"))
    samples = _samples(arguments.texts, arguments.images)
    from sightline.server.models.export.model_export import export_model

    # The name that the setting has while the original runs, so that both can be one space.
    name = f"{LOCAL_DIR}{source.name}" if installed is None else installed.record.name
    if out is None:
        with store.unfinished(target, "export") as folder:
            _clear(folder)
            done = export_model(source, name, folder, arguments.precision, samples, data_dir)
            path = store.publish(folder, target)
    else:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigurationError(f"{out} is not empty. Give a new or empty folder.")
        out.mkdir(parents=True, exist_ok=True)
        path = out.absolute()
        try:
            done = export_model(source, name, path, arguments.precision, samples, data_dir)
        except BaseException:
            _clear(path)
            raise
    _write_result(done, path, target if out is None else f"{LOCAL_DIR}{path}", arguments.json)


def _clear(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)


def _write_result(done: ExportedModel, path: Path, name: str, as_json: bool) -> None:
    from sightline.server.models.export.model_export import agreement_values

    record, found = done.record, done.agreement
    if as_json:
        terminal.write_json(
            {
                "folder": str(path),
                "name": name,
                "precision": record.precision,
                "bytes": record.size,
                "keeps_identity": record.source is not None and record.source.keeps_identity,
                **agreement_values(found),
            }
        )
        return
    write_lines(f"{record.kind} model in {record.precision}: {path}")
    write_lines(f"compared {found.items} items: largest difference {found.max_difference:.1e}")
    if found.min_cosine is not None and found.mean_cosine is not None:
        write_lines(f"cosine {found.mean_cosine:.5f} on average, {found.min_cosine:.5f} at least")
    if found.recall_at_10 is not None:
        write_lines(f"recall@10 {found.recall_at_10:.3f} (results of the original that are kept)")
    if record.kind != "reranker":
        is_same = record.source is not None and record.source.keeps_identity
        write_lines(
            "the embedding space stays the same"
            if is_same
            else "this is another embedding space: ingest into a new collection"
        )
    write_lines(f"use it: {name}")


def _samples(texts: Path | None, images: Path | None) -> Samples:
    """Read the user's texts and images; the synthetic world gives what is not there."""
    from sightline.server.models.export.agreement import Samples

    if texts is not None and images is not None:
        return Samples(_read_texts(texts), _read_images(images))
    drawn = _draw_samples()
    return Samples(
        drawn.texts if texts is None else _read_texts(texts),
        drawn.images if images is None else _read_images(images),
    )


def _draw_samples() -> Samples:
    from sightline.server.models.export.agreement import Samples
    from sightline.training.world.core.splits import seed_of
    from sightline.training.world.families import FAMILIES, draw

    families = sorted(FAMILIES)
    scenes = [
        draw(families[n % len(families)], seed_of("validation", n), "validation")
        for n in range(_BUILTIN_SAMPLES)
    ]
    texts = [text for scene in scenes for text in (*scene.captions["en"], *scene.captions["zh"])]
    return Samples([*dict.fromkeys(texts)], [scene.image for scene in scenes])


def _read_texts(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {str(file)!r}: {error}") from error
    texts = [line for line in lines if line.strip()][:_MAX_TEXTS]
    if len(texts) < _MIN_TEXTS:
        raise ConfigurationError(f"{str(file)!r} needs at least {_MIN_TEXTS} lines of text.")
    return texts


def _read_images(folder: Path) -> list[Image]:
    import PIL.Image

    found = []
    for file in sorted(folder.glob("*"))[:_MAX_IMAGES] if folder.is_dir() else ():
        try:
            with PIL.Image.open(file) as image:
                found.append(image.convert("RGB"))
        except (OSError, ValueError, PIL.Image.DecompressionBombError):
            continue
    if not found:
        raise ConfigurationError(f"{str(folder)!r} has no images that can be read.")
    return found
