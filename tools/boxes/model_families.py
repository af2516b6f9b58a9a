"""The families of models, and where each row was taken from.

Order matters: the first pattern that fits a model's name wins, so the newer of two similar names
stands first.
"""

from __future__ import annotations

from typing import Final

from sightline.tools.boxes.conventions import Convention
from sightline.tools.boxes.letterbox import PaddedSquare, Resized
from sightline.tools.boxes.model_profiles import Profile

#: The mean colour of CLIP's preprocessing, with which LLaVA pads.
_CLIP_MEAN: Final = (122, 116, 104)
_GREY: Final = (127, 127, 127)
#: What Qwen2-VL's preprocessing leaves alone even where a server sets its smallest limits.
_QWEN_PIXELS: Final = 14 * 14 * 4 * 1280
_LARGE: Final = Resized(longest=1344, most_pixels=1_400_000)
#: Sides that are multiples of 28 already are not touched by the server, so its pixels are ours.
_QWEN: Final = Resized(longest=1288, most_pixels=_QWEN_PIXELS, multiple=28, shortest=56)
_QWEN3: Final = Resized(longest=1280, most_pixels=1_310_720, multiple=32, shortest=64)

_SENTENCE: Final = (
    "Please provide the bounding box coordinate of the region this sentence describes: {phrase}."
)
_JSON: Final = (
    "Locate every instance of: {{phrase}}. Answer with a JSON list of objects, each with "
    '"{key}": {corners} and "label". Answer [] if there is none.'
)
_JSON_XY: Final = _JSON.format(key="bbox_2d", corners="[x1, y1, x2, y2]")
_JSON_YX: Final = _JSON.format(key="box_2d", corners="[y1, x1, y2, x2]")

_THOUSAND: Final = Convention(extent=1000)
_UNIT: Final = Convention(extent=1.0, decimals=2, key="bbox")

PLAIN: Final = Profile("plain", "", _LARGE, pictures=4, boxes=None)

