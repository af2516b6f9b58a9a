"""Words and patterns of English statements."""

from __future__ import annotations

import re
from typing import Final

from sightline.tools.answers.statements.statement_rules import Match
from sightline.tools.answers.statements.statement_types import (
    ClaimStatement,
    Measure,
    Relation,
    object_phrase,
    singular,
)

POLITE: Final = re.compile(
    r"^(?:(?:please|hey|hi|so|and|ok|okay|well),?\s+|(?:can|could|would) you (?:please )?"
    r"(?:tell|say to|show|let) me (?:know )?|tell me,? |do you know |i(?:'d| would) like to know "
    r"|i want to know |i need to know |i wonder )+",
    re.IGNORECASE,
)
PLACE: Final = re.compile(
    r",?\s*\b(?:(?:shown|visible|seen|depicted|pictured)\s+)?(?:in|on|at|from|within|of)\s+"
    r"(?:the|this|that)\s+(?:whole\s+)?(?:picture|image|photo(?:graph)?|scene|shot|screenshot"
    r"|drawing|diagram|chart|graph|page|scan|frame)\b(?!'s)|\bhere\b$|\baltogether\b|\bin total\b"
    r"|\bright now\b",
    re.IGNORECASE,
)
BE: Final = r"(?:is|are|was|were|'s)"
RELATIONS: Final[dict[Relation, str]] = {
    "left": r"(?:to |on |at |towards? )?(?:the |its )?left(?:-hand)?(?: side)?(?: of| from| to)",
    "right": r"(?:to |on |at |towards? )?(?:the |its )?right(?:-hand)?(?: side)?(?: of| from| to)",
    "above": r"above|over|on top of|higher up than",
    "below": r"below|under(?:neath)?|beneath",
    "beside": r"beside|next to|adjacent to|alongside|close to|near",
    "inside": r"inside(?: of)?|within",
}
SIDES: Final[dict[str, Relation]] = {
    "left": "left",
    "right": "right",
    "above": "above",
    "over": "above",
    "below": "below",
    "under": "below",
    "underneath": "below",
    "top": "above",
    "bottom": "below",
    "inside": "inside",
    "beside": "beside",
}
RELATION: Final = "|".join(f"(?P<{name}>{pattern})" for name, pattern in RELATIONS.items())
CLOSE: Final = r"(?:just |directly |immediately |right |located |placed |standing |somewhere )*"
SIDE: Final = r"(?:on |to |at )?(?:the )?(?:left|right|above|over|below|under(?:neath)?|top|bottom)"
MEASURES: Final[dict[str, tuple[Measure, bool]]] = {
    **dict.fromkeys(
        ("larger", "bigger", "largest", "biggest", "greater", "greatest"), ("size", True)
    ),
    **dict.fromkeys(("smaller", "smallest", "tiniest"), ("size", False)),
    **dict.fromkeys(("taller", "tallest"), ("height", True)),
    **dict.fromkeys(("shorter", "shortest"), ("height", False)),
    **dict.fromkeys(("wider", "widest"), ("width", True)),
    **dict.fromkeys(("narrower", "narrowest"), ("width", False)),
    **dict.fromkeys(("lower", "lowest"), ("level", True)),
    **dict.fromkeys(("higher", "highest"), ("level", False)),
    **dict.fromkeys(("more expensive", "most expensive", "dearer", "pricier"), ("value", True)),
    **dict.fromkeys(("cheaper", "cheapest", "less expensive", "least expensive"), ("value", False)),
}
MEASURE: Final = "|".join(sorted(MEASURES, key=len, reverse=True))
MORE: Final = frozenset(
    (
        *("more", "greater", "larger", "bigger", "higher", "longer", "taller", "wider"),
        *("over", "above", "heavier", "later", "after"),
    )
)
BOUND: Final = (
    r"(?P<word>more|greater|larger|bigger|higher|longer|taller|wider|heavier|less|fewer|smaller"
    r"|lower|shorter|narrower|lighter|cheaper)(?: expensive| long| high| wide| tall)? than"
    r"|(?P<side>over|above|below|under)"
)
AMOUNT: Final = r"(?P<amount>(?:[$€£¥₹]|[a-z]{2,3} )?\d[\d.,' ]*\s?[a-z%°$€£¥]{0,12})"
DAY_PARTS: Final = {
    **dict.fromkeys(("day", "daytime", "daylight", "morning", "noon", "afternoon", "light"), "day"),
    **dict.fromkeys(("evening", "dusk", "sunset", "twilight", "dawn"), "evening"),
    **dict.fromkeys(("night", "nighttime", "night-time", "dark", "midnight"), "night"),
}
DAY_PART: Final = re.compile(rf"\b({'|'.join(DAY_PARTS)})\b", re.IGNORECASE)
COLOR_WORD: Final = (
    r"(?:(?:light|dark|pale|bright|deep)[ -])?(?:red|orange|yellow|green|blue|purple|violet|pink"
    r"|brown|white|gr[ae]y|black)"
)
#: The answer depends on the order of things, which no check knows.
ORDER_WORDS: Final = re.compile(
    r"\b(?:next|after|before|previous|following|first|last|lowest|highest|top|bottom)\b",
    re.IGNORECASE,
)
YES: Final = re.compile(r"^(?:yes|yeah|yep|true|correct|right)\b", re.IGNORECASE)
NO: Final = re.compile(r"^(?:no|nope|false|not?)\b(?! one)", re.IGNORECASE)
A: Final = r"(?P<a>.+?)"
B: Final = r"(?P<b>.+?)"
WHICH: Final = r"(?:which|what|who)(?: (?:one|thing|object|item|[a-z]+))?(?: of (?:the )?[a-z ]+)?"
COLORS: Final = rf"(?P<color>{COLOR_WORD}(?:(?:,| or| and) ?{COLOR_WORD})*)"
SEE: Final = r"(?:can|do|could|did) (?:you|we|i) (?:see|find|spot|count|make out)"
SHOWS: Final = (
    r"(?:it|this|that|(?:the|this) (?:picture|image|photo(?:graph)?|scene|chart|diagram|drawing))"
)
HAS: Final = r"(?:show|contain|have|include|feature|depict)"
TAIL: Final = (
    rf"(?: (?:(?:(?:{BE}|do|does|did|can) )?"
    r"(?:there|you|we|i|it|one|the (?:picture|image|photo))\b.*"
    rf"|(?:{BE} )?(?:shown|visible|present|seen|there|drawn|parked|depicted|be seen)\b.*"
    rf"|have|has|{BE}))?"
)
NUMBER_WORD: Final = (
    r"(?P<number>\d+|zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
)


def read_truth(answer: str) -> bool | None:
    """Return whether an answer begins with yes (True) or no (False)."""
    if YES.search(answer):
        return True
    return False if NO.search(answer) else None


def read_side(answer: str) -> Relation | None:
    """Return the relation that an answer names, None for none or several."""
    words = re.findall(r"[a-z]+", answer.lower())
    found = {SIDES[word] for word in words if word in SIDES}
    return found.pop() if len(found) == 1 else None


def read_day_part(answer: str) -> str | None:
    """Return ``day``, ``evening`` or ``night``, None for none or several."""
    found = {DAY_PARTS[word.lower()] for word in DAY_PART.findall(answer)}
    return found.pop() if len(found) == 1 else None


def noun(text: str) -> str:
    return singular(object_phrase(text))


def relation(match: Match) -> Relation:
    return next(name for name in RELATIONS if match[name] is not None)


def compared(match: Match) -> ClaimStatement:
    measure, more = MEASURES[match["measure"].lower()]
    a, b = noun(match["a"]), noun(match["b"])
    return ClaimStatement("comparison", a, b, measure=measure, more=more)
