"""Writes small OWLv2 and Grounding DINO folders with random weights, as transformers does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", "?", "a", "the", "red", "van", "car", "dog"]


def write_owlv2(folder: Path) -> Path:
    """Write an OWLv2 with 8 x 8 patches."""
    import torch
    from transformers import (
        CLIPTokenizerFast,
        Owlv2Config,
        Owlv2ForObjectDetection,
        Owlv2ImageProcessorPil,
        Owlv2Processor,
    )

    torch.manual_seed(3)
    letters = [chr(code) for code in range(97, 123)]
    tokens = ["!", "<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    tokenizer = CLIPTokenizerFast(
        vocab={token: number for number, token in enumerate(tokens)}, merges=[], pad_token="!"
    )
    tokenizer.model_max_length = 16
    small: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    text = {"vocab_size": len(tokens), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = Owlv2Config(
        text_config={**small, **text, "max_position_embeddings": 16},
        vision_config={**small, "image_size": 64, "patch_size": 8},
        projection_dim=32,
    )
    model = Owlv2ForObjectDetection(config).eval()
    torch.nn.init.zeros_(model.box_head.dense2.weight)  # each patch has the box of its place
    for layer in (model.class_head.logit_shift, model.class_head.logit_scale):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.ones_(layer.bias)
    model.save_pretrained(str(folder))
    images = Owlv2ImageProcessorPil(size={"height": 64, "width": 64})
    Owlv2Processor(image_processor=images, tokenizer=tokenizer).save_pretrained(str(folder))
    return folder


def write_grounding_dino(folder: Path) -> Path:
    """Write a Grounding DINO with one layer and 20 queries."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import (
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessorPil,
        GroundingDinoProcessor,
        SwinConfig,
    )

    torch.manual_seed(3)
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    inner = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer = BertTokenizerFast(tokenizer_object=inner)
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=64,
            patch_size=4,
            embed_dim=16,
            depths=[1, 1, 1],
            num_heads=[1, 2, 4],
            window_size=4,
            out_features=["stage2", "stage3"],
        ),
        text_config={
            "model_type": "bert",
            "vocab_size": len(WORDS),
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
        d_model=32,
        encoder_layers=1,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_layers=2,
        decoder_ffn_dim=32,
        decoder_attention_heads=2,
        num_queries=20,
        num_feature_levels=2,
    )
    GroundingDinoForObjectDetection(config).eval().save_pretrained(str(folder))
    images = GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    GroundingDinoProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(str(folder))
    return folder
