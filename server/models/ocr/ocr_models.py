"""Which OCR models there are: those of RapidOCR's wheel, and more in a folder.

Nothing is downloaded. RapidOCR's wheel has a detector for all scripts and a recognizer for Latin,
Chinese and Japanese. Recognizers of other scripts are files of RapidOCR, named after the script.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path

from sightline.storage.errors import ConfigurationError, shown

#: RapidOCR's names of scripts and languages, and what each recognizer reads.
OCR_LANGUAGES = {
    "arabic": "Arabic, Persian, Uyghur, Urdu",
    "cyrillic": "Russian, Ukrainian, Bulgarian, Serbian and others",
    "devanagari": "Hindi, Marathi, Nepali, Sanskrit",
    "el": "Greek",
    "eslav": "Russian, Ukrainian, Belarusian",
    "korean": "Korean",
    "ta": "Tamil",
    "te": "Telugu",
    "th": "Thai",
}
DOWNLOAD_ADDRESS = (
    "https://www.modelscope.cn/models/RapidAI/RapidOCR/resolve/v3.10.0/onnx/PP-OCRv5/rec/"
)
_DETECTOR = "PP-OCRv6_det_small.onnx"
_RECOGNIZER = "PP-OCRv6_rec_small.onnx"


@dataclass(frozen=True, slots=True)
class OcrModels:
    """Files of models: a detector, and recognizers in the order of use.

    ``fingerprint`` is a short hash of what the files are.
    """

    detector: Path
    recognizers: tuple[Path, ...]
    fingerprint: str


def find_models(languages: Sequence[str] = (), folder: Path | None = None) -> OcrModels:
    """Return the models for Latin, Chinese, Japanese and the given languages.

    Raises ConfigurationError if RapidOCR or a model is missing, or is not one of RapidOCR.
    """
    wheel = _wheel_folder()
    missing = [name for name in (_DETECTOR, _RECOGNIZER) if not (wheel / name).is_file()]
    if missing:
        raise ConfigurationError(
            f"RapidOCR in {wheel} has no {', '.join(missing)}. Install rapidocr 3.10, whose wheel "
            "contains them, or set SIGHTLINE_INGEST__OCR=off."
        )
    included = (wheel / _DETECTOR, wheel / _RECOGNIZER)
    # Files of the wheel change with its version only; reading them would delay every start.
    digest = hashlib.sha256(metadata.version("rapidocr").encode())
    for path in included:
        digest.update(f"\n{path.name} {path.stat().st_size}".encode())
    more = tuple(_recognizer_of(language, folder) for language in dict.fromkeys(languages))
    for path in more:
        content = path.read_bytes()
        if b"character" not in content:
            raise ConfigurationError(
                f"the OCR model {path} has no list of characters; use an ONNX model of RapidOCR"
            )
        digest.update(hashlib.sha256(content).digest())
    return OcrModels(included[0], (included[1], *more), digest.hexdigest()[:8])


def installed_languages(folder: Path | None) -> list[str]:
    """Return the languages whose recognizers are in the folder."""
    return [language for language in OCR_LANGUAGES if _file_in(folder, language) is not None]


def _recognizer_of(language: str, folder: Path | None) -> Path:
    if language not in OCR_LANGUAGES:
        raise ConfigurationError(
            f"OCR has no language {shown(language)}. Available: {', '.join(OCR_LANGUAGES)}. Latin, "
            "Chinese and Japanese are always read."
        )
    path = _file_in(folder, language)
    if path is None:
        name = f"{language}_PP-OCRv5_rec_mobile.onnx"
        where = "SIGHTLINE_INGEST__OCR_MODELS" if folder is None else str(folder)
        raise ConfigurationError(
            f"the OCR model of language {language!r} is not there. Download {DOWNLOAD_ADDRESS}"
            f"{name} into the folder {where}."
        )
    return path


def _file_in(folder: Path | None, language: str) -> Path | None:
    """Return the newest recognizer of a language."""
    if folder is None:
        return None
    return max(folder.glob(f"{language}_*_rec_*.onnx"), key=lambda path: path.name, default=None)


@cache
def _wheel_folder() -> Path:
    spec = util.find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "RapidOCR is not installed. Install rapidocr, or set SIGHTLINE_INGEST__OCR=off."
        )
    return Path(spec.origin).parent / "models"
