"""Profiles are chosen by model name; unknown models get no boxes."""

from __future__ import annotations

import pytest

from sightline.storage.errors import UnknownNameError
from sightline.tools.boxes.geometry import iou
from sightline.tools.boxes.model_families import FAMILIES, PLAIN, choose_profile
from sightline.tools.boxes.model_profiles import TrustedText


@pytest.mark.parametrize(
    ("model", "profile"),
    [
        ("builtin-llava", "builtin-llava"),
        ("llava-hf/llava-1.5-7b-hf", "llava-1.5"),
        ("liuhaotian/llava-v1.5-13b", "llava-1.5"),
        ("llava-hf/llava-v1.6-mistral-7b-hf", "llava-1.6"),
        ("llava-hf/llama3-llava-next-8b-hf", "llava-1.6"),
        ("llava-hf/llava-onevision-qwen2-7b-ov-hf", "llava-onevision"),
        ("lmms-lab/LLaVA-OneVision-1.5-8B-Instruct", "llava-onevision"),
        ("Qwen/Qwen2-VL-7B-Instruct", "qwen2-vl"),
        ("Qwen/Qwen2.5-VL-7B-Instruct-AWQ", "qwen2.5-vl"),
        ("Qwen/Qwen3-VL-235B-A22B-Instruct", "qwen3-vl"),
        ("OpenGVLab/InternVL3-8B", "internvl"),
        ("zai-org/GLM-4.1V-9B-Thinking", "glm-v"),
        ("zai-org/GLM-4.6V-Flash", "glm-v"),
        ("deepseek-ai/deepseek-vl2-tiny", "deepseek-vl2"),
        ("google/paligemma2-3b-mix-448", "paligemma"),
        ("google/gemma-3-4b-it", "gemma"),
        ("allenai/Molmo-7B-D-0924", "molmo"),
        ("allenai/MolmoE-1B-0924", "molmo"),
        ("allenai/Molmo2-8B", "molmo-2"),
        ("Qwen/Qwen3.5-397B-A17B", "qwen3-vl"),
        ("XiaomiMiMo/MiMo-VL-7B-SFT", "qwen2.5-vl"),
        ("internlm/Intern-S1-mini", "internvl"),
        ("openbmb/MiniCPM-V-4_5", "minicpm-v"),
        ("moonshotai/Kimi-VL-A3B-Instruct", "kimi-vl"),
        ("Qwen/Qwen3-8B", "plain"),
        ("Qwen/Qwen-7B-Chat", "plain"),
        ("Qwen/Qwen3-4B-Instruct", "plain"),
        ("XiaomiMiMo/MiMo-7B-RL", "plain"),
        ("gpt-5", "plain"),
    ],
)
def test_a_model_name_leads_to_its_family(model: str, profile: str) -> None:
    assert choose_profile(model).name == profile


def test_a_profile_that_is_set_wins_over_the_name() -> None:
    assert choose_profile("our-llava", "llava-pixels").name == "llava-pixels"


def test_an_unknown_profile_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        UnknownNameError, match=r"Unknown model profile 'lava'.*'auto'.*'qwen2\.5-vl'"
    ):
        choose_profile("x", "lava")


def test_profiles_have_names_of_their_own() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    assert PLAIN in FAMILIES


def test_phrases_are_separate_from_the_trusted_prompt() -> None:
    asked = choose_profile("deepseek-vl2").locate_prompt(["the <image> giraffe"])
    assert asked == ("<|ref|>", "the <image> giraffe", "<|/ref|>.")
    assert [isinstance(part, TrustedText) for part in asked] == [True, False, True]


def test_several_phrases_need_a_family_that_accepts_them() -> None:
    assert (
        "".join(choose_profile("paligemma").locate_prompt(["cat", "dog"])) == "detect cat ; dog\n"
    )
    with pytest.raises(ValueError, match="one phrase at a time"):
        choose_profile("llava-1.5").locate_prompt(["cat", "dog"])
    with pytest.raises(ValueError, match="no boxes"):
        choose_profile("gpt-5").locate_prompt(["cat"])


@pytest.mark.parametrize(
    ("phrase", "question"),
    [
        ("white van", "Where is the white van?"),
        ("The white van", "Where is The white van?"),
        ("白色货车", "白色货车在哪里？"),
    ],
)
def test_the_built_in_model_is_asked_as_it_was_trained(phrase: str, question: str) -> None:
    assert "".join(choose_profile("builtin-llava").locate_prompt([phrase])) == question


def test_every_family_can_say_in_words_which_numbers_it_writes() -> None:
    wordings = {f.name: f.box_format.description for f in FAMILIES if f.box_format is not None}
    assert wordings["gemma"].startswith("boxes as [y0, x0, y1, x1], whole numbers from 0 to 1000")
    assert wordings["qwen2.5-vl"] == "boxes as [x0, y0, x1, y1] in pixels of the picture"
    assert "decimals from 0 to 1" in wordings["llava-1.5"]
    assert "points" in wordings["molmo"]


def test_iou_of_known_overlaps() -> None:
    assert iou((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert iou((0, 0, 1, 1), (2, 2, 3, 3)) == 0
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0
