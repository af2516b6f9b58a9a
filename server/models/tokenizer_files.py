"""Loads `tokenizer.json` of a model folder with its special tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from sightline.server.models.model_files import load_json
from sightline.storage.errors import ConfigurationError

_FILE: Final = "tokenizer.json"
#: Larger values of ``model_max_length`` mean that there is none.
_MAX_LENGTH: Final = 1_000_000
#: In the order in which a tokenizer without ``pad_token`` is searched.
_PAD_TOKENS: Final = ("[PAD]", "<pad>", "<|endoftext|>", "</s>")


@dataclass(frozen=True, slots=True)
class LoadedTokenizer:
    """A tokenizer, the ids of its special tokens, and the limit of its configuration."""

    tokenizer: Tokenizer
    pad_id: int
    unknown_id: int | None
    max_tokens: int | None
    pads_left: bool


def load_tokenizer(folder: Path, *, split_special: bool | None = None) -> LoadedTokenizer:
    """Load the tokenizer of a folder.

    With ``split_special``, a literal ``[SEP]`` in a text is ordinary text; by default as
    ``tokenizer_config.json`` says. Raises ConfigurationError if it is missing or unreadable.
    """
    config = load_json(folder / "tokenizer_config.json")
    config = config if isinstance(config, dict) else {}
    try:
        tokenizer = Tokenizer.from_file(str(folder / _FILE))
    except Exception as error:  # tokenizers raises Exception itself
        raise ConfigurationError(f"{str(folder)!r} has no readable tokenizer: {error}") from error
    if split_special is None:
        split_special = bool(config.get("split_special_tokens"))
    tokenizer.encode_special_tokens = split_special
    length = config.get("model_max_length")
    unknown = _token(config, "unk_token")
    return LoadedTokenizer(
        tokenizer,
        _pad_id(tokenizer, config, folder),
        None if unknown is None else tokenizer.token_to_id(unknown),
        int(length) if isinstance(length, int | float) and 0 < length < _MAX_LENGTH else None,
        config.get("padding_side") == "left",
    )


def _pad_id(tokenizer: Tokenizer, config: Mapping[str, Any], folder: Path) -> int:
    padding = tokenizer.padding
    token = _token(config, "pad_token")
    if token is None and padding is not None:
        return int(padding["pad_id"])
    for each in _PAD_TOKENS if token is None else (token,):
        found = tokenizer.token_to_id(each)
        if found is not None:
            return found
    name = "for padding" if token is None else repr(token)
    raise ConfigurationError(f"The tokenizer in {str(folder)!r} has no token {name}.")


def _token(config: Mapping[str, Any], key: str) -> str | None:
    value = config.get(key)
    value = value.get("content") if isinstance(value, dict) else value
    return value if isinstance(value, str) else None
