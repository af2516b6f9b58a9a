"""The tokenizer of an open_clip folder, without transformers.

It gives the ids of open_clip's ``HFTokenizer``: texts are repaired and cleaned in the same way, and
special tokens in a text are ordinary text.
"""

from __future__ import annotations

import html
import json
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ftfy
import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from sightline.server.models.encoding import cut_text
from sightline.server.models.image_text.checkpoint import OpenClipFolder
from sightline.storage.errors import ConfigurationError, choices

_DEFAULT_CONTEXT = 77
_FILE, _CONFIG = "tokenizer.json", "tokenizer_config.json"
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CLEAN: Mapping[str, Callable[[str], str]] = {
    "whitespace": lambda text: text,
    "lower": str.lower,
    "canonicalize": lambda text: text.replace("_", " ").translate(_NO_PUNCTUATION).lower(),
}


class ClipTokenizer:
    """Converts texts to token ids."""

    def __init__(self, folder: OpenClipFolder) -> None:
        """Read ``tokenizer.json``.

        Raises ConfigurationError if the folder has none, or one that works in another way.
        """
        text_config = folder.config["model_cfg"].get("text_cfg") or {}
        options = text_config.get("tokenizer_kwargs") or {}
        clean = options.get("clean", "whitespace")
        if clean not in _CLEAN:
            raise ConfigurationError(f"tokenizer clean {clean!r} is not one of: {choices(_CLEAN)}.")
        if options.get("strip_sep_token") or text_config.get("tokenizer_mode"):
            raise ConfigurationError(
                f"{str(folder.path)!r} has a tokenizer that only open_clip can use. "
                "Set encoder.engine to open_clip."
            )
        self._clean = _CLEAN[clean]
        self.context_length = int(text_config.get("context_length", _DEFAULT_CONTEXT))
        try:
            config = json.loads((folder.path / _CONFIG).read_text(encoding="utf-8"))
            self._tokenizer = Tokenizer.from_file(str(folder.path / _FILE))
            pad = config.get("pad_token") or {}
            pad = pad if isinstance(pad, str) else str(pad.get("content"))
            self._pad_id = self._tokenizer.token_to_id(pad)
        except Exception as error:  # tokenizers raises Exception itself
            reason = f"{str(folder.path)!r} has no readable tokenizer: {error}"
            raise ConfigurationError(reason) from error
        if self._pad_id is None:
            raise ConfigurationError(f"The tokenizer in {str(folder.path)!r} has no token {pad!r}.")
        self._tokenizer.encode_special_tokens = bool(config.get("split_special_tokens"))
        self._tokenizer.enable_truncation(self.context_length)
        self._tokenizer.no_padding()

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, of any length up to the context."""
        repaired = [self._repair(text) for text in texts]
        return [each.ids for each in self._tokenizer.encode_batch(repaired)]

    def pad(self, texts: Sequence[Sequence[int]], length: int | None = None) -> npt.NDArray[Any]:
        """Return int64 ids of shape (n, length), padded at the end.

        Without ``length`` it is that of the longest text.
        """
        ids = np.full((len(texts), length or max(map(len, texts))), self._pad_id, np.int64)
        for row, own in zip(ids, texts, strict=True):
            row[: len(own)] = own
        return ids

    def _repair(self, text: str) -> str:
        repaired = ftfy.fix_text(cut_text(text, self.context_length))
        return " ".join(self._clean(html.unescape(html.unescape(repaired))).split())
