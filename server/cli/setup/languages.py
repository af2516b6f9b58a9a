"""Languages of the material, and what OCR needs to read them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from sightline.server.models.ocr.ocr_models import (
    DOWNLOAD_ADDRESS,
    OCR_LANGUAGES,
    installed_languages,
)
from sightline.storage.errors import ConfigurationError, shown

_CODE: Final = re.compile(r"[a-z]{2,3}")
#: OCR model by language; other scripts than these are read without one, or not at all.
_OCR_MODELS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("ar", "fa", "ug", "ur"), "arabic"),
    **dict.fromkeys(("bg", "sr", "mk", "kk", "ky", "mn", "tg"), "cyrillic"),
    **dict.fromkeys(("hi", "mr", "ne", "sa"), "devanagari"),
    **dict.fromkeys(("ru", "uk", "be"), "eslav"),
    "el": "el",
    "ko": "korean",
    "ta": "ta",
    "te": "te",
    "th": "th",
}
_UNREAD: Final = frozenset(
    ("am", "bn", "bo", "gu", "he", "hy", "ka", "km", "kn", "lo", "ml", "my", "or", "pa", "si", "yi")
)


def parse_languages(text: str) -> list[str]:
    """Return codes such as ``en`` and ``de``. Raises ConfigurationError."""
    codes = [each.strip().lower() for each in text.split(",") if each.strip()]
    wrong = next((each for each in codes if not _CODE.fullmatch(each)), None)
    if wrong is not None or not codes:
        raise ConfigurationError(
            f"{shown(wrong or text)} is no language. Give codes of ISO 639 separated by commas, "
            "such as en,de,zh."
        )
    return list(dict.fromkeys(codes))


def ocr_models(languages: Collection[str]) -> list[str]:
    """Return the names of the OCR models besides the included one."""
    return list(dict.fromkeys(_OCR_MODELS[each] for each in languages if each in _OCR_MODELS))


def usable_ocr_models(languages: Collection[str], folder: Path | None) -> list[str]:
    """Return the OCR models for these languages that are in the folder."""
    there = installed_languages(folder)
    return [each for each in ocr_models(languages) if each in there]


def ocr_notes(languages: Collection[str], folder: Path | None) -> Sequence[str]:
    """Say which languages OCR does not read yet, and what to download."""
    notes = []
    there = usable_ocr_models(languages, folder)
    for name in ocr_models(languages):
        if name not in there:
            where = "a folder that SIGHTLINE_INGEST__OCR_MODELS names" if folder is None else folder
            notes.append(
                f"OCR does not read {OCR_LANGUAGES[name]} yet. Download {DOWNLOAD_ADDRESS}{name}"
                f"_PP-OCRv5_rec_mobile.onnx into {where}, and run setup again."
            )
    if unread := sorted(_UNREAD & set(languages)):
        notes.append(f"There is no OCR model for: {', '.join(unread)}.")
    return notes
