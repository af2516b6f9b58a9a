"""Each row of the table of box formats, from the format's own definition.

The expected boxes are worked out in the test from what the family's makers state, not with the
code under test. The picture is 1000 x 500 unless a row needs another one.
"""

from __future__ import annotations

import pytest

from sightline.storage.types import Box
from sightline.tools.boxes.box_parser import BoxParseResult, parse_boxes
from sightline.tools.boxes.geometry import Size
from sightline.tools.boxes.model_families import choose_profile

WIDE = (1000, 500)


def read(text: str, model: str, size: Size = WIDE) -> BoxParseResult:
    profile = choose_profile(model)
    return parse_boxes(text, profile, profile.place(size))


def one(text: str, model: str, size: Size = WIDE) -> tuple[str, Box]:
    found = read(text, model, size)
    assert found.status == "found", found
    (mark,) = found.boxes
    return mark.label, mark.box


def test_llava_15_writes_shares_of_the_padded_square() -> None:
    # 1000 x 500 on a square of 1000: 250 pixels above and below. Its top left quarter is
    # x 0 to 500 and y 250 to 500 of the square.
    label, box = one("[0.00, 0.25, 0.50, 0.50]", "llava-hf/llava-1.5-7b-hf")
    assert (label, box) == ("", pytest.approx((0, 0, 0.5, 0.5), abs=1e-6))


def test_llava_16_and_onevision_write_the_same_shares() -> None:
    for model in ("llava-hf/llava-v1.6-mistral-7b-hf", "llava-hf/llava-onevision-qwen2-7b-ov-hf"):
        assert one("[0.00, 0.25, 0.50, 0.50]", model)[1] == pytest.approx((0, 0, 0.5, 0.5))


def test_qwen2_vl_writes_pairs_in_box_tokens_by_thousandths() -> None:
    text = (
        "<|object_ref_start|>the eyes on a giraffe<|object_ref_end|>"
        "<|box_start|>(176,106),(232,160)<|box_end|>"
    )
    assert one(text, "Qwen/Qwen2-VL-7B-Instruct") == (
        "the eyes on a giraffe",
        pytest.approx((0.176, 0.106, 0.232, 0.160)),
    )


def test_qwen2_vl_is_read_when_a_server_has_stripped_its_tokens() -> None:
    assert one("the eyes on a giraffe(176,106),(232,160)", "Qwen2-VL-2B") == (
        "the eyes on a giraffe",
        pytest.approx((0.176, 0.106, 0.232, 0.160)),
    )


def test_qwen25_vl_writes_pixels_of_the_resized_image() -> None:
    # 1000 x 500 becomes multiples of 28: 1008 x 504 (36 and 18 times 28).
    text = '```json\n[\n\t{"bbox_2d": [252, 126, 504, 252], "label": "car"}\n]\n```'
    assert one(text, "Qwen/Qwen2.5-VL-7B-Instruct") == (
        "car",
        pytest.approx((0.25, 0.25, 0.5, 0.5)),
    )


def test_qwen3_vl_writes_thousandths_in_json() -> None:
    text = '[{"bbox_2d": [100, 200, 300, 400], "label": "car"}]'
    assert one(text, "Qwen/Qwen3-VL-8B-Instruct") == ("car", pytest.approx((0.1, 0.2, 0.3, 0.4)))


def test_qwen35_and_later_write_thousandths_without_vl_in_their_names() -> None:
    text = '[{"bbox_2d": [100, 200, 300, 400], "label": "car"}]'
    for model in ("Qwen/Qwen3.5-35B-A3B", "qwen3.6:9b", "Qwen/Qwen4-8B-Instruct"):
        assert one(text, model) == ("car", pytest.approx((0.1, 0.2, 0.3, 0.4)))


def test_kimi_vl_writes_shares_of_the_image() -> None:
    # github.com/MoonshotAI/Kimi-VL/issues/56
    text = '{"bbox_2d": [0.280, 0.500, 0.520, 0.700], "label": "van"}'
    assert one(text, "moonshotai/Kimi-VL-A3B-Thinking-2506") == (
        "van",
        pytest.approx((0.28, 0.5, 0.52, 0.7)),
    )


