"""The models in the data folder: find, publish and remove them, and resolve names.

Each is a folder below ``models``. What is not complete lies in ``models/.partial``, so that nothing
partial is ever found, and gets its name by one rename.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sightline.server.models.catalog import CATALOG, GraphPrecision, find_model
from sightline.server.models.model_files import LOCAL_DIR, local_folder
from sightline.server.models.store.model_record import RECORD_FILE, ModelRecord, read_record
from sightline.storage.errors import ConfigurationError, UnknownNameError
from sightline.storage.files import private_opener

_PARTIAL: Final = ".partial"
_HUB_PREFIX: Final = "hf-hub:"
_REPOSITORY: Final = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_NAME: Final = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A complete model in the data folder."""

    folder: Path
    record: ModelRecord


def is_repository(name: str) -> bool:
    """Return whether a name is ``OWNER/MODEL``; as on the hub, without ``--``."""
    return _REPOSITORY.fullmatch(name) is not None and "--" not in name


def is_installed_name(name: str) -> bool:
    """Return whether settings and commands accept the name of a folder."""
    return _NAME.fullmatch(name) is not None


def installed_name(name: str, precision: GraphPrecision = "fp32") -> str:
    """Return the folder name: ``OWNER--MODEL``, with a precision at the end."""
    suffix = "" if precision == "fp32" else f"-{precision}"
    return f"{name.replace('/', '--')}{suffix}"


class ModelStore:
    """The folder ``models`` of a data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / "models"

    def installed(self) -> list[InstalledModel]:
        """Return the complete models, by name."""
        if not self.folder.is_dir():
            return []
        names = sorted(each.name for each in self.folder.iterdir() if each.is_dir())
        return [model for name in names if (model := self.find(name)) is not None]

    def find(self, name: str) -> InstalledModel | None:
        """Return a complete model by name or ``OWNER/MODEL``; None if there is none.

        Raises ConfigurationError for an unreadable record.
        """
        folder = self._folder(name)
        record = None if folder is None else read_record(folder)
        return None if folder is None or record is None else InstalledModel(folder, record)

    def _folder(self, name: str) -> Path | None:
        folder_name = installed_name(name)
        if ("/" in name and not is_repository(name)) or not is_installed_name(folder_name):
            return None
        return self.folder / folder_name

    def remove(self, name: str) -> int:
        """Delete a model and its unfinished versions, and return the bytes.

        Of a model that is a link, only the link is deleted. Raises UnknownNameError.
        """
        folder = self._folder(name)
        is_there = folder is not None and (folder / RECORD_FILE).is_file()
        if folder is None or not (is_there or self._unfinished(folder.name)):
            known = [each.folder.name for each in self.installed()]
            raise UnknownNameError("installed model", name, known)
        with self._lock(folder.name):
            if is_there:
                self._retire(folder)
            return sum(map(_delete, self._unfinished(folder.name)))

    @contextmanager
    def unfinished(self, name: str, version: str) -> Iterator[Path]:
        """Yield the folder where a version of a model is completed; keep it on errors.

        Other unfinished versions of the model are deleted. Raises ConfigurationError while another
        process does the same.
        """
        with self._lock(name):
            own = self.folder / _PARTIAL / f"{name}@{version}"
            for each in self._unfinished(name):
                if each != own:
                    _delete(each)
            own.mkdir(mode=0o700, exist_ok=True)
            yield own

    def publish(self, unfinished: Path, name: str) -> Path:
        """Give a completed folder its name; it replaces an older version."""
        target = self.folder / name
        old = self._retire(target) if target.exists() else None
        unfinished.rename(target)
        if old is not None:
            _delete(old)
        return target

    def _unfinished(self, name: str) -> list[Path]:
        """Return the unfinished and the retired versions of a model."""
        return [*(self.folder / _PARTIAL).glob(f"{name}@*")]

    def _retire(self, folder: Path) -> Path:
        old = self.folder / _PARTIAL / f"{folder.name}@old.{os.getpid()}"
        return folder.rename(old)

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        partial = self.folder / _PARTIAL
        partial.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(partial / f"{name}.lock", "wb", opener=private_opener) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(
                    f"Another process is changing the model {name!r}. Wait until it has finished."
                ) from None
            yield


def _delete(folder: Path) -> int:
    """Delete a folder, or a link to one; return the bytes of its files."""
    if folder.is_symlink():
        folder.unlink()
        return 0
    size = sum(each.lstat().st_size for each in folder.rglob("*") if each.is_file())
    shutil.rmtree(folder)
    return size


def resolve_model(what: str, name: str, data_dir: Path) -> tuple[Path, str] | None:
    """Return the folder and the display name of a model that a setting names.

    ``local-dir:PATH``, a pulled or exported model, or the repository of one. None for an
    ``OWNER/MODEL`` that was not pulled. ``what`` is the role of the model in errors. Raises
    ConfigurationError for a model of the catalog that is not on this machine or damaged, and
    UnknownNameError for a word that is no model.
    """
    local = local_folder(name)
    if local is not None:
        return local
    store = ModelStore(data_dir)
    repository = name.removeprefix(_HUB_PREFIX)
    model = store.find(repository)
    if model is not None:
        damaged = next(model.record.damaged_files(model.folder), None)
        if damaged is not None:
            raise ConfigurationError(
                f"The model {name!r} is damaged: its file {damaged!r} is missing or has another "
                f"size. {_repair(model)}"
            )
        return model.folder, name
    if is_repository(repository):
        return None
    if find_model(name.removesuffix("-int8").removesuffix("-fp16")) is not None:
        raise missing_model(what, name)
    known = {each.name for each in CATALOG} | {each.folder.name for each in store.installed()}
    raise UnknownNameError("model", name, known, hint="`sightline models list` describes them.")


def missing_model(what: str, name: str) -> ConfigurationError:
    """Return the error for a model that is not on this machine; it names the command."""
    words = [name.removeprefix(_HUB_PREFIX)]
    for precision in ("int8", "fp16"):
        if find_model(name.removesuffix(f"-{precision}")) is not None and name.endswith(precision):
            words = [name.removesuffix(f"-{precision}"), f"--precision {precision}"]
    return ConfigurationError(
        f"The {what} {name!r} is not on this machine, and the server downloads nothing. "
        f"Run: sightline models pull {' '.join(words)} (without a network, copy the folder of the "
        f"model and name it: {LOCAL_DIR}PATH)."
    )


def _repair(model: InstalledModel) -> str:
    record = model.record
    if record.repository is None:
        return f"Export {record.name} again: sightline models export FOLDER"
    suffix = "" if record.precision == "fp32" else f" --precision {record.precision}"
    return f"Run: sightline models pull {record.name}{suffix}"