FAMILIES: Final = (
    Profile(
        "builtin-llava",
        r"builtin-llava",
        PaddedSquare(160, _GREY),
        pictures=3,
        boxes=_UNIT,
        locate_chinese="{phrase}在哪里？",
        definite=True,
        structured=False,
        lossless=True,
        answers="cited",
        # Of three pictures it seldom tells which one is meant, and says that none shows it.
        found=(1, 1),
    ),
    # The seed article's fine-tuned LLaVA: [[x1,y1,x2,y2]], pixels of the model's input. Chosen by
    # name only: nothing in such a model's name tells it from any other LLaVA.
    Profile(
        "llava-pixels",
        "",
        PaddedSquare(336, _CLIP_MEAN),
        pictures=1,
        boxes=Convention(extent=None, label_before=True, template="{label} [[{0},{1},{2},{3}]]"),
        locate="Where is {phrase}? Answer with its box as [[x1,y1,x2,y2]].",
        lossless=True,
    ),
    Profile(
        "llava-onevision",
        r"llava[-_]?(onevision|ov)|onevision",
        PaddedSquare(768, _GREY),
        pictures=8,
        boxes=_UNIT,
        locate=_SENTENCE,
    ),
    Profile(
        "llava-1.6",
        r"llava[-_]?(v?1\.6|next)",
        PaddedSquare(672, _CLIP_MEAN),
        pictures=1,
        boxes=_UNIT,
        locate=_SENTENCE,
    ),
    # Boxes are shares of the picture padded to a square (github.com/haotian-liu/LLaVA/issues/606).
    # It is padded here: a server that pads, squeezes or crops to the centre then changes nothing.
    Profile(
        "llava-1.5",
        r"llava[-_]?v?1\.5|^llava$",
        PaddedSquare(336, _CLIP_MEAN),
        pictures=1,
        boxes=_UNIT,
        locate=_SENTENCE,
        lossless=True,
    ),
    Profile(
        "qwen3-vl",
        r"qwen[-_]?3(\.\d)?[-_]?(vl|omni)",
        _QWEN3,
        pictures=8,
        boxes=_THOUSAND,
        locate=_JSON_XY,
        several=True,
    ),
    Profile(
        "qwen2.5-vl",
        r"qwen[-_]?2\.5[-_]?(vl|omni)",
        _QWEN,
        pictures=8,
        boxes=Convention(extent=None),
        locate=_JSON_XY,
        several=True,
    ),
    Profile(
        "qwen2-vl",
        r"qwen[-_]?2[-_]?vl",
        _QWEN,
        pictures=8,
        boxes=Convention(
            extent=1000,
            label_before=True,
            template=(
                "<|object_ref_start|>{label}<|object_ref_end|>"
                "<|box_start|>({0},{1}),({2},{3})<|box_end|>"
            ),
        ),
        locate="Output the bounding box of {phrase} in the image.",
        special_tokens=True,
    ),
    Profile(
        "internvl",
        r"intern[-_]?vl|internvl",
        _LARGE,
        pictures=8,
        boxes=Convention(
            extent=1000,
            label_before=True,
            template="<ref>{label}</ref><box>[[{0},{1},{2},{3}]]</box>",
        ),
        locate=(
            "Please provide the bounding box coordinate of the region this sentence describes: "
            "<ref>{phrase}</ref>"
        ),
        special_tokens=True,
    ),
    # x = round(x_pixel / width * 1000), as its makers' own tools state.
    Profile(
        "glm-v",
        r"glm[-_]?\d(\.\d)?v|cogvlm2|glm[-_]?v\b",
        Resized(longest=1344, most_pixels=1_400_000, multiple=28, shortest=112),
        pictures=8,
        boxes=_THOUSAND,
        locate=_JSON_XY,
        several=True,
        special_tokens=True,
    ),
    Profile(
        "deepseek-vl2",
        r"deepseek[-_]?vl[-_]?2",
        _LARGE,
        pictures=2,
        boxes=Convention(
            extent=999,
            label_before=True,
            template="<|ref|>{label}<|/ref|><|det|>[[{0},{1},{2},{3}]]<|/det|>",
        ),
        locate="<|ref|>{phrase}<|/ref|>.",
        special_tokens=True,
    ),
    Profile(
        "paligemma",
        r"paligemma",
        Resized(longest=896, most_pixels=896 * 896),
        pictures=1,
        boxes=Convention(
            "paligemma",
            extent=1024,
            y_first=True,
            template="<loc{0:0>4}><loc{1:0>4}><loc{2:0>4}><loc{3:0>4}> {label}",
        ),
        locate="detect {phrase}\n",
        several=True,
        joiner=" ; ",
        structured=False,
        special_tokens=True,
    ),
    Profile(
        "gemma",
        r"gemma[-_]?[34]|gemini",
        Resized(longest=896, most_pixels=896 * 896),
        pictures=8,
        boxes=Convention(extent=1000, y_first=True, key="box_2d"),
        locate=_JSON_YX,
        several=True,
    ),
    # ``PICTURE ID X Y`` by thousandths, as its makers' own reader takes it.
    Profile(
        "molmo-2",
        r"molmo[-_]?2",
        _LARGE,
        pictures=4,
        boxes=Convention(
            "molmo",
            extent=1000,
            points=True,
            template='<points coords="1 1 {0:0>3} {1:0>3}">{label}</points>',
        ),
        locate="Point to {phrase}.",
        structured=False,
    ),
    Profile(
        "molmo",
        r"molmo(e|[-_]?7b|[-_]?72b|[-_]?1b|$)",
        _LARGE,
        pictures=1,
        boxes=Convention(
            "molmo",
            extent=100,
            decimals=1,
            points=True,
            template='<point x="{0}" y="{1}" alt="{label}">{label}</point>',
        ),
        locate="Point to {phrase}.",
        structured=False,
    ),
    Profile(
        "florence-2",
        r"florence[-_]?2",
        PaddedSquare(768, _GREY),
        pictures=1,
        boxes=Convention(
            "florence",
            extent=1000,
            offset=0.5,
            template="{label}<loc_{0}><loc_{1}><loc_{2}><loc_{3}>",
        ),
        locate="Locate the phrases in the caption: {phrase}.",
        structured=False,
        special_tokens=True,
    ),
    Profile(
        "kosmos-2",
        r"kosmos[-_]?2",
        PaddedSquare(448, _CLIP_MEAN),
        pictures=1,
        boxes=Convention(
            "kosmos",
            extent=32,
            decimals=6,
            template=(
                "<phrase>{label}</phrase>"
                "<object><patch_index_{0:0>4}><patch_index_{1:0>4}></object>"
            ),
        ),
        locate="<grounding><phrase>{phrase}</phrase>",
        structured=False,
        special_tokens=True,
    ),
    PLAIN,
)