def test_minicpm_v_writes_numbers_without_brackets_by_thousandths() -> None:
    # github.com/OpenBMB/MiniCPM-V/issues/982
    box = pytest.approx((0.1, 0.2, 0.3, 0.4))
    for model in ("openbmb/MiniCPM-V-4_5", "openbmb/MiniCPM-o-2_6"):
        assert one("<ref>book</ref><box>100 200 300 400</box>", model) == ("book", box)
    assert one("<box> 100 200 300 400 </box>", "minicpm-v")[1] == box
    assert one("<box>100 200 300 400<box>", "minicpm-v")[1] == box
    assert one("100 200 300 400", "minicpm-v")[1] == box  # the server removed the tokens
    two = read("<box>100 200 300 400</box>\n<box>500 200 600 400</box>", "minicpm-v")
    assert len(two.boxes) == 2


def test_mimo_vl_writes_pixels_of_the_resized_image() -> None:
    # Its encoder is that of Qwen2.5-VL: 1000 x 500 becomes 1008 x 504.
    text = '```json\n[{"bbox_2d": [252, 126, 504, 252], "label": "car"}]\n```'
    assert one(text, "XiaomiMiMo/MiMo-VL-7B-RL-2508")[1] == pytest.approx((0.25, 0.25, 0.5, 0.5))


def test_intern_s1_writes_as_internvl_does() -> None:
    text = "<ref>car</ref><box>[[100, 200, 300, 400]]</box>"
    for model in ("internlm/Intern-S1", "internlm/Intern-S1-mini"):
        assert one(text, model) == ("car", pytest.approx((0.1, 0.2, 0.3, 0.4)))


def test_glm_v_writes_thousandths_bare_or_in_json() -> None:
    # x = round(x_pixel / width * 1000)
    bare = "The car is at <|begin_of_box|>[[100,200,300,400]]<|end_of_box|>."
    assert one(bare, "zai-org/GLM-4.5V")[1] == pytest.approx((0.1, 0.2, 0.3, 0.4))
    keyed = '[{"label": "car", "bbox_2d": [100, 200, 300, 400]}]'
    assert one(keyed, "zai-org/GLM-4.1V-9B-Thinking") == (
        "car",
        pytest.approx((0.1, 0.2, 0.3, 0.4)),
    )


def test_internvl_writes_reference_and_box_tags_by_thousandths() -> None:
    # Its makers: int(x / width * 1000).
    text = "<ref>car</ref><box>[[100, 200, 300, 400], [500, 200, 600, 400]]</box>"
    found = read(text, "OpenGVLab/InternVL2_5-8B")
    assert [(m.label, m.box) for m in found.boxes] == [
        ("car", pytest.approx((0.1, 0.2, 0.3, 0.4))),
        ("car", pytest.approx((0.5, 0.2, 0.6, 0.4))),
    ]


def test_deepseek_vl2_writes_by_999() -> None:
    # Its makers draw int(x / 999 * width).
    text = "<|ref|>The giraffe at the back.<|/ref|><|det|>[[0, 333, 666, 999]]<|/det|>"
    assert one(text, "deepseek-ai/deepseek-vl2-small") == (
        "The giraffe at the back.",
        pytest.approx((0, 333 / 999, 666 / 999, 1)),
    )


def test_paligemma_writes_location_tokens_rows_first_by_1024() -> None:
    text = "<loc0256><loc0128><loc0512><loc0768> cat ; <loc0000><loc0000><loc1023><loc1023> dog"
    found = read(text, "google/paligemma2-3b-mix-448")
    assert [(m.label, m.box) for m in found.boxes] == [
        ("cat", pytest.approx((128 / 1024, 256 / 1024, 768 / 1024, 512 / 1024))),
        ("dog", pytest.approx((0, 0, 1023 / 1024, 1023 / 1024))),
    ]


def test_gemma_and_gemini_write_rows_first_by_thousandths() -> None:
    text = '```json\n[{"box_2d": [200, 100, 400, 300], "label": "car"}]\n```'
    for model in ("google/gemma-4-E4B-it", "gemini-2.5-flash"):
        assert one(text, model) == ("car", pytest.approx((0.1, 0.2, 0.3, 0.4)))


