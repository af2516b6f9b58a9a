"""Byte-level BPE tokenizer for both languages, trained on the captions.

Pre-tokens are words, single Chinese characters, digits and signs; merges stay within them. Unknown
text becomes bytes, and unknown numbers become digits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from sightline.training.encoder.recipe import CONTEXT_TOKENS, END_ID, START_ID, VOCABULARY

#: In the order of ``PAD_ID``, ``START_ID`` and ``END_ID``.
SPECIAL: Final = ["<|pad|>", "<|start|>", "<|end|>"]
_PIECES: Final = r"\p{Han}|\p{N}|[\p{L}&&[^\p{Han}]]+|[^\s\p{L}\p{N}]"


def learn(texts: Iterable[str], vocabulary: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """Train a tokenizer of at most ``vocabulary`` tokens; deterministic."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s+"), "removed"),
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=3,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{SPECIAL[START_ID]} $A {SPECIAL[END_ID]}",
        special_tokens=[(SPECIAL[START_ID], START_ID), (SPECIAL[END_ID], END_ID)],
    )
    pad, start, end = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        bos_token=start,
        eos_token=end,
        model_max_length=CONTEXT_TOKENS,
        # Special tokens in the text of a caption or query are ordinary text.
        split_special_tokens=True,
    )


def write(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write ``tokenizer.json`` and ``tokenizer_config.json`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # Truncation and padding of the last call must not be saved.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(str(folder))
    # transformers 5 writes a class name that version 4 does not know; both know this one.
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read(folder: Path) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a folder."""
    return PreTrainedTokenizerFast.from_pretrained(str(folder))
