"""A tokenizer knows a text if most of its characters are in tokens that mean something."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from sightline.server.models.text.vocabulary import Vocabulary

ENGLISH = ["red", "van", "birthday", "cake", "##s", "shelf"]
CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюя"
IDEOGRAPHS = [chr(code) for code in range(0x4E00, 0x4E00 + 1_200)]  # 一 to 乿 and on


def _tokenizer(folder: Path, tokenizer: Tokenizer) -> Vocabulary:
    """Load a tokenizer from files, as those of a checkpoint."""
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return Vocabulary.from_transformers(AutoTokenizer.from_pretrained(folder))


def _word_piece(folder: Path, *more: str) -> Vocabulary:
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation, *CYRILLIC]
    tokens = ["[PAD]", "[UNK]", *letters, *(f"##{each}" for each in letters), *ENGLISH, *more]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _tokenizer(folder, tokenizer)


@pytest.mark.parametrize(
    ("text", "is_known"),
    [
        ("red vans", True),
        ("birthday cake 🎂", True),
        ("2018-02-06 14.60", True),
        ("", True),
        (" \n", True),
        ("🎂", False),
        ("🎂 🎉 🎂 red", False),
        ("บริการรับส่งสนามบิน, red!", False),
        ("пассажир", False),  # only letters: no token has two
        ("浦东机场", False),
        ("birthday van пассажир", True),
    ],
)
def test_a_text_is_known_if_most_of_its_characters_are(
    tmp_path: Path, text: str, is_known: bool
) -> None:
    assert _word_piece(tmp_path).knows(text) is is_known


def test_words_or_a_thousand_ideographs_make_a_script_known(tmp_path: Path) -> None:
    vocabulary = _word_piece(tmp_path, "пасс", "##ажир", "вагон", *IDEOGRAPHS)
    assert vocabulary.knows("пассажир")
    assert vocabulary.knows("一丁七万")
    assert not vocabulary.knows("龍龜")
    assert not vocabulary.knows("สนามบิน")


def test_a_tokenizer_of_bytes_knows_all_texts(tmp_path: Path) -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = {token: number for number, token in enumerate(["[PAD]", *alphabet])}
    tokenizer = Tokenizer(models.BPE(tokens, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    vocabulary = _tokenizer(tmp_path, tokenizer)
    assert all(map(vocabulary.knows, ["🎂", "สนามบิน", "пассажир", "red"]))


def test_a_unigram_tokenizer_knows_what_its_pieces_spell(tmp_path: Path) -> None:
    pieces = ["[UNK]", "▁red", "▁van", "s", "▁вагон", "▁", "สนาม", "บิน"]
    unigram = models.Unigram([(piece, -float(n)) for n, piece in enumerate(pieces)], unk_id=0)
    tokenizer = Tokenizer(unigram)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    vocabulary = _tokenizer(tmp_path, tokenizer)
    assert all(map(vocabulary.knows, ["red vans", "вагон", "สนามบิน"]))
    assert not vocabulary.knows("🎂")
