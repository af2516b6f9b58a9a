"""Special tokens and role names of the chat templates of many model families."""

from __future__ import annotations

from typing import Final

FAMILIES: Final = {
    "LLaVA": ("<image>", "<s>", "</s>", "<unk>", "<pad>", "<im_patch>", "<image_placeholder>"),
    "Sightline": ("<|system|>", "<|user|>", "<|assistant|>"),
    "Llama 2": ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<PRE>", "<FILL_ME>"),
    "Llama 3 and 4": (
        "<|begin_of_text|>", "<|start_header_id|>", "<|eot_id|>", "<|image|>", "<|python_tag|>",
        "<|header_start|>", "<|reserved_special_token_0|>", "<|tile_x_separator|>",
    ),
    "Mistral and Pixtral": (
        "[IMG]", "[IMG_BREAK]", "[IMG_END]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CALLS]",
        "[AVAILABLE_TOOLS]", "[THINK]", "[control_8]", "[PREFIX]",
    ),
    "Qwen-VL": (
        "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|vision_start|>", "<|image_pad|>",
        "<|box_start|>", "<|object_ref_start|>", "<tool_call>", "</think>", "<img>", "</ref>",
    ),
    "InternVL": ("<IMG_CONTEXT>", "<img>", "</img>", "<quad>", "<ref>", "<box>", "</box>"),
    "GLM": (
        "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|begin_of_image|>", "<|observation|>",
        "<|end_of_box|>",
    ),
    "DeepSeek": (
        "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜tool▁calls▁begin｜>",
        "<|ref|>", "<|/det|>", "<|grounding|>",
    ),
    "Gemma and PaliGemma": (
        "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<unused99>",
        "<image_soft_token>", "<loc0001>", "<seg127>", "<mask>", "[multimodal]", '<|"|>', "<|turn>",
        "<turn|>",
    ),
    "Idefics and SmolVLM": (
        "<end_of_utterance>", "<fake_token_around_image>", "<global-img>", "<row_1_col_1>",
    ),
    "MiniCPM-V": ("<slice>", "</slice>", "<image_id>", "<unit>", "<|audio|>", "<|spk_bos|>"),
    "Phi": ("<|image_1|>", "<|end|>", "<|assistant|>", "<|dummy_85|>", "<|tool_response|>"),
    "Kosmos-2 and Florence-2": (
        "<grounding>", "<phrase>", "</object>", "<patch_index_0000>",
        "</delimiter_of_multi_objects/>", "<loc_999>", "<poly>", "<cap>", "</ocr>",
    ),
    "Molmo": ("<im_start>", "<im_end>", "<im_patch>", "<im_col>", "|||IP_ADDRESS|||"),
    "Chameleon and Emu": (
        "<racm3:break>", "<eoss>", "<reserved08706>", "<|visual token 000001|>", "<|image start|>",
    ),
    "Fuyu": ("|ENDOFTEXT|", "|SPEAKER|", "|NEWLINE|", "<0x00>", "<0x0A>", "<0x04>"),
    "Falcon": (">>TITLE<<", ">>QUESTION<<", ">>ANSWER<<", ">>IMAGE<<"),
    "Command": ("<|START_OF_TURN_TOKEN|>", "<BOS_TOKEN>", "<|CHATBOT_TOKEN|>", "<EOP_TOKEN>"),
    "EXAONE": ("[|system|]", "[|endofturn|]", "[BOS]", "[UNK]"),
    "MiniMax": ("]~!b[", "]~b]", "[e~[", "]!p~[", "]<]image[>[", "]<]start of image[>["),
    "InternLM and Baichuan": ("<eoh>", "<eoa>", "[UNUSED_TOKEN_145]", "<reserved_106>"),
    "Hunyuan and Seed": ("<｜hy_User｜>", "<seed:bos>", "<seed:tool_call>", "[unused12]"),
    "Nemotron and T5": ("<SPECIAL_10>", "<extra_id_1>", "<extra_id_99>"),
    "BERT": ("[CLS]", "[SEP]", "[MASK]", "[PAD]"),
    "CLIP": ("<start_of_text>", "<end_of_text>", "<|startoftext|>"),
}  # fmt: skip

SPECIAL_TOKENS: Final = tuple(dict.fromkeys(t for tokens in FAMILIES.values() for t in tokens))

#: Text that begins a turn in templates without special tokens.
ROLE_NAMES: Final = (
    "USER:", "ASSISTANT:", "SYSTEM:", "Human:", "Assistant:", "User:", "AI:", "user：",
    "### Human", "###Human:", "### Assistant", "### Instruction", "### Response", "###USER",
)  # fmt: skip
