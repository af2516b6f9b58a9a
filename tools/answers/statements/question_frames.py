"""Remove what surrounds a question: politeness, requests, other words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_ENGLISH_OPENING: Final = re.compile(
    r"^(?:(?:please|kindly|hey|hi|hello|so|and|now|next|ok|okay|well|sorry|excuse me|just|question"
    r"|quick question|one more thing|another question|just curious|dear assistant"
    r"|good (?:morning|evening)|look at (?:this|the picture)|i have a question"
    r"|(?:can|could) you help me|help me(?: with this)?|in your opinion)\b[\s,.:!-]*"
    r"|(?:(?:can|could|would|will|may|might) (?:you|we|i|one) (?:please |kindly |also )?)?"
    r"(?:tell|show|give|let|help)(?: me| us)?(?: to)?(?: know| see| say| find(?: out)?| name)?\b"
    r"[\s,:]*"
    r"|(?:can|could|would|will|may) (?:you|we|i|one) (?:please |kindly )?"
    r"(?:say|know|ask|have|get|check|verify|confirm|explain|see|find out|work out|make out|identify"
    r"|happen to know)\b[\s,:]*"
    r"|(?:do|would) you (?:happen to )?(?:know|say|think|agree|see)\b[\s,:]*"
    r"|(?:i|we)(?:'d| would|'m| am| was)? ?(?:like|need|want|wonder(?:ing)?|trying|curious"
    r"|looking for|not sure|think|believe|guess|have)\b(?: you)?(?: to)?"
    r"(?: know| find out| see| read| check)?[\s,:]*"
    r"|(?:any idea|any clue|is it clear|is it possible to say"
    r"|is it (?:really )?(?:true|correct|right|the case)|am i right|can we (?:say|tell)"
    r"|regarding|what about|how about|find out|look up|check|say"
    r"|answer|name|state|read|write down|note)\b[\s,:]+"
    r"|(?:that|whether|if)\s+)",
    re.IGNORECASE,
)
_ENGLISH_ENDING: Final = re.compile(
    r"[\s,.:;-]*\b(?:please(?: answer)?|pls|plz|thanks(?: in advance)?|thank you|for me|any idea"
    r"|do you know|(?:is that |is this )?(?:right|correct|true|so)|yes or no|true or false)"
    r"[\s?.!]*$",
    re.IGNORECASE,
)
_CHINESE_OPENING: Final = re.compile(
    r"^(?:(?:请问一下|请问|想问一下|问一下|麻烦问一下|我想问|想问问|打扰一下|你好|您好|嗨|喂|早上好|不好意思"
    r"|对了|那么|好的|还有|帮我看看|帮我看一下|帮忙看下|看一下|看看|请看一下|麻烦看一下|麻烦|你看|仔细看看"
    r"|告诉我|请告诉我|能不能告诉我|可以告诉我|能告诉我|你能告诉我|我想知道|想知道|请回答|请说说|说说|你知道"
    r"|我不清楚|我很好奇|知不知道|根据图片|根据图|从图中看|从图上看|在这张图里|看图回答|图片里|照片中|请确认"
    r"|确认一下|请判断|我觉得|我认为|有人说|听说|我猜|你觉得|能看出|能不能看出|可以说|请给出|给出|请说出|说出"
    r"|报一下|写出|帮我查一下|查一下|帮我找找|帮我|请帮我|劳驾|能说一下|说一下|数一数|数数|请你|请)"
    r"[，,：:\s]*)+"
)
_CHINESE_ENDING: Final = re.compile(
    r"[，,\s]*(?:来着|知道吗|谢谢|请回答|对吗|对吧|对不对|是吗|是吧|没错吧|对么|真的吗|拜托|好吗|呢|呀|啊|啦"
    r"|(?<![什怎])么|是不是)[？?。!！]*$"
)
_CHINESE: Final = re.compile(r"[\u4e00-\u9fff]")
#: Words before a mark: "By the way, ...".
_FIRST_CLAUSE: Final = re.compile(r"^[^,，.。:：!?？-]{1,40}[,，.。:：!-]+\s*")
_MAX_PARTS: Final = 6


def iter_unframed(question: str) -> Iterator[str]:
    """Yield the question without its frame, as it is, without its first clause."""
    bare = _strip(question)
    yield bare
    if bare != question:
        yield question
    rest = _FIRST_CLAUSE.sub("", question)
    if rest and rest != question:
        yield _strip(rest)


def _strip(text: str) -> str:
    is_chinese = _CHINESE.search(text) is not None
    opening = _CHINESE_OPENING if is_chinese else _ENGLISH_OPENING
    ending = _CHINESE_ENDING if is_chinese else _ENGLISH_ENDING
    for _ in range(_MAX_PARTS):
        shorter = ending.sub("", opening.sub("", text, count=1)).strip()
        if not shorter or shorter == text:
            break
        text = shorter
    return text
