"""Questions with their answers are read as typed statements, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sightline.tools.answers.statements.statement_reader import read_statement
from sightline.tools.answers.statements.statement_types import ClaimStatement, Kind, singular


def stated(kind: Kind, subject: str = "", **fields: Any) -> ClaimStatement:
    return ClaimStatement(kind, subject, **fields)


COUNTS = (
    ("How many red vans are there?", "3", "red van"),
    ("how many red vans can you see in the picture", "three", "red van"),
    ("Count the red vans.", "There are 3.", "red van"),
    ("What is the number of red vans?", "3", "red van"),
    ("Please tell me how many vans are red", "3 vans", "red van"),
    ("Can you tell me how many red vans are parked on the street?", "3", "red van"),
    ("How many of the red vans are shown here?", "three", "red van"),
    ("有几辆红色面包车？", "3", "红色面包车"),
    ("图中有多少辆红色面包车？", "三辆", "红色面包车"),
    ("请问这张照片里一共有几辆红色面包车", "3辆", "红色面包车"),
    ("红色面包车有几辆？", "3", "红色面包车"),
    ("红色面包车的数量是多少？", "3", "红色面包车"),
    ("数一数红色面包车有多少辆", "三", "红色面包车"),
)


@pytest.mark.parametrize(("question", "claim", "subject"), COUNTS)
def test_counts(question: str, claim: str, subject: str) -> None:
    assert read_statement(question, claim) == stated("count", subject, number=3.0)


@pytest.mark.parametrize(
    ("question", "claim", "subject", "holds"),
    [
        ("Is there a dog?", "yes", "dog", True),
        ("Are there any dogs in this photo?", "No.", "dog", False),
        ("Can you see a dog anywhere?", "Yes, there is one", "dog", True),
        ("Does the picture show a dog?", "no", "dog", False),
        ("Does it have any dogs", "No, it does not", "dog", False),
        ("Is a dog visible?", "yes", "dog", True),
        ("Do you see some dogs?", "yes", "dog", True),
        ("What is in the picture?", "a dog", "dog", True),
        ("What kind of animal is this?", "dog", "dog", True),
        ("有狗吗？", "是", "狗", True),
        ("图片里有没有狗？", "没有", "狗", False),
        ("是否有狗", "有", "狗", True),
        ("能看到狗吗？", "不能", "狗", False),
        ("这是什么动物？", "狗", "狗", True),
    ],
)
def test_existence(question: str, claim: str, subject: str, holds: bool) -> None:
    assert read_statement(question, claim) == stated("existence", subject, holds=holds)


@pytest.mark.parametrize(
    ("question", "subject"),
    [
        ("Where is the red van?", "red van"),
        ("Where can I find the red van in the image?", "red van"),
        ("Locate the red van", "red van"),
        ("Point to the red van.", "red van"),
        ("Tell me where the red van is", "red van"),
        ("Show me the red van", "red van"),
        ("红色面包车在哪里？", "红色面包车"),
        ("红色面包车在哪儿", "红色面包车"),
        ("请找出红色面包车", "红色面包车"),
        ("红色面包车位于什么位置？", "红色面包车"),
    ],
)
def test_locations(question: str, subject: str) -> None:
    claim = "红色面包车" if not subject.isascii() else "the red van"
    assert read_statement(question, claim) == stated("location", subject)


@pytest.mark.parametrize(
    ("question", "claim", "expected"),
    [
        ("Is the van left of the bus?", "yes", ("van", "left", "bus", True)),
        ("Is the van to the left of the bus?", "no", ("van", "left", "bus", False)),
        ("Is the van on the right side of the bus?", "Yes.", ("van", "right", "bus", True)),
        ("Is the van under the bus?", "no", ("van", "below", "bus", False)),
        ("Is the van next to the bus?", "yes", ("van", "beside", "bus", True)),
        ("What is just left of the bus?", "the van", ("van", "left", "bus", True)),
        ("Which vehicle is above the bus?", "van", ("van", "above", "bus", True)),
        ("Is the van above or below the bus?", "below", ("van", "below", "bus", True)),
        ("On which side of the bus is the van?", "on the right", ("van", "right", "bus", True)),
        ("What do you see?", "The van is left of the bus", ("van", "left", "bus", True)),
        ("Describe it.", "The van is not above the bus.", ("van", "above", "bus", False)),
        ("面包车在公共汽车的左边吗？", "是", ("面包车", "left", "公共汽车", True)),
        ("公共汽车的右边是什么？", "面包车", ("面包车", "right", "公共汽车", True)),
        ("面包车在公共汽车的上面还是下面？", "下面", ("面包车", "below", "公共汽车", True)),
        ("面包车在公共汽车的哪一边？", "左边", ("面包车", "left", "公共汽车", True)),
        ("紧挨着公共汽车左边的是什么？", "面包车", ("面包车", "left", "公共汽车", True)),
    ],
)
def test_relations(question: str, claim: str, expected: tuple[str, Any, str, bool]) -> None:
    subject, relation, other, holds = expected
    found = read_statement(question, claim)
    assert found is not None
    expected_statement = stated("relation", subject, other=other, relation=relation, holds=holds)
    assert replace(found, is_nearest=False) == expected_statement


def test_what_is_beside_something_is_the_nearest() -> None:
    for question, claim in (
        ("What is just left of the bus?", "van"),
        ("公共汽车的右边是什么？", "面包车"),
    ):
        found = read_statement(question, claim)
        assert found is not None
        assert found.is_nearest
    found = read_statement("Is the van left of the bus?", "yes")
    assert found is not None
    assert not found.is_nearest


@pytest.mark.parametrize(
    ("question", "claim", "kind", "subject"),
    [
        ("Excuse me, could you tell me how many vans there are?", "2", "count", "van"),
        ("Bars: how many?", "3", "count", "Bar"),
        ("Can we say that there is a purple chair?", "yes", "existence", "purple chair"),
        ("I want to know whether the van is red.", "no", "color", "van"),
        ("What is it drawn on?", "pink paper", "color", "paper"),
        ("Is it a circle?", "no", "existence", "circle"),
        ("Couch color", "black", "color", "Couch"),
        ("你好，请问有多少个扇形？", "5", "count", "扇形"),
        ("想问一下，它的价格是什么？", "$4", "reading", ""),
        ("有红色的车，对吗？", "是", "existence", "红色的车"),
        ("把橙色五角星圈出来", "橙色五角星", "location", "橙色五角星"),
        ("画在什么上面？", "粉纸", "color", "纸"),
    ],
)
def test_what_surrounds_a_question_is_left_out(
    question: str, claim: str, kind: str, subject: str
) -> None:
    found = read_statement(question, claim)
    assert found is not None
    assert (found.kind, found.subject) == (kind, subject)


@pytest.mark.parametrize(
    "question",
    ["How many people are wearing hats?", "How many vertebrae are lettered?", "标了多少个椎体？"],
)
def test_a_count_of_some_of_the_things_is_not_read_as_that_of_all(question: str) -> None:
    assert read_statement(question, "3") is None


@pytest.mark.parametrize(
    ("question", "claim", "expected"),
    [
        ("What colour is the van?", "red", ("van", "red", True)),
        ("Which color does the van have?", "It is red.", ("van", "red", True)),
        ("What's the color of the van in this picture?", "a red one", ("van", "red", True)),
        ("Do you know what color the van is?", "red", ("van", "red", True)),
        ("Is the van red?", "no", ("van", "red", False)),
        ("Is the van red or blue?", "blue", ("van", "blue", True)),
        ("What kind of vehicle is red?", "van", ("van", "red", True)),
        ("Which one is red?", "the van", ("van", "red", True)),
        ("Describe it.", "The van is dark red", ("van", "red", True)),
        ("面包车是什么颜色？", "红色", ("面包车", "red", True)),
        ("面包车的颜色是什么？", "红色的", ("面包车", "red", True)),
        ("红色的是什么车？", "面包车", ("面包车", "red", True)),
        ("面包车是红色的吗？", "不是", ("面包车", "red", False)),
    ],
)
def test_colors(question: str, claim: str, expected: tuple[str, str, bool]) -> None:
    subject, value, holds = expected
    assert read_statement(question, claim) == stated("color", subject, value=value, holds=holds)


@pytest.mark.parametrize(
    ("question", "claim", "subject", "field", "value"),
    [
        ("What is the total?", "18.00", "", "total", "18.00"),
        ("What's the total amount on the receipt?", "RM 18.00", "receipt", "total amount", None),
        ("What does the sign say?", '"HOTEL"', "sign", "", "HOTEL"),
        ("What is written on the sign?", "HOTEL", "sign", "", "HOTEL"),
        ("What is the date?", "The date is 6 May 2018", "", "date", "6 May 2018"),
        ("What time is it?", "8:00", "", "time", "8:00"),
        ("How much does the mug cost?", "$15", "mug", "price", "$15"),
        ("How much is it?", "$15", "", "price", "$15"),
        ("What is the value of East?", "50", "East", "value", "50"),
        ("价格是多少？", "15元", "", "价格", "15元"),
        ("招牌上写着什么？", "HOTEL", "招牌", "", "HOTEL"),
        ("East的数值是多少？", "50", "East", "数值", "50"),
        ("图上的日期是什么？", "2026-12-10", "", "日期", "2026-12-10"),
    ],
)
def test_readings(question: str, claim: str, subject: str, field: str, value: str | None) -> None:
    found = read_statement(question, claim)
    assert found is not None
    assert (found.kind, found.subject, found.field) == ("reading", subject, field)
    assert found.value == (claim if value is None else value)


@pytest.mark.parametrize(
    ("question", "claim", "expected"),
    [
        (
            "Which is taller, the lamp or the oven?",
            "the oven",
            stated("comparison", "oven", other="lamp", measure="height"),
        ),
        (
            "Is the lamp bigger than the oven?",
            "no",
            stated("comparison", "lamp", other="oven", measure="size", holds=False),
        ),
        (
            "Are there more vans than buses?",
            "yes",
            stated("comparison", "van", other="bus", measure="count"),
        ),
        (
            "Does it cost more than $20?",
            "yes",
            stated("comparison", field="price", number=20.0, measure="value"),
        ),
        (
            "Is the width less than 70 mm?",
            "no",
            stated(
                "comparison", field="width", number=70.0, measure="value", more=False, holds=False
            ),
        ),
        (
            "Is it before 8:30?",
            "yes",
            stated("comparison", number=510.0, measure="time", more=False),
        ),
        (
            "灯和烤箱哪个更高？",
            "灯",
            stated("comparison", "灯", other="烤箱", measure="height"),
        ),
        (
            "价格高于$20吗？",
            "否",
            stated("comparison", field="价格", number=20.0, measure="value", holds=False),
        ),
        (
            "面包车比公共汽车多吗？",
            "是",
            stated("comparison", "面包车", other="公共汽车", measure="count"),
        ),
    ],
)
def test_comparisons(question: str, claim: str, expected: ClaimStatement) -> None:
    assert read_statement(question, claim) == expected


@pytest.mark.parametrize(
    ("question", "claim", "value", "holds"),
    [
        ("Is it day, evening or night?", "night", "night", True),
        ("What time of day is it?", "It is in the morning", "day", True),
        ("Is it dark?", "no", "night", False),
        ("现在是白天、傍晚还是夜晚？", "傍晚", "evening", True),
    ],
)
def test_times_of_day(question: str, claim: str, value: str, holds: bool) -> None:
    found = read_statement(question, claim)
    assert found == stated("time_of_day", value=value, holds=holds)


@pytest.mark.parametrize(
    ("question", "claim"),
    [
        ("How many vans are there?", "1 or 2"),
        ("How many vans are there?", "many"),
        ("What colour is the van?", "red and blue"),
        ("What colour is the van?", "shiny"),
        ("Which is taller, the lamp or the oven?", "equal"),
        ("Which is taller, the lamp or the oven?", "the fridge"),
        ("Is the van above or below the bus?", "in the garage"),
        ("Why is the van parked there?", "because it is late"),
        ("What comes just after Pack?", "Ship"),
        ("What is the last step?", "Ship"),
        ("最后一步是什么？", "Ship"),
        ("Pack之后是什么？", "Ship"),
        ("", ""),
        ("?", "yes"),
        # It states something else than what was asked.
        ("How many vans are there?", "The van is red"),
    ],
)
def test_what_is_not_understood_is_not_guessed(question: str, claim: str) -> None:
    assert read_statement(question, claim) is None


def test_hostile_text_is_read_in_linear_time() -> None:
    for text in ("is the " * 4000, "how many " + "a" * 20_000, "在" * 20_000, "的左边" * 5_000):
        read_statement(text, text)


@pytest.mark.parametrize(
    ("plural", "one"),
    [
        ("red buses", "red bus"),
        ("people", "person"),
        ("berries", "berry"),
        ("boxes", "box"),
        ("crosses", "cross"),
        ("bus", "bus"),
        ("glass", "glass"),
        ("GPS", "GPS"),
        ("车", "车"),
    ],
)
def test_the_singular_of_a_phrase(plural: str, one: str) -> None:
    assert singular(plural) == one