def test_molmo_points_in_percent() -> None:
    text = ' <point x="61.5" y="40.4" alt="mug">mug</point>'
    found = read(text, "allenai/Molmo-7B-D-0924")
    (mark,) = found.boxes
    assert mark.is_point
    assert (mark.label, mark.box) == ("mug", pytest.approx((0.615, 0.404, 0.615, 0.404)))
    assert mark.pixels == (615, 202, 616, 203)


def test_molmo_writes_several_points_in_one_tag() -> None:
    text = '<points x1="10.0" y1="20.0" x2="30.0" y2="40.0" alt="cars">cars</points>'
    found = read(text, "allenai/Molmo-72B-0924")
    assert [m.box[:2] for m in found.boxes] == [
        pytest.approx((0.1, 0.2)),
        pytest.approx((0.3, 0.4)),
    ]


def test_molmo_2_writes_a_image_and_numbered_points_by_thousandths() -> None:
    text = 'Counting the <points coords="1 1 073 160 2 500 600">boats</points> shows 2.'
    found = read(text, "allenai/Molmo2-8B")
    assert [(m.label, m.box[:2], m.is_point) for m in found.boxes] == [
        ("boats", pytest.approx((0.073, 0.16)), True),
        ("boats", pytest.approx((0.5, 0.6)), True),
    ]
    # What it says of a second image is no place in the first.
    two = '<points coords="1 1 100 200;2 1 300 400">boats</points>'
    assert len(read(two, "Molmo2-4B").boxes) == 1


def test_florence_2_writes_four_bins_after_the_label() -> None:
    # 1000 bins a side; a bin's number stands for its middle. A square image needs no padding.
    text = "green car<loc_52><loc_332><loc_932><loc_774>"
    assert one(text, "microsoft/Florence-2-large", (640, 640)) == (
        "green car",
        pytest.approx((0.0525, 0.3325, 0.9325, 0.7745)),
    )


def test_kosmos_2_writes_two_cells_of_a_grid_of_32() -> None:
    # Its makers' example; a corner is the middle of its cell: 44 is row 1, column 12.
    text = "<phrase>a snowman</phrase><object><patch_index_0044><patch_index_0863></object>"
    assert one(text, "microsoft/kosmos-2-patch14-224", (640, 640)) == (
        "a snowman",
        pytest.approx((12.5 / 32, 1.5 / 32, 31.5 / 32, 26.5 / 32)),
    )


def test_kosmos_2_cells_of_one_row_reach_their_edges() -> None:
    text = "<phrase>a line</phrase><object><patch_index_0032><patch_index_0063></object>"
    assert one(text, "kosmos-2", (640, 640))[1] == pytest.approx((0, 1 / 32, 1, 2 / 32))


def test_the_seed_articles_model_writes_pixels_of_its_input_in_the_text() -> None:
    # Input 336 x 336; a square original of 672 is half of it in each direction.
    profile = choose_profile("any-fine-tuned-llava", "llava-pixels")
    text = "The red box marks the abnormal vertebra [[84,168,168,252]]."
    found = parse_boxes(text, profile, profile.place((672, 672)))
    (mark,) = found.boxes
    assert mark.label == "The red box marks the abnormal vertebra"
    assert mark.box == pytest.approx((0.25, 0.5, 0.5, 0.75))
    assert mark.pixels == (168, 336, 336, 504)


def test_the_built_in_model_writes_shares_of_the_padded_square_behind_its_sources() -> None:
    assert one("white [1] [0.00,0.25,0.50,0.50]", "builtin-llava") == (
        "",
        pytest.approx((0, 0, 0.5, 0.5)),
    )


def test_an_unknown_model_has_no_boxes_and_says_so() -> None:
    found = read("[0.1, 0.2, 0.3, 0.4]", "acme/vision-9000")
    assert (found.status, found.boxes) == ("unsupported", ())
    assert "'plain'" in found.notes[0]
    assert "SIGHTLINE_VLM__PROFILE" in found.notes[0]
