"""Write the tokenizer that is built into open_clip as a `tokenizer.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from open_clip.tokenizer import SimpleTokenizer
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from sightline.storage.files import write_private

_WORDS: Final = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def write_clip_tokenizer(folder: Path, config: dict[str, Any]) -> None:
    """Write the tokenizer, and into ``config`` how open_clip cleans texts before it."""
    own: Any = SimpleTokenizer()
    start, end = own.all_special_ids
    words = {number: word for word, number in own.encoder.items()}
    tokenizer = Tokenizer(
        models.BPE(own.encoder, list(own.bpe_ranks), end_of_word_suffix="</w>", fuse_unk=False)
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.add_special_tokens([words[start], words[end]])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{words[start]} $A {words[end]}",
        special_tokens=[(words[start], start), (words[end], end)],
    )
    write_private(folder / "tokenizer.json", tokenizer.to_str())
    # open_clip pads with zeros, whatever they mean.
    write_private(folder / "tokenizer_config.json", json.dumps({"pad_token": words[0]}))
    text = config["model_cfg"].setdefault("text_cfg", {})
    text.setdefault("tokenizer_kwargs", {}).setdefault("clean", "lower")
