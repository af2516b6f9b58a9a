"""Tokenizer of the built-in LLaVA: byte-level BPE with one token per coordinate.

Every byte is a token, so any text round-trips. Digits are single tokens, so that the model copies
and compares numbers digit by digit. A box is an exception: ``[0.12,0.30,0.55,0.80]`` is the four
tokens ``[0.12``, ``,0.30``, ``,0.55`` and ``,0.80]``. Their ids are consecutive by value within
each of three roles. A citation such as `` [1]`` is also one token.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

BOS, EOS, PAD, IMAGE = "<s>", "</s>", "<pad>", "<image>"
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"
_SPECIAL: Final = (PAD, BOS, EOS, IMAGE, SYSTEM, USER, ASSISTANT)
STEPS: Final = 101
#: Forms of the first, middle and last coordinate of a box.
ROLES: Final = ("[{}", ",{}", ",{}]")

#: Repetitions of each citation, so that its merges are always learned.
_OFTEN: Final = 5000
_COORDINATE = r"[01]\.\d\d"
_SPLIT: Final = "|".join(
    (
        r" \[\d\]",
        r" (?=\[)",
        rf"\[{_COORDINATE}(?=,{_COORDINATE},)",
        rf"(?<={_COORDINATE}),{_COORDINATE}\]?",
        r" ?[A-Za-z]+",
        r"\d",
        r"\n",
        r"[\u4e00-\u9fff]+",
        r" ?[^\sA-Za-z\d\u4e00-\u9fff]",
        r"[^\S\n]",
    )
)

#: Line breaks are expressions, because Jinja trims literal ones after a block.
CHAT_TEMPLATE: Final = (
    "{{ '<s>' }}"
    "{%- for message in messages -%}"
    "{{ '<|' + message['role'] + '|>' }}"
    "{%- if message['content'] is string -%}{{ message['content'] }}"
    "{%- else -%}{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'text' -%}{{ part['text'] }}"
    "{%- else -%}{{ '<image>\\n' }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{%- if message['role'] == 'assistant' -%}{{ '</s>' }}{%- endif -%}"
    "{{ '\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train BPE merges on ``texts`` and add about 400 coordinate tokens."""
    trainer_tokenizer = Tokenizer(models.BPE())
    trainer_tokenizer.pre_tokenizer = _pre_tokenizer()
    sources = [f" [{number}]" for number in range(10)] * _OFTEN
    trainer_tokenizer.train_from_iterator(
        chain(texts, sources),
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            min_frequency=3,
            special_tokens=list(_SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    state = json.loads(trainer_tokenizer.to_str())["model"]
    vocab: dict[str, int] = state["vocab"]
    merges = _add_coordinates(vocab) + [(left, right) for left, right in state["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = _pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=1024,
        extra_special_tokens={"image_token": IMAGE},
    )


def coordinate_ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Return the id of 0.00 per role; ids of 0.01 to 1.00 follow it."""
    ids = []
    for role in ROLES:
        first, last = (
            tokenizer.convert_tokens_to_ids(role.format(text)) for text in ("0.00", "1.00")
        )
        if not (isinstance(first, int) and isinstance(last, int) and last - first == STEPS - 1):
            raise ValueError(f"The tokenizer has no coordinate tokens like {role.format('0.00')}.")
        ids.append(first)
    return ids


def save_chat_template(folder: Path) -> None:
    """Write ``chat_template.jinja`` for inference servers."""
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _add_coordinates(vocab: dict[str, int]) -> list[tuple[str, str]]:
    """Add a token for each value in each role and return their merges.

    They must precede the learned merges, which would split ``0]`` from its number.
    """
    merges: list[tuple[str, str]] = []

    def join(left: str, right: str) -> None:
        if (left, right) not in merges:
            merges.append((left, right))
        vocab.setdefault(left + right, len(vocab))

    values = [f"{step / 100:.2f}" for step in range(STEPS)]
    for value in values:
        join(value[0], ".")
        join(value[:2], value[2])
        join(value[:3], value[3])
    for value in values:
        join("[", value)
    for value in values:
        join(",", value)
    for value in values:
        join(f",{value}", "]")
    return merges
