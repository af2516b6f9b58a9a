"""The tokenizer of an image and text encoder, without transformers.

For an open_clip folder it gives the ids of open_clip's ``HFTokenizer``: texts are repaired and
cleaned in the same way.
"""

from __future__ import annotations

import html
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import ftfy
import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from sightline.server.models.encoding import cut_text
from sightline.server.models.image_text.checkpoint import OpenClipFolder
from sightline.server.models.tokenizer_files import load_tokenizer
from sightline.storage.errors import ConfigurationError, choices

_DEFAULT_CONTEXT = 77
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CLEAN: Mapping[str, Callable[[str], str]] = {
    "whitespace": lambda text: text,
    "lower": str.lower,
    "canonicalize": lambda text: text.replace("_", " ").translate(_NO_PUNCTUATION).lower(),
}


class ClipTokenizer:
    """Converts texts to token ids."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        pad_id: int,
        context_length: int,
        *,
        prepare: Callable[[str], str],
        pads_left: bool = False,
    ) -> None:
        self.context_length = context_length
        self._tokenizer = tokenizer
        self._pad_id = pad_id
        self._prepare = prepare
        self._pads_left = pads_left
        tokenizer.enable_truncation(context_length)
        tokenizer.no_padding()

    @classmethod
    def from_open_clip(cls, folder: OpenClipFolder) -> Self:
        """Read ``tokenizer.json`` of an open_clip folder.

        Raises ConfigurationError if it has none, or one that works in another way.
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
        length = int(text_config.get("context_length", _DEFAULT_CONTEXT))
        loaded = load_tokenizer(folder.path)

        def prepare(text: str) -> str:
            return _repair(text, length, _CLEAN[clean])

        return cls(loaded.tokenizer, loaded.pad_id, length, prepare=prepare)

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, of any length up to the context."""
        prepared = [self._prepare(text) for text in texts]
        return [each.ids for each in self._tokenizer.encode_batch(prepared)]

    def pad(
        self, texts: Sequence[Sequence[int]], length: int | None = None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return ids and mask (1 for tokens of a text), int64 of shape (n, length).

        Without ``length`` it is that of the longest text.
        """
        shape = len(texts), length or max(map(len, texts))
        ids, mask = np.full(shape, self._pad_id, np.int64), np.zeros(shape, np.int64)
        for row, own in enumerate(texts):
            place = slice(shape[1] - len(own), None) if self._pads_left else slice(len(own))
            ids[row, place], mask[row, place] = own, 1
        return ids, mask


def _repair(text: str, context_length: int, clean: Callable[[str], str]) -> str:
    repaired = ftfy.fix_text(cut_text(text, context_length))
    return " ".join(clean(html.unescape(html.unescape(repaired))).split())
