"""The record of a pulled or exported model: `sightline_model.json` in its folder.

It is written last, when all files are complete. A folder below ``models`` without a record, or with
files that do not have the recorded sizes, is not a model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sightline.server.models.catalog import GraphPrecision, ModelKind
from sightline.server.models.model_files import FingerprintCache
from sightline.storage.errors import ConfigurationError
from sightline.storage.files import write_private
from sightline.storage.interfaces import EncoderIdentity

RECORD_FILE: Final = "sightline_model.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRecord(_Part):
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str


class SourceRecord(_Part):
    """The exported model: its identity, and how well the export agrees with it.

    ``keeps_identity`` is set if the vectors are equal within 1e-4: the embedding space stays the
    same.
    """

    name: str
    weights: str
    preprocessing: str
    max_difference: float
    keeps_identity: bool


class EncodingOptions(_Part):
    """What the configuration files of a sentence encoder may not say."""

    pooling: str | None = None
    max_tokens: int | None = None
    query_prompt: str | None = None
    passage_prompt: str | None = None


class ModelRecord(_Part):
    """Origin and files of a model; paths are relative to its folder."""

    name: str
    kind: ModelKind
    precision: GraphPrecision
    license: str
    repository: str | None = None
    revision: str | None = None
    source: SourceRecord | None = None
    options: EncodingOptions = EncodingOptions()
    files: dict[str, FileRecord] = Field(min_length=1)

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(each.size for each in self.files.values())

    def write(self, folder: Path) -> None:
        """Write the record. The folder is complete from now on."""
        write_private(folder / RECORD_FILE, self.model_dump_json(indent=1, exclude_none=True))

    def damaged_files(self, folder: Path) -> Iterator[str]:
        """Yield the files that are missing or have another size."""
        for name, file in self.files.items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != file.size:
                yield name


def read_record(folder: Path) -> ModelRecord | None:
    """Return the record of a folder; None if it has none.

    Raises ConfigurationError for an unreadable record.
    """
    file = folder / RECORD_FILE
    try:
        return ModelRecord.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(
            f"{str(file)!r} cannot be read: {reason}. Delete the folder, and pull or export the "
            "model again."
        ) from error


def record_file(path: Path) -> FileRecord:
    """Return size and hash of a file."""
    with path.open("rb") as file:
        return FileRecord(
            size=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest()
        )


def kept_identity(
    folder: Path, identity: EncoderIdentity, cache: FingerprintCache
) -> EncoderIdentity:
    """Return the identity of the model that was exported, if the export keeps it.

    The files must be those of the record. Raises ConfigurationError for an unreadable record.
    """
    record = read_record(folder)
    if record is None or record.source is None or not record.source.keeps_identity:
        return identity
    for name, file in record.files.items():
        if not (folder / name).is_file() or cache.sha256(folder / name) != file.sha256:
            return identity
    source = record.source
    return EncoderIdentity(source.name, source.weights, source.preprocessing, identity.dimension)
