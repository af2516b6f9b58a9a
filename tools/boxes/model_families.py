"""The profiles of all model families.

The first matching pattern wins, so the newer of two similar names is first.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Final

from sightline.storage.errors import UnknownNameError
from sightline.tools.boxes.letterbox import PaddedSquare, Resized
from sightline.tools.boxes.model_profiles import BoxFormat, Profile

#: Mean color of CLIP's preprocessing, which LLaVA pads with.
_CLIP_MEAN: Final = (122, 116, 104)
_GRAY: Final = (127, 127, 127)
#: Qwen2-VL's preprocessing does not resize smaller images, whatever the server's limits.
_QWEN_PIXELS: Final = 14 * 14 * 4 * 1280
_LARGE: Final = Resized(max_edge=1344, max_pixels=1_400_000)
_SQUARE_896: Final = Resized(max_edge=896, max_pixels=896 * 896)
#: The server does not resize sides that are multiples of 28.
_QWEN: Final = Resized(max_edge=1288, max_pixels=_QWEN_PIXELS, multiple=28, min_edge=56)
_QWEN3: Final = Resized(max_edge=1280, max_pixels=1_310_720, multiple=32, min_edge=64)

_SENTENCE: Final = (
    "Please provide the bounding box coordinate of the region this sentence describes: {phrase}."
)
_JSON: Final = (
    "Locate every instance of: {{phrase}}. Answer with a JSON list of objects, each with "
    '"{key}": {corners} and "label". Answer [] if there is none.'
)
_JSON_XY: Final = _JSON.format(key="bbox_2d", corners="[x1, y1, x2, y2]")
_JSON_UNIT: Final = _JSON.format(key="bbox_2d", corners="[x1, y1, x2, y2] as decimals from 0 to 1")
_JSON_YX: Final = _JSON.format(key="box_2d", corners="[y1, x1, y2, x2]")

_THOUSAND: Final = BoxFormat(extent=1000)
_UNIT: Final = BoxFormat(extent=1.0, decimals=2, key="bbox")
_LABELED: Final = partial(BoxFormat, extent=1000, label_before=True)
_MOLMO: Final = partial(BoxFormat, "molmo", points=True)

PLAIN: Final = Profile("plain", "", _LARGE, max_images=4, box_format=None)

_llava = partial(Profile, box_format=_UNIT, locate_template=_SENTENCE)
_json_list = partial(Profile, max_images=8, multi_phrase=True)
_tokens = partial(Profile, special_tokens=True)
_points = partial(Profile, locate_template="Point to {phrase}.", supports_schema=False)

FAMILIES: Final = (
    Profile(
        "builtin-llava",
        r"builtin-llava",
        PaddedSquare(160, _GRAY),
        max_images=3,
        box_format=_UNIT,
        locate_chinese="{phrase}在哪里？",
        needs_article=True,
        supports_schema=False,
        lossless=True,
        answer_format="cited",
        # With three images it seldom finds the right one.
        max_found_images=1,
        max_found_passages=1,
    ),
    # A LLaVA fine-tuned on pixels of its input, [[x1,y1,x2,y2]]. Chosen by profile name only.
    Profile(
        "llava-pixels",
        "",
        PaddedSquare(336, _CLIP_MEAN),
        max_images=1,
        box_format=_LABELED(extent=None, template="{label} [[{0},{1},{2},{3}]]"),
        locate_template="Where is {phrase}? Answer with its box as [[x1,y1,x2,y2]].",
        lossless=True,
    ),
    _llava(
        "llava-onevision",
        r"llava[-_]?(onevision|ov)|onevision",
        PaddedSquare(768, _GRAY),
        max_images=8,
    ),
    _llava("llava-1.6", r"llava[-_]?(v?1\.6|next)", PaddedSquare(672, _CLIP_MEAN), max_images=1),
    # Boxes are relative to the padded square (github.com/haotian-liu/LLaVA/issues/606). We pad, so
    # the server's own padding or cropping changes nothing.
    _llava(
        "llava-1.5",
        r"llava[-_]?v?1\.5|^llava$",
        PaddedSquare(336, _CLIP_MEAN),
        max_images=1,
        lossless=True,
    ),
    _json_list(
        "qwen3-vl",
        # Every Qwen from 3.5 on sees images.
        r"qwen[-_]?3(\.\d)?[-_]?(vl|omni)|qwen[-_]?3\.[5-9]|qwen[4-9](?!\d)",
        _QWEN3,
        box_format=_THOUSAND,
        locate_template=_JSON_XY,
    ),
    _json_list(
        "qwen2.5-vl",
        # MiMo-VL has the same encoder.
        r"qwen[-_]?2\.5[-_]?(vl|omni)|mimo[-_]?vl",
        _QWEN,
        box_format=BoxFormat(extent=None),
        locate_template=_JSON_XY,
    ),
    _tokens(
        "qwen2-vl",
        r"qwen[-_]?2[-_]?vl",
        _QWEN,
        max_images=8,
        box_format=_LABELED(
            template=(
                "<|object_ref_start|>{label}<|object_ref_end|>"
                "<|box_start|>({0},{1}),({2},{3})<|box_end|>"
            )
        ),
        locate_template="Output the bounding box of {phrase} in the image.",
    ),
    _tokens(
        "internvl",
        r"intern[-_]?(vl|s1)",
        _LARGE,
        max_images=8,
        box_format=_LABELED(template="<ref>{label}</ref><box>[[{0},{1},{2},{3}]]</box>"),
        locate_template=_SENTENCE.replace("{phrase}.", "<ref>{phrase}</ref>"),
    ),
    _tokens(
        "minicpm-v",
        r"minicpm[-_]?[vo]",
        _LARGE,
        max_images=8,
        # Numbers without brackets (github.com/OpenBMB/MiniCPM-V/issues/982).
        box_format=_LABELED(template="<ref>{label}</ref><box>{0} {1} {2} {3}</box>"),
        locate_template=_SENTENCE.replace("{phrase}.", "<ref>{phrase}</ref>"),
    ),
    # Shares of the image (github.com/MoonshotAI/Kimi-VL/issues/56).
    _json_list(
        "kimi-vl",
        r"kimi[-_]?vl",
        _LARGE,
        box_format=BoxFormat(extent=1.0, decimals=3),
        locate_template=_JSON_UNIT,
    ),
    # x = round(x_pixel / width * 1000), as in the official tools.
    _json_list(
        "glm-v",
        r"glm[-_]?\d(\.\d)?v|cogvlm2|glm[-_]?v\b",
        Resized(max_edge=1344, max_pixels=1_400_000, multiple=28, min_edge=112),
        box_format=_THOUSAND,
        locate_template=_JSON_XY,
        special_tokens=True,
    ),
    _tokens(
        "deepseek-vl2",
        r"deepseek[-_]?vl[-_]?2",
        _LARGE,
        max_images=2,
        box_format=_LABELED(
            extent=999, template="<|ref|>{label}<|/ref|><|det|>[[{0},{1},{2},{3}]]<|/det|>"
        ),
        locate_template="<|ref|>{phrase}<|/ref|>.",
    ),
    _tokens(
        "paligemma",
        r"paligemma",
        _SQUARE_896,
        max_images=1,
        box_format=BoxFormat(
            "paligemma",
            extent=1024,
            y_first=True,
            template="<loc{0:0>4}><loc{1:0>4}><loc{2:0>4}><loc{3:0>4}> {label}",
        ),
        locate_template="detect {phrase}\n",
        multi_phrase=True,
        joiner=" ; ",
        supports_schema=False,
    ),
    _json_list(
        "gemma",
        r"gemma[-_]?[34]|gemini",
        _SQUARE_896,
        box_format=BoxFormat(extent=1000, y_first=True, key="box_2d"),
        locate_template=_JSON_YX,
    ),
    # ``IMAGE ID X Y`` in thousandths, as in the official parser.
    _points(
        "molmo-2",
        r"molmo[-_]?2",
        _LARGE,
        max_images=4,
        box_format=_MOLMO(
            extent=1000, template='<points coords="1 1 {0:0>3} {1:0>3}">{label}</points>'
        ),
    ),
    _points(
        "molmo",
        r"molmo(e|[-_]?7b|[-_]?72b|[-_]?1b|$)",
        _LARGE,
        max_images=1,
        box_format=_MOLMO(
            extent=100, decimals=1, template='<point x="{0}" y="{1}" alt="{label}">{label}</point>'
        ),
    ),
    _tokens(
        "florence-2",
        r"florence[-_]?2",
        PaddedSquare(768, _GRAY),
        max_images=1,
        box_format=BoxFormat(
            "florence",
            extent=1000,
            offset=0.5,
            template="{label}<loc_{0}><loc_{1}><loc_{2}><loc_{3}>",
        ),
        locate_template="Locate the phrases in the caption: {phrase}.",
        supports_schema=False,
    ),
    _tokens(
        "kosmos-2",
        r"kosmos[-_]?2",
        PaddedSquare(448, _CLIP_MEAN),
        max_images=1,
        box_format=BoxFormat(
            "kosmos",
            extent=32,
            decimals=6,
            template=(
                "<phrase>{label}</phrase>"
                "<object><patch_index_{0:0>4}><patch_index_{1:0>4}></object>"
            ),
        ),
        locate_template="<grounding><phrase>{phrase}</phrase>",
        supports_schema=False,
    ),
    PLAIN,
)


def choose_profile(model: str, profile: str = "auto") -> Profile:
    """Return the named profile, or for ``auto`` the first one that matches the model.

    An unknown model gets ``plain``, which has no boxes. Raises UnknownNameError for an unknown
    profile.
    """
    if profile == "auto":
        lowered = model.lower()
        matches = (each for each in FAMILIES if re.search(each.model_pattern or r"$^", lowered))
        return next(matches, PLAIN)
    by_name = {family.name: family for family in FAMILIES}
    if profile not in by_name:
        raise UnknownNameError("model profile", profile, ["auto", *by_name])
    return by_name[profile]
