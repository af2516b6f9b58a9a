"""Read English questions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from sightline.tools.answers.statements.color_words import color_names
from sightline.tools.answers.statements.english_sentences import read_sentence
from sightline.tools.answers.statements.english_vocabulary import (
    AMOUNT,
    BE,
    BOUND,
    CLOSE,
    COLOR_WORD,
    COLORS,
    DAY_PART,
    DAY_PARTS,
    HAS,
    MEASURE,
    MEASURES,
    MORE,
    ORDER_WORDS,
    PLACE,
    POLITE,
    RELATION,
    SEE,
    SHOWS,
    SIDE,
    TAIL,
    WHICH,
    A,
    B,
    compared,
    noun,
    read_day_part,
    read_side,
    read_truth,
    relation,
)
from sightline.tools.answers.statements.statement_rules import (
    Match,
    day_question,
    first_match,
    time_bound,
    which_has_color,
)
from sightline.tools.answers.statements.statement_types import (
    ClaimStatement,
    Grammar,
    QuestionForm,
    object_phrase,
)
from sightline.tools.answers.statements.written_values import read_amount


def read_question(question: str) -> QuestionForm | None:
    """Return the form of a flat question, None if it is not understood."""
    text = PLACE.sub("", POLITE.sub("", question.strip(" ?.!"))).strip(" ?.!,")
    return first_match(_QUESTIONS, text, re.IGNORECASE)


def _day_question(match: Match) -> QuestionForm:
    return day_question({DAY_PARTS[word.lower()] for word in DAY_PART.findall(match.group())})


def _time_bound(match: Match) -> QuestionForm | None:
    is_later = match["side"].lower() in ("after", "later than", "past")
    return time_bound(match["time"], is_later=is_later)


def _amount_bound(match: Match) -> QuestionForm | None:
    amount = read_amount(match["amount"])
    if amount is None:
        return None
    word = (match["word"] or match["side"]).lower()
    field = object_phrase(match["field"])
    if match["cost"] or field.lower() in ("it", "") or "expensive" in match.group():
        field = "price"
    statement = ClaimStatement(
        "comparison", field=field, number=amount, measure="value", more=word in MORE
    )
    return QuestionForm(statement, "truth")


def _count_bound(match: Match) -> QuestionForm:
    return QuestionForm(
        ClaimStatement(
            "comparison",
            noun(match["a"]),
            noun(match["b"]),
            measure="count",
            more=match["word"].lower() == "more",
        ),
        "truth",
    )


def _superlative(match: Match) -> QuestionForm:
    measure, more = MEASURES[match["measure"].lower()]
    return QuestionForm(ClaimStatement("comparison", measure=measure, more=more), "subject")


def _related(match: Match) -> ClaimStatement:
    return ClaimStatement("relation", noun(match["a"]), noun(match["b"]), relation=relation(match))


def _related_to(match: Match) -> QuestionForm:
    statement = ClaimStatement(
        "relation", other=noun(match["b"]), relation=relation(match), is_nearest=True
    )
    return QuestionForm(statement, "subject")


def _side_of(match: Match) -> QuestionForm:
    return QuestionForm(ClaimStatement("relation", noun(match["a"]), noun(match["b"])), "side")


def _count(match: Match) -> QuestionForm | None:
    subject = noun(match["a"])
    # "How many people are wearing hats" does not ask for the number of people.
    is_noun = subject and not _VERB.search(subject)
    return QuestionForm(ClaimStatement("count", subject), "number") if is_noun else None


def _counted_color(match: Match) -> QuestionForm:
    return QuestionForm(ClaimStatement("count", f"{match['color']} {noun(match['a'])}"), "number")


def _location(match: Match) -> QuestionForm | None:
    subject = object_phrase(match["a"])
    return QuestionForm(ClaimStatement("location", subject), "box") if subject else None


def _color(match: Match) -> QuestionForm | None:
    subject = noun(match["a"])
    return QuestionForm(ClaimStatement("color", subject), "value") if subject else None


def _colour_of(match: Match) -> QuestionForm | None:
    subject = noun(match["a"] or match["b"])
    is_name = 0 < len(subject.split()) <= 4 and not subject.lower().startswith(("what", "which"))
    return QuestionForm(ClaimStatement("color", subject), "value") if is_name else None


def _is_color(match: Match) -> QuestionForm:
    subject, colors = noun(match["a"]), color_names(match["color"])
    if len(colors) != 1:
        return QuestionForm(ClaimStatement("color", subject), "value")
    return QuestionForm(ClaimStatement("color", subject, value=colors.pop()), "truth")


def _existence(match: Match) -> QuestionForm | None:
    subject = noun(match["a"])
    return QuestionForm(ClaimStatement("existence", subject), "truth") if subject else None


def _reading(field: str) -> Callable[[Match], QuestionForm | None]:
    def build(match: Match) -> QuestionForm | None:
        groups = match.groupdict()
        subject = object_phrase(groups.get("a") or "")
        subject = "" if subject.lower() in ("it", "i", "he", "she", "they") else subject
        named = object_phrase(groups.get("field") or "") or field
        if ORDER_WORDS.search(named):
            return None
        return QuestionForm(ClaimStatement("reading", subject, field=named), "value")

    return build


def _identity(_match: Match) -> QuestionForm:
    return QuestionForm(ClaimStatement("existence"), "subject")


_VERB: Final = re.compile(rf"\b(?:{BE}|have|has|do|does)\b", re.IGNORECASE)

_QUESTIONS: Final[Sequence[tuple[str, Callable[[Match], QuestionForm | None]]]] = (
    (r"what time of (?:the )?day\b.*", _day_question),
    (rf"(?:{BE} (?:it|this)|was (?:it|this) taken)\b.*{DAY_PART.pattern}.*", _day_question),
    (
        (
            rf"{BE} (?:it|the time|this) (?P<side>before|after|earlier than|later than|past) "
            r"(?P<time>.+)"
        ),
        _time_bound,
    ),
    (rf"{BE} there (?P<word>more|fewer|less) {A} than {B}", _count_bound),
    (
        rf"(?:{BE}|do|does|did) (?P<field>.+?) ?(?P<cost>costs? )?(?:{BOUND}) {AMOUNT}",
        _amount_bound,
    ),
    (
        rf"{BE} {A} (?P<measure>{MEASURE}) than {B}",
        lambda match: QuestionForm(compared(match), "truth"),
    ),
    (
        rf"{WHICH} {BE} (?:the )?(?P<measure>{MEASURE})(?: one)?[,:;]? (?:is it )?{A},? or {B}",
        lambda match: QuestionForm(compared(match), "one_of"),
    ),
    (
        rf"compare {A} and {B},? which (?:one )?is (?P<measure>{MEASURE})",
        lambda match: QuestionForm(compared(match), "one_of"),
    ),
    (rf"{WHICH} {BE} (?:the )?(?P<measure>{MEASURE})(?: of (?:all|them).*)?", _superlative),
    (rf"(?:what|which) is the (?P<measure>{MEASURE}) [a-z]+", _superlative),
    (
        rf"{BE} {A} {CLOSE}{SIDE}(?: side)?(?: of)?,? or {SIDE}(?: side)?(?: of)? {B}",
        _side_of,
    ),
    (rf"(?:on |to )?(?:which|what) side of {B} {BE} {A}", _side_of),
    (
        rf"{BE} (?!there ){A} {CLOSE}(?:{RELATION}) {B}",
        lambda match: QuestionForm(_related(match), "truth"),
    ),
    (
        rf"{WHICH} (?:{BE}|stands?|lies|sits|comes|can be seen) {CLOSE}(?:{RELATION}) {B}",
        _related_to,
    ),
    (
        (
            rf"(?:how many|count(?: up)?|(?:what (?:is|'s) )?the (?:total )?(?:number|count) of) "
            rf"(?P<a>.+?) (?:are|is) (?P<color>{COLOR_WORD})"
        ),
        _counted_color,
    ),
    (
        (
            r"(?:how many|count(?: up| all)?(?: the)?(?: how many)?"
            r"|(?:what (?:is|'s) )?(?:the )?(?:total )?"
            rf"(?:number|count) of) (?:different )?(?:of (?:the|these|those) )?{A}{TAIL}"
        ),
        _count,
    ),
    (rf"{A}[:,]? how many{TAIL}", _count),
    (
        (
            rf"(?:where(?:abouts)?(?: {BE}|'s| can (?:i|you|we) (?:find|see)| do you see)|locate"
            r"|find"
            r"|point (?:to|at|out)|(?:draw|put) a box around|show me(?: where)?|highlight|mark)"
            rf" {A}"
            r"(?: (?:is|are|located|shown|placed))?"
        ),
        _location,
    ),
    (rf"where {A} (?:is|are)", _location),
    (
        (
            rf"(?:what|which)(?: kind of)? colou?rs?(?: {BE}| does| do| has| have) {A}"
            r"(?: have| painted)?"
        ),
        _color,
    ),
    (rf"(?:what|which) colou?r {A} (?:is|are)", _color),
    (rf"what(?:'s| {BE}) the colou?rs? of {A}", _color),
    (rf"what colou?red? {A} {BE} (?:it|this|that|there)", _color),
    (rf"{BE} (?!there |it |this )(?P<a>.+?) {COLORS}", _is_color),
    (
        (
            rf"(?:which|what)(?: (?:kind|type|sort) of)?(?: [a-z]+)? (?:is|are) {COLORS}"
            r"(?: in colou?r)?"
        ),
        which_has_color,
    ),
    (
        rf"{BE} there (?:an? |any |some )?{A}(?: (?:visible|present|shown|anywhere|somewhere))?",
        _existence,
    ),
    (rf"{SEE} (?:an? |any |some ){A}(?: anywhere| somewhere)?", _existence),
    (rf"(?:does|do|did) {SHOWS} {HAS} (?:an? |any |some )?{A}", _existence),
    (
        rf"{BE} (?:an? |any ){A} (?:visible|present|shown|seen|marked|named|drawn|there)",
        _existence,
    ),
    (rf"{BE} (?:it|this|that) (?:an? )(?P<a>(?!.*\b(?:or|than)\b).+)", _existence),
    (
        (
            r"what (?:is|was) (?:it|this|that|the [a-z]+) (?:drawn|printed|sketched|painted) on"
            r"|(?:what|which) (?:colou?r|kind|sort) of paper (?:is|was) (?:it|this|used).*"
        ),
        lambda _match: QuestionForm(ClaimStatement("color", "paper"), "value"),
    ),
    (r"(?:the )?(?P<a>.+?)(?:'s)? colou?r|(?:the )?colou?r of (?P<b>.+)", _colour_of),
    (r"what (?:(?:does|do|did) )(?P<a>.+?) (?:says?|read)", _reading("")),
    (
        (
            rf"what(?:'s| {BE}| does it say| text {BE}| words? {BE}| stands) ?"
            rf"(?:written |printed |shown |displayed |engraved |noted )?"
            rf"(?:on|in|inside|above|below) {A}"
        ),
        _reading(""),
    ),
    (
        r"(?:what|which) (?:text|words?) (?:is|are|can be) (?:written|printed|shown|read).*",
        _reading(""),
    ),
    (
        r"(?:what|which) time (?:is|was|does|do|did)\b.*|what(?:'s| is) the time(?: shown)?",
        _reading("time"),
    ),
    (rf"(?:what|which) (?P<field>date|day|year)\b.*|when {BE} .*|when did .*", _reading("date")),
    (
        rf"how much (?:is|are|was|were|does|do|did) {A}(?: cost| pay.*| spend.*)?(?: for .*)?",
        _reading("price"),
    ),
    (rf"how (?P<field>long|wide|tall|high|heavy|deep|old|big) (?:is|are) {A}", _reading("")),
    (rf"what(?:'s| {BE}) the (?P<field>value) (?:of|for) {A}", _reading("value")),
    (
        rf"what(?:'s| {BE}) (?:given|written|printed|stated|noted) (?:for|as|under) {A}",
        _reading("value"),
    ),
    (
        (
            rf"what(?:'s| {BE}) (?:the |this |its )?(?P<field>[a-z][\w -]{{2,40}}?)"
            rf"(?: (?:of|for|on) {A})?"
        ),
        _reading(""),
    ),
    (
        (
            rf"(?:what|which) (?P<field>[a-z]+(?: number)?) (?:is|are) (?:shown|written|printed"
            r"|given)"
            rf"(?: (?:on|for) {A})?"
        ),
        _reading(""),
    ),
    (
        (
            r"what(?: is|'s| are)?|(?:what|which) (?:kind|type|sort|make|breed) of .+"
            r"|what (?:is|are) (?:this|that|these"
            r"|it|there|shown|depicted|visible|for sale).*|(?:what|which) (?:room|animal|vehicle"
            r"|object|product|fruit|shape|figure|place|vegetable)s? (?:is|are|can)\b.*"
            r"|what (?:can|do) (?:you|we|i) see"
        ),
        _identity,
    ),
)


ENGLISH: Final = Grammar(read_question, read_sentence, read_truth, read_side, read_day_part)
