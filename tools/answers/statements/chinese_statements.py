"""Read Chinese questions and sentences as statements."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from sightline.tools.answers.statements.color_words import color_names
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
    Measure,
    QuestionForm,
    Relation,
)
from sightline.tools.answers.statements.written_values import read_amount, read_count

_POLITE: Final = re.compile(
    r"^(?:请问|请|麻烦|帮我|告诉我|我想知道|数一数|数数|你能|能不能|能否|可以)+"
)
_PLACE: Final = re.compile(
    r"(?:这张|这幅|该|本|这)?(?:图|图片|照片|画面|图像|截图|图表)(?:里面|里|中|上|内)(?:面)?"
    r"(?:一共|总共)?[，,]?|(?:一共|总共)"
)
_END: Final = "吗呢吧啊呀"
_SIDES: Final[dict[str, Relation]] = {
    "左": "left",
    "右": "right",
    "上": "above",
    "下": "below",
    "旁": "beside",
    "里": "inside",
}
_SIDE: Final = r"(?P<side>左|右|正?上|正?下|旁|里)(?:边|面|方|侧|头)?"
_UNIT: Final = r"[个辆只台张把条朵棵颗扇位名座匹头块片件本瓶盏种根株架艘份]"
#: Words for the whole image.
_NO_SUBJECTS: Final = ("它", "他", "她", "这", "这个", "这里", "上面", "写")
_MEASURES: Final[dict[str, tuple[Measure, bool]]] = {
    "大": ("size", True),
    "小": ("size", False),
    "高": ("height", True),
    "矮": ("height", False),
    "宽": ("width", True),
    "窄": ("width", False),
    "低": ("level", True),
    "贵": ("value", True),
    "便宜": ("value", False),
    "多": ("count", True),
    "少": ("count", False),
}
_MEASURE: Final = r"(?P<measure>便宜|[大小高矮宽窄低贵])"
_COLOR: Final = r"(?P<color>[浅深淡亮暗]?(?:红|橙|橘|黄|绿|蓝|紫|粉红|粉|棕|褐|白|灰|黑)色?)"
_DAY_PARTS: Final = {
    **dict.fromkeys(("白天", "早上", "上午", "中午", "下午", "早晨"), "day"),
    **dict.fromkeys(("傍晚", "黄昏", "黎明"), "evening"),
    **dict.fromkeys(("夜晚", "晚上", "夜里", "深夜", "黑夜", "夜间"), "night"),
}
_DAY_PART: Final = "|".join(_DAY_PARTS)
#: The answer depends on the order of things, which no check knows.
_ORDER: Final = re.compile(r"之前|之后|上一|下一|第一|最后|最[上下左右高低]|前面|后面")
_A: Final = r"(?P<a>.+?)"
_B: Final = r"(?P<b>.+?)"
_AMOUNT: Final = r"(?P<amount>[$€£¥￥]?\d[\d.,]*)(?P<unit>\D{0,6}?)"


def read_question(question: str) -> QuestionForm | None:
    """Return the form of a flat question, None if it is not understood."""
    text = _PLACE.sub("", _POLITE.sub("", question.strip(" ?？。.!！")))
    return first_match(_QUESTIONS, text.strip(" ，,的"))


def read_sentence(sentence: str) -> ClaimStatement | None:
    """Return what a flat sentence states on its own, None if it is not understood."""
    return first_match(_SENTENCES, _PLACE.sub("", sentence.strip(" 。.!！")).strip(" ，,"))


def read_truth(answer: str) -> bool | None:
    """Return whether an answer begins with yes (True) or no (False)."""
    if re.match(r"没有|否|不|没|错", answer):
        return False
    return True if re.match(r"是|有|对|正确|能", answer) else None


def read_side(answer: str) -> Relation | None:
    """Return the relation that an answer names, None for none or several."""
    found = {side for char, side in _SIDES.items() if char in answer}
    return found.pop() if len(found) == 1 else None


def read_day_part(answer: str) -> str | None:
    """Return ``day``, ``evening`` or ``night``, None for none or several."""
    found = {part for word, part in _DAY_PARTS.items() if word in answer}
    return found.pop() if len(found) == 1 else None


def _noun(text: str) -> str:
    return text.strip(' ，,的“”"「」')


def _side(match: Match) -> Relation:
    return _SIDES[match["side"][-1]]


def _day_question(match: Match) -> QuestionForm:
    return day_question({part for word, part in _DAY_PARTS.items() if word in match.group()})


def _time_bound(match: Match) -> QuestionForm | None:
    return time_bound(match["time"], is_later=match["word"] == "晚")


def _amount_bound(match: Match) -> QuestionForm | None:
    amount = read_amount(match["amount"])
    if amount is None:
        return None
    field = _noun(match["field"]) or "价格"
    more = match["word"] in ("大于", "高于", "超过", "多于", "长于", "贵于")
    statement = ClaimStatement("comparison", field=field, number=amount, measure="value", more=more)
    return QuestionForm(statement, "truth")


def _compared(match: Match) -> ClaimStatement:
    measure, more = _MEASURES[match["measure"]]
    a, b = _noun(match["a"]), _noun(match["b"])
    return ClaimStatement("comparison", a, b, measure=measure, more=more)


def _superlative(match: Match) -> QuestionForm:
    measure, more = _MEASURES[match["measure"]]
    return QuestionForm(ClaimStatement("comparison", measure=measure, more=more), "subject")


def _related(match: Match) -> ClaimStatement:
    return ClaimStatement("relation", _noun(match["a"]), _noun(match["b"]), relation=_side(match))


def _color(match: Match) -> QuestionForm:
    return QuestionForm(ClaimStatement("color", _noun(match["a"])), "value")


def _is_color(match: Match) -> QuestionForm | None:
    colors = color_names(match["color"] if match["color"].endswith("色") else match["color"] + "色")
    if len(colors) != 1:
        return None
    return QuestionForm(ClaimStatement("color", _noun(match["a"]), value=colors.pop()), "truth")


def _count(match: Match) -> QuestionForm | None:
    subject = _noun(match["a"])
    return QuestionForm(ClaimStatement("count", subject), "number") if subject else None


def _existence(match: Match) -> QuestionForm | None:
    subject = _noun(match["a"])
    return QuestionForm(ClaimStatement("existence", subject), "truth") if subject else None


def _reading(field: str) -> Callable[[Match], QuestionForm | None]:
    def build(match: Match) -> QuestionForm | None:
        groups = match.groupdict()
        named = _noun(groups.get("field") or "") or field
        subject = _noun(groups.get("a") or "")
        subject = "" if subject in _NO_SUBJECTS else subject
        if _ORDER.search(named):
            return None
        return QuestionForm(ClaimStatement("reading", subject, field=named), "value")

    return build


_QUESTIONS: Final[Sequence[tuple[str, Callable[[Match], QuestionForm | None]]]] = (
    (rf".*(?:{_DAY_PART}).*", _day_question),
    (r"(?:现在|时间)?(?:是|比)?(?P<word>早|晚)于(?P<time>.+?)[吗]?", _time_bound),
    (
        rf"(?P<field>.*?)(?:是否|是不是)?(?P<word>大于|高于|超过|多于|小于|低于|少于){_AMOUNT}[吗]?",
        _amount_bound,
    ),
    (rf"{_A}比{_B}(?P<measure>多|少)[吗]?", lambda match: QuestionForm(_compared(match), "truth")),
    (rf"{_A}比{_B}更?{_MEASURE}[吗]?", lambda match: QuestionForm(_compared(match), "truth")),
    (
        rf"{_A}(?:和|与|跟|还是){_B}[，,]?(?:哪个|哪一个|谁|哪边)(?:更|比较)?{_MEASURE}(?:一些|一点)?",
        lambda match: QuestionForm(_compared(match), "one_of"),
    ),
    (
        rf"(?:哪个|哪一个|哪.?|谁|什么)最{_MEASURE}",
        _superlative,
    ),
    (
        rf"{_A}在{_B}的?(?:左|右|上|下)(?:边|面|方)?还是(?:左|右|上|下)(?:边|面|方)?",
        lambda match: QuestionForm(
            ClaimStatement("relation", _noun(match["a"]), _noun(match["b"])), "side"
        ),
    ),
    (
        rf"{_A}在{_B}的?(?:哪一?边|哪一?侧|什么方向|什么位置)",
        lambda match: QuestionForm(
            ClaimStatement("relation", _noun(match["a"]), _noun(match["b"])), "side"
        ),
    ),
    (
        rf"{_A}(?:是否|是不是)?在(?!哪|什么|何){_B}的?{_SIDE}[吗]?",
        lambda match: QuestionForm(_related(match), "truth"),
    ),
    (
        rf"(?:紧挨着|紧邻|挨着)?{_B}的?{_SIDE}(?:紧挨着|紧邻|相邻)?(?:的)?(?:是|有|放着|站着|停着)?(?:什么|谁|哪个|哪一个)(?:东西|物体|车)?",
        lambda match: QuestionForm(
            ClaimStatement(
                "relation", other=_noun(match["b"]), relation=_side(match), is_nearest=True
            ),
            "subject",
        ),
    ),
    (
        rf"(?:它|他|她|这里|那里|上面|里面|路上|街上)?(?:有|能?看到|能看见|数一?数|包含|[画停摆放]出?了)?(?:多少|几){_UNIT}?{_A}",
        _count,
    ),
    (rf"{_A}(?:一共|总共)?有(?:多少|几){_UNIT}?", _count),
    (rf"{_A}的?(?:数量|个数|数目)(?:是多少|是几|为多少)?[吗]?", _count),
    (
        rf"{_A}(?:的位置)?(?:位于|处于|在)(?:哪里|哪儿|哪|何处|什么地方|什么位置)",
        lambda match: QuestionForm(ClaimStatement("location", _noun(match["a"])), "box"),
    ),
    (
        rf"(?:找出|找到|指出|圈出|标出|哪里有|哪儿有){_A}|把(?P<b>.+?)(?:[圈指标框找]出来?)",
        lambda match: QuestionForm(
            ClaimStatement("location", _noun(match["a"] or match["b"])), "box"
        ),
    ),
    (rf"{_A}的?(?:颜色)?是(?:什么|哪种|哪个|何种)(?:颜色|色)(?:的)?", _color),
    (rf"{_A}的颜色(?:是(?:什么|哪种))?", _color),
    (rf"{_A}(?:是)?[什啥]么?(?:样的)?(?:颜色|色)的?", _color),
    (rf"{_A}的?(?:颜色|色)(?:是啥)?", _color),
    (rf"什么(?:颜色|色)的?{_A}", _color),
    (
        r"(?:它|这|图)?(?:是)?[画印]在什么(?:上面?|纸上|东西上)?(?:的)?",
        lambda _match: QuestionForm(ClaimStatement("color", "纸"), "value"),
    ),
    (rf"{_COLOR}的?(?:东西|物体)?(?:是|为)(?:什么|哪|哪种|哪个|谁).*", which_has_color),
    (rf"(?:什么|哪个|哪种|哪一个)\S{{0,4}}?是{_COLOR}的?", which_has_color),
    (rf"(?:有没有|是否有|是不是有|存在|能看到|能看见|看得到){_A}[吗{_END}]?", _existence),
    (rf"有{_A}[{_END}]", _existence),
    (rf"{_A}(?:是否|是不是)?是?{_COLOR}的?[{_END}]", _is_color),
    (
        rf"{_A}(?:上|里|中|内)?(?:面)?(?:写着?|印着?|写了|印了|显示)(?:的是)?(?:什么|啥)(?:字|内容|文字)?",
        _reading(""),
    ),
    (r".*(?:几点|什么时间|什么时候|何时).*", _reading("时间")),
    (r"(?P<field>日期)是.+|.*(?:哪一?天|几号|哪年|几月几日).*", _reading("日期")),
    (
        rf"{_A}(?:多少钱|什么价格|的?(?:价格|售价|单价)是多少|卖多少钱|花了多少钱?)",
        _reading("价格"),
    ),
    (r"(?P<field>价格|售价|总价|多少钱|总计|合计|总额)(?:是多少|多少|是几)?", _reading("价格")),
    (
        r"(?:这|它|图形|这里|图)?(?:是|卖的是|有)(?:什么|哪种|哪个)(?:房间|图形|动物|车|东西|商品|物体|水果|图|图表|地方|产品)",
        lambda _match: QuestionForm(ClaimStatement("existence"), "subject"),
    ),
    (rf"{_A}的(?P<field>\w{{1,8}}?)(?:是|为)(?:多少|什么|几).*", _reading("")),
    (r"(?P<field>\w{1,10}?)(?:是|为)(?:多少|什么|几|哪个).*", _reading("")),
    (rf"{_A}有多(?P<field>长|宽|高|重|大|深)", _reading("")),
)
_NUMBER: Final = r"(?P<number>\d+|十[一二]|[零一二两三四五六七八九十])"


def _sentence_count(match: Match) -> ClaimStatement | None:
    number = read_count(match["number"])
    subject = _noun(match["a"])
    return None if number is None else ClaimStatement("count", subject, number=float(number))


def _sentence_color(match: Match) -> ClaimStatement | None:
    colors = color_names(match["color"] if match["color"].endswith("色") else match["color"] + "色")
    if len(colors) != 1:
        return None
    return ClaimStatement(
        "color", _noun(match["a"]), value=colors.pop(), holds=match["not"] is None
    )


_SENTENCES: Final[Sequence[tuple[str, Callable[[Match], ClaimStatement | None]]]] = (
    (rf"(?:一共|总共)?有{_NUMBER}{_UNIT}{_A}", _sentence_count),
    (rf"没有{_A}", lambda match: ClaimStatement("existence", _noun(match["a"]), holds=False)),
    (rf"有(?:一{_UNIT})?{_A}", lambda match: ClaimStatement("existence", _noun(match["a"]))),
    (
        rf"(?:现在)?是(?P<part>{_DAY_PART})",
        lambda match: ClaimStatement("time_of_day", value=_DAY_PARTS[match["part"]]),
    ),
    (rf"{_A}比{_B}更?{_MEASURE}", _compared),
    (rf"{_A}在{_B}的?{_SIDE}", _related),
    (rf"{_A}(?P<not>不)?是{_COLOR}的?", _sentence_color),
    (
        rf"{_A}上?写着(?P<value>.+)",
        lambda match: ClaimStatement("reading", _noun(match["a"]), value=_noun(match["value"])),
    ),
    (
        r"(?P<field>\w{1,10}?)(?:是|为|[:：])(?P<value>.+)",
        lambda match: ClaimStatement(
            "reading", field=_noun(match["field"]), value=_noun(match["value"])
        ),
    ),
)

CHINESE: Final = Grammar(read_question, read_sentence, read_truth, read_side, read_day_part)
