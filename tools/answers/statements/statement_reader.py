"""Read a question with its claim as one statement, in English or Chinese."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from sightline.tools.answers.statements.chinese_statements import CHINESE
from sightline.tools.answers.statements.color_words import color_names
from sightline.tools.answers.statements.english_statements import ENGLISH
from sightline.tools.answers.statements.question_frames import iter_unframed
from sightline.tools.answers.statements.statement_types import (
    ClaimStatement,
    Grammar,
    QuestionForm,
    flatten,
    object_phrase,
    singular,
)
from sightline.tools.answers.statements.written_values import read_count
from sightline.tools.answers.text_matching import contains_phrase

#: Kinds of sentences that a question may ask to confirm: "There are two vans, right?".
_CONFIRMED: Final = ("count", "existence", "relation", "color", "comparison")
_CHINESE_LETTER: Final = re.compile(r"[\u4e00-\u9fff]")
_MAX_CHARS: Final = 500
#: Answers of more words are sentences and not names of objects.
_MAX_NAME_WORDS: Final = 6
_EQUAL: Final = re.compile(r"\b(?:equal|same|identical|neither)\b|相等|一样|相同", re.IGNORECASE)


def read_statement(question: str, claim: str) -> ClaimStatement | None:
    """Return what the claim states as the answer to the question.

    None if either cannot be read: a wrong reading would check another statement.
    """
    asked, said = flatten(question)[:_MAX_CHARS], flatten(claim)[:_MAX_CHARS]
    form = _read_question(asked)
    if form is not None and (statement := _fill(form, said)) is not None:
        return statement
    sentence = _grammar(said).read_sentence(said)
    # A sentence about something else than the question asks does not answer it.
    if form is None or (sentence is not None and _is_about(form, sentence)):
        return sentence
    return None


def _read_question(asked: str) -> QuestionForm | None:
    """Return the form of a question, which may be a sentence to confirm."""
    grammar = _grammar(asked)
    for bare in iter_unframed(asked):
        if (form := grammar.read_question(bare)) is not None:
            return form
        sentence = grammar.read_sentence(bare)
        if sentence is not None and sentence.kind in _CONFIRMED:
            return QuestionForm(sentence, "truth")
    return None


def _grammar(text: str) -> Grammar:
    return CHINESE if _CHINESE_LETTER.search(text) else ENGLISH


def _is_about(form: QuestionForm, sentence: ClaimStatement) -> bool:
    return form.statement.kind == sentence.kind


def _fill(form: QuestionForm, said: str) -> ClaimStatement | None:
    """Return the statement of the question with the answer filled in."""
    statement, grammar = form.statement, _grammar(said)
    if form.wanted == "box":
        return statement
    if form.wanted == "truth":
        truth = grammar.read_truth(said)
        return None if truth is None else replace(statement, holds=truth == statement.holds)
    if form.wanted == "number":
        count = read_count(said)
        return None if count is None else replace(statement, number=float(count))
    if form.wanted == "side":
        side = grammar.read_side(said)
        return None if side is None else replace(statement, relation=side)
    if form.wanted == "one_of":
        return _fill_choice(statement, said)
    if form.wanted == "subject":
        # An open question may have any statement as its answer.
        if statement.kind == "existence" and (sentence := grammar.read_sentence(said)):
            return sentence
        name = _name(said)
        return None if name is None else replace(statement, subject=name)
    return _fill_value(statement, said)


def _fill_choice(statement: ClaimStatement, said: str) -> ClaimStatement | None:
    """Put the chosen one of two objects first."""
    if _EQUAL.search(said):
        return None
    named = [each for each in (statement.subject, statement.other) if contains_phrase(said, each)]
    if len(named) != 1:
        # "angle X" is in "angle XY": the longer name is meant.
        named = [each for each in named if object_phrase(said).casefold() == each.casefold()]
    if len(named) != 1:
        return None
    other = statement.other if named[0] == statement.subject else statement.subject
    return replace(statement, subject=named[0], other=other)


def _fill_value(statement: ClaimStatement, said: str) -> ClaimStatement | None:
    if statement.kind == "color":
        colors = color_names(said)
        return replace(statement, value=colors.pop()) if len(colors) == 1 else None
    if statement.kind == "time_of_day":
        part = _grammar(said).read_day_part(said)
        return None if part is None else replace(statement, value=part)
    if statement.kind == "reading":
        sentence = _grammar(said).read_sentence(said)
        if sentence is not None and sentence.kind == "reading":
            return replace(statement, value=sentence.value)
    value = object_phrase(said)
    return replace(statement, value=value) if value else None


def _name(said: str) -> str | None:
    """Return an answer that names one object, None for a sentence or an empty answer."""
    name = object_phrase(said)
    is_name = name and len(name.split()) <= _MAX_NAME_WORDS and not _EQUAL.search(name)
    return singular(name) if is_name else None
