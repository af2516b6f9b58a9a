"""Malformed boxes are repaired or left out, and both are reported."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.tools.boxes.box_parser import BoxParseResult, parse_boxes
from sightline.tools.boxes.model_families import FAMILIES, choose_profile
from sightline.tools.boxes.tolerant_json import MAX_CHARS, documents

SQUARE = (1000, 1000)
BOX = pytest.approx((0.1, 0.2, 0.3, 0.4))


def read(text: str, model: str = "qwen3-vl") -> BoxParseResult:
    profile = choose_profile(model)
    return parse_boxes(text, profile, profile.place(SQUARE))


@pytest.mark.parametrize(
    "text",
    [
        '```json\n[{"bbox_2d": [100, 200, 300, 400], "label": "car"}]\n```',
        '```\n{"bbox": [100, 200, 300, 400], "label": "car"}\n```',
        'Sure! {"box_2d": [100, 200, 300, 400], "label": "car"} That is the car.',
        '{"objects": [{"name": "car", "bounding_box": [100.0, 200.0, 300.0, 400.0]}]}',
        "[{'bbox_2d': [100, 200, 300, 400], 'label': 'car'}]",
        '[{bbox_2d: [100, 200, 300, 400], label: "car",},]',
        '[{"label": "car", "bbox_2d": "[100, 200, 300, 400]"}]',
        '[{"label": "car", "bbox_2d": ["100", "200", "300", "400"]}]',
        '[{"label": "car", "x1": 100, "y1": 200, "x2": 300, "y2": 400}]',
        '{"label": "car", "bbox_2d": [[100, 200, 300, 400]]}',
        '{"car": [100, 200, 300, 400]}',
        'There are [2] wheels. [{"bbox_2d": [100, 200, 300, 400], "label": "car"}]',
    ],
)
def test_reads_labelled_boxes_in_many_forms(text: str) -> None:
    found = read(text)
    assert [(m.label, m.box) for m in found.boxes] == [("car", BOX)]
    assert found.raw == text


@pytest.mark.parametrize(
    "text",
    [
        "[100, 200, 300, 400]",
        "[[100,200,300,400]]",
        "(100, 200), (300, 400)",
        "at [ 100,200 ,300,400 ].",
    ],
)
def test_reads_bare_lists(text: str) -> None:
    found = read(text)
    assert (found.status, [m.box for m in found.boxes]) == ("found", [BOX])


@pytest.mark.parametrize(
    "text",
    [
        '[{"bbox_2d": [100, 200, 300, 400], "label": "car"}, {"bbox_2d": [500, 60',
        '[{"bbox_2d": [100, 200, 300, 400], "label": "car"}, {"bbox_2d": [500, 600, 700, 80',
        '```json\n[{"bbox_2d": [100, 200, 300, 400], "label": "car"',
        "[[100, 200, 300, 400], [500, 600, 700, 80",
    ],
)
def test_keeps_whole_boxes_of_a_truncated_answer_and_drops_the_cut_one(text: str) -> None:
    found = read(text)
    assert (found.status, [m.box for m in found.boxes]) == ("repaired", [BOX])
    assert "cut off" in found.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "None.",
        "[]",
        "```json\n[]\n```",
        '{"bbox_2d": null}',
        '{"label": "car", "bbox_2d": null}',
        '{"boxes": []}',
        "There are none.",
        "not shown",
        "图中没有。",
    ],
)
def test_a_model_can_say_that_an_object_is_absent(text: str) -> None:
    found = read(text)
    assert (found.status, found.boxes) == ("absent", ())


def test_absent_labels_are_listed_besides_found_boxes() -> None:
    found = read(
        '[{"label": "car", "bbox_2d": [100, 200, 300, 400]}, {"label": "dog", "bbox_2d": null}]'
    )
    assert (found.status, found.absent, len(found.boxes)) == ("found", ("dog",), 1)


@pytest.mark.parametrize("text", ["[300, 400, 100, 200]", "[300, 200, 100, 400]"])
def test_swapped_corners_are_sorted(text: str) -> None:
    found = read(text)
    assert (found.status, [m.box for m in found.boxes]) == ("repaired", [BOX])
    assert "wrong order" in found.notes[0]


def test_numbers_slightly_outside_the_image_are_clipped() -> None:
    found = read("[-20, 200, 1040, 400]")
    assert found.status == "repaired"
    assert found.boxes[0].box == pytest.approx((0, 0.2, 1, 0.4))
    assert found.boxes[0].pixels == (0, 200, 1000, 400)


def test_numbers_far_outside_the_image_are_left_out_not_reinterpreted() -> None:
    found = read("[100, 200, 300, 400]", "llava-1.5")
    assert (found.status, found.boxes) == ("unreadable", ())
    assert "[100, 200, 300, 400] is outside the image" in found.notes[0]


def test_a_box_in_the_padding_is_left_out() -> None:
    profile = choose_profile("llava-1.5")
    found = parse_boxes("[0.1, 0.0, 0.9, 0.2]", profile, profile.place((1000, 500)))
    assert found.status == "unreadable"
    assert "padding" in found.notes[0]


def test_an_empty_box_is_left_out() -> None:
    assert "is empty" in read("[100, 200, 100, 400]").notes[0]


def test_corners_given_by_name_need_no_order() -> None:
    text = '[{"label": "car", "xmin": 100, "ymin": 200, "xmax": 300, "ymax": 400}]'
    assert read(text, "gemma-4").boxes[0].box == BOX


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The car is on the left.",
        "[1, 2, 3]",
        "[1, 2, 3, 4, 5]",
        '{"bbox_2d": [NaN, 1, 2, Infinity]}',
        '{"bbox_2d": ["a", "b", "c", "d"]}',
        '{"bbox_2d": [true, false, true, true]}',
        '{"bbox_2d": [1e999, 1, 2, 3]}',
        "__import__('os').system('true')",
        "[" * 100_000,
        '{"a":' * 20_000,
        "<point " * 10_000,
    ],
)
def test_text_without_a_box_is_unreadable(text: str) -> None:
    for family in FAMILIES:
        if family.box_format is not None:
            found = parse_boxes(text, family, family.place(SQUARE))
            assert (found.status, found.boxes) == ("unreadable", ()), family.name


def test_no_more_than_a_hundred_boxes_are_read() -> None:
    found = read(", ".join(["[100, 200, 300, 400]"] * 101))
    assert len(found.boxes) == 100
    assert "first 100" in found.notes[0]


@pytest.mark.parametrize(
    "unit",
    ['{"a" 1 ', "[1,", '"{[\\"', "{'", "[[1,2,3,4],", "(1,2),(", "<ref>", "<loc0001>", "[ ", "- "],
)
def test_work_stays_in_proportion_to_hostile_text(unit: str) -> None:
    # The time limit of the test run is the bound: quadratic reading would take minutes.
    text = unit * (MAX_CHARS // len(unit))
    for family in FAMILIES:
        parse_boxes(text, family, family.place(SQUARE))


_ANSWER_PIECES = st.sampled_from(
    [
        *("[", "]", "{", "}", "(", ")", ",", ":", '"', "'", "\\", "\\u", "<", ">", " ", "\n", "-"),
        *("null", "bbox_2d", "label", "```json", "1", "0.5", "9999999999", "1e5"),
        *("<ref>", "</ref>", "<loc0123>", "<loc_12>", "<patch_index_0012>", '<point x="1" y="2"'),
        *("车", "\ud800", "\x00"),
    ]
)


@given(
    text=st.one_of(st.text(max_size=300), st.lists(_ANSWER_PIECES, max_size=60).map("".join)),
    family=st.sampled_from(FAMILIES),
    width=st.integers(1, 4000),
    height=st.integers(1, 4000),
)
def test_boxes_lie_inside_the_image_for_any_text(
    text: str, family: object, width: int, height: int
) -> None:
    profile = choose_profile("", family.name)  # type: ignore[attr-defined]
    found = parse_boxes(text, profile, profile.place((width, height)))
    assert found.raw == text
    assert (found.status in ("found", "repaired")) == bool(found.boxes)
    for mark in found.boxes:
        x0, y0, x1, y1 = mark.box
        assert 0 <= x0 <= x1 <= 1
        assert 0 <= y0 <= y1 <= 1
        left, top, right, bottom = mark.pixels
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height


def test_json_is_read_with_its_escapes_and_without_half_surrogates() -> None:
    (document,) = documents(r'{"label": "a\"b\n车\ud800", "none": None, "yes": True}')
    assert document.value == {"label": 'a"b\n车', "none": None, "yes": True}


def test_values_behind_broken_ones_are_still_read() -> None:
    values = [document.value for document in documents('{"a" 1} [2, 3] {oops [4]')]
    assert values == [[2.0, 3.0], [4.0]]
