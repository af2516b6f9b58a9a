"""Tests of other wordings of the questions of the synthetic world."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from sightline.training.vlm.data.wordings.grammar import Grammar, Wording, parse_choices
from sightline.training.vlm.data.wordings.rephrase import Wordings, add_typo
from sightline.training.world.core.scene import Language, Question
from sightline.training.world.core.splits import seed_of
from sightline.training.world.families import FAMILIES, draw

CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def wordings() -> Wordings:
    return Wordings.load(rate=1.0)


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    scenes = [
        draw(family, seed_of("train", number), "train")
        for family in FAMILIES
        for number in range(8)
    ]
    return [question for scene in scenes for question in scene.questions]


def unchanged(_rng: random.Random, text: str) -> str:
    return text


def grammar_of(folder: Path, rules: str) -> Grammar:
    path = folder / "rules.txt"
    path.write_text(rules, encoding="utf-8")
    return Grammar.load([path], {"left of": ("to the left of",)})


def sampled(grammar: Grammar, question: str, count: int = 200) -> set[str]:
    rng = random.Random(0)
    found = (grammar.sample(rng, question, unchanged) for _ in range(count))
    return {each.text for each in found if each is not None}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_question_has_at_least_twenty_wordings(
    wordings: Wordings, questions: list[Question], language: Language
) -> None:
    rng = random.Random(0)
    asked = {each.question for each in questions if each.language == language}
    assert len(asked) > 300
    for question in asked:
        found: set[str] = set()
        for _ in range(120):
            found.add(wordings.rephrase(rng, question, language))
            if len(found) >= 20:
                break
        assert len(found) >= 20, question


def test_wordings_have_the_language_of_the_question(
    wordings: Wordings, questions: list[Question]
) -> None:
    rng = random.Random(1)
    for question in rng.sample(questions, 400):
        text = wordings.rephrase(rng, question.question, question.language)
        assert bool(CHINESE.search(text)) == (question.language == "zh"), text


@pytest.mark.parametrize(
    ("question", "language", "kept"),
    [
        ("What is the value of Paris?", "en", ["paris"]),
        ("Which comes first, Open or Wash?", "en", ["open", "wash"]),
        ("Is JK more than 17?", "en", ["jk", "17"]),
        ("Feb的右边紧挨着什么？", "zh", ["feb"]),
        ("L2和L5哪个更低？", "zh", ["l2", "l5"]),
    ],
)
def test_wordings_keep_names_and_numbers(
    wordings: Wordings, question: str, language: str, kept: list[str]
) -> None:
    rng = random.Random(2)
    for _ in range(150):
        text = wordings.rephrase(rng, question, language).lower()
        assert all(each in text for each in kept), text


def test_wordings_name_the_subject(wordings: Wordings) -> None:
    rng = random.Random(3)
    texts = [wordings.rephrase(rng, "What is the price?", "en", ["TH-8254"]) for _ in range(200)]
    assert 10 < sum("TH-8254" in each for each in texts) < 60


def test_rate_is_the_share_of_changed_questions() -> None:
    wordings, rng = Wordings.load(rate=0.5), random.Random(4)
    question = "How many windows are there?"
    same = sum(wordings.rephrase(rng, question, "en") == question for _ in range(400))
    assert 160 < same < 240


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_has_unanswerable_questions(wordings: Wordings, family: str) -> None:
    rng = random.Random(5)
    english = {wordings.unanswerable_question(rng, family, "en") for _ in range(60)}
    chinese = {wordings.unanswerable_question(rng, family, "zh") for _ in range(60)}
    assert len(english) > 20
    assert len(chinese) > 20
    assert not any(map(CHINESE.search, english))
    assert all(map(CHINESE.search, chinese))


def test_the_rule_with_the_longest_fixed_text_applies(tmp_path: Path) -> None:
    grammar = grammar_of(
        tmp_path,
        "= What is {x}?\n? general\n= What is the {w:first|last} step?\n? {w} one\n"
        "=+ What is the first step?\n? fixed\n",
    )
    assert sampled(grammar, "What is the first step?") == {"fixed", "first one"}
    assert sampled(grammar, "What is the last step?") == {"last one"}
    assert sampled(grammar, "What is love?") == {"general"}
    assert grammar.sample(random.Random(0), "Who?", unchanged) is None


def test_choices_options_and_synonyms_are_expanded(tmp_path: Path) -> None:
    grammar = grammar_of(
        tmp_path,
        "= What is {j:just|} {r:left of|inside} {x}?\n? what[ is|'s] {r+} [the [big|old]|] {x}s?\n",
    )
    found = sampled(grammar, "What is left of car?", 400)
    assert "what's to the left of the old cars" in found
    assert "what is to the left of  car" in found
    assert len(found) == 12
    assert "what is inside the big cars" in sampled(grammar, "What is just inside car?", 400)
    assert {parse_choices("a?[?]", "?")(random.Random(n)) for n in range(20)} == {"a?", "?"}


@pytest.mark.parametrize(
    "rules", ["? no rule first\n", "= a\nx unknown type\n", "= a\n? [open\n", "= a\n? closed]\n"]
)
def test_broken_rules_are_rejected(tmp_path: Path, rules: str) -> None:
    with pytest.raises(ValueError, match=r"rule|\]"):
        grammar_of(tmp_path, rules)


def test_a_typo_changes_one_word_but_no_name() -> None:
    rng = random.Random(6)
    text = "where is the yellow hexagon"
    for _ in range(50):
        changed = add_typo(rng, text, ["yellow hexagon"])
        assert changed != text or changed.startswith("where")
        assert changed.endswith(" is the yellow hexagon")
    assert add_typo(rng, "is L3 ok", ()) == "is L3 ok"


def test_a_wording_says_what_it_copied(tmp_path: Path) -> None:
    grammar = grammar_of(tmp_path, "= Is {a} {w:on|off} {b}?\n? {b} {w} {a}\n")
    found = grammar.sample(random.Random(0), "Is this on that?", unchanged)
    assert found == Wording("?", "that on this", ("this", "that"))
