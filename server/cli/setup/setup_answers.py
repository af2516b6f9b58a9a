"""The answers of a setup, from options, questions, or the setup before."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from sightline.server.cli.setup.languages import parse_languages
from sightline.server.cli.setup.model_proposal import MATERIALS, Material
from sightline.server.config import absolute_path
from sightline.server.observability.terminal_questions import ask_choices, ask_text
from sightline.storage.errors import ConfigurationError, InvalidArgumentError, shown
from sightline.storage.files import write_private
from sightline.storage.ingest.formats import file_type_of
from sightline.storage.records import collections

_FILE: Final = "setup.json"
#: Files that are looked at to guess the kind of material.
_MAX_FILES: Final = 2_000
_SHARE_OF_ONE_KIND: Final = 0.9
_MATERIAL_OF: Final[dict[str, Material]] = {
    "image": "photographs",
    "pdf": "documents",
    "document": "documents",
    "text": "documents",
    "video": "video",
    "audio": "video",
}


@dataclass(frozen=True, slots=True)
class SetupAnswers:
    """What the user said, and whether a hub could be used."""

    folder: str = ""
    collection: str = "default"
    materials: tuple[Material, ...] = ()
    languages: tuple[str, ...] = ("en",)
    used_hub: bool = False


_ANSWERS: Final = TypeAdapter(SetupAnswers)


def load_answers(data_dir: Path) -> SetupAnswers | None:
    """Return the answers of the setup before; None without any that can be read."""
    try:
        return _ANSWERS.validate_json((data_dir / _FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def save_answers(data_dir: Path, answers: SetupAnswers) -> None:
    """Store the answers as defaults of the next setup."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(data_dir / _FILE, json.dumps(asdict(answers), indent=2) + "\n")


def from_options(
    answers: SetupAnswers,
    *,
    folder: Path | None,
    collection: str | None,
    materials: str | None,
    languages: str | None,
) -> SetupAnswers:
    """Return the answers with the options that were given. Raises SightlineError."""
    if folder is not None:
        answers = replace(answers, folder=check_folder(str(folder)))
    if collection is not None:
        answers = replace(answers, collection=collections.validate_name(collection))
    if languages is not None:
        answers = replace(answers, languages=tuple(parse_languages(languages)))
    if materials is not None:
        answers = replace(answers, materials=_parse_materials(materials))
    elif not answers.materials:
        answers = replace(answers, materials=(guess_material(answers.folder),))
    return answers


def ask_answers(answers: SetupAnswers, given: frozenset[str]) -> SetupAnswers:
    """Ask for what was not ``given``; the present answers are the defaults."""
    if "folder" not in given:
        folder = ask_text(
            "Folder to make searchable (- for none)", answers.folder or "-", _check_or_none
        )
        is_new = folder != answers.folder
        answers = replace(answers, folder=folder)
        if is_new and "materials" not in given:
            answers = replace(answers, materials=(guess_material(folder),))
    if answers.folder and "collection" not in given:
        name = ask_text("Name of the collection", answers.collection, collections.validate_name)
        answers = replace(answers, collection=name)
    if "materials" not in given:
        descriptions = {str(name): text for name, text in MATERIALS.items()}
        chosen = ask_choices("Kind of material:", descriptions, answers.materials)
        answers = replace(answers, materials=_parse_materials(",".join(chosen)))
    if "languages" not in given:
        codes = ask_text(
            "Languages of texts and questions (codes such as en,de,zh)",
            ",".join(answers.languages),
            lambda text: ",".join(parse_languages(text)),
        )
        answers = replace(answers, languages=tuple(codes.split(",")))
    return answers


def check_folder(text: str) -> str:
    """Return the absolute path of a folder or file. Raises ConfigurationError."""
    path = absolute_path(text)
    if not os.path.exists(path):  # noqa: PTH110 - a folder above may be closed to this account
        raise ConfigurationError(f"There is no folder or file {shown(str(path))}.")
    if not os.access(path, os.R_OK):
        raise ConfigurationError(f"{shown(str(path))} cannot be read by this account.")
    return str(path)


def guess_material(folder: str) -> Material:
    """Return the material that most names of files of a folder stand for."""
    if not folder:
        return "mixed"
    counts: Counter[Material] = Counter()
    for path in _files(folder):
        material = _MATERIAL_OF.get(file_type_of(path))
        if material is not None:
            counts[material] += 1
    if not counts:
        return "mixed"
    material, number = counts.most_common(1)[0]
    return material if number >= _SHARE_OF_ONE_KIND * counts.total() else "mixed"


def _files(folder: str) -> Iterable[str]:
    """Return the names of the first files of a folder, or of the one file."""
    if not Path(folder).is_dir():
        return [Path(folder).name]
    names = (name for _, _, files in os.walk(folder) for name in files if name[0] != ".")
    return islice(names, _MAX_FILES)


def _check_or_none(text: str) -> str:
    return "" if text == "-" else check_folder(text)


def _parse_materials(text: str) -> tuple[Material, ...]:
    names = [each.strip() for each in text.split(",") if each.strip()]
    chosen = tuple(each for each in MATERIALS if each in names)
    wrong = [each for each in names if each not in MATERIALS]
    if wrong or not chosen:
        raise InvalidArgumentError(
            f"Unknown material {shown(wrong[0] if wrong else text)}. Available: "
            f"{', '.join(MATERIALS)}."
        )
    return chosen
