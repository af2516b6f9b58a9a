"""How often the letters of languages are used, to recognize legacy encodings."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import NamedTuple

_TAIL_SHARE = 0.05  # of the letters that are in the script, but not in the list
_CAPITAL = math.log(0.05)
# Logarithms of likelihoods: of a character of daily use that is not listed, of one that the
# language does not have, of punctuation, and what a character at a wrong place takes away.
_CORE, _RARE, _SYMBOL, _MISPLACED = -9.2, -14.0, -4.5, -6.0
_SYMBOLS = frozenset("“”„‘’‚–—…«»€£°§©®™·•×½¼¾²³µ±\u00a0¿¡‹›¢¥†‰´")
_CJK_SYMBOLS = frozenset(
    "，。、！？；：（）《》「」『』【】…—・ー～“”‘’\u3000％＋－０１２３４５６７８９￥〜·〈〉"
)
# What a wrong encoding makes of words: symbols, capitals and other scripts inside of them.
_JOINING = r"’‘´·–—…\u00a0\u0300-\u036f\u0591-\u05c7\u064b-\u0652\u0e00-\u0e7f"
_SYMBOL_IN_WORD = re.compile(
    rf"(?<=[^\W\d_])[^\x00-\x7f\w{_JOINING}](?=[^\W\d_])|[½¼¾¦¨¸](?=[a-z])"
)
_STRAY_THAI_SIGN = re.compile(
    r"(?<![\u0e01-\u0e3a\u0e40-\u0e4e])[\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]"
)
_WORD = re.compile(r"[^\W\d_]{2,}")
_LATIN_AND_OTHER = re.compile(r"[a-zA-Z][\u0370-\uffee]|[\u0370-\uffee][a-zA-Z]")


class CoreCharacters(NamedTuple):
    """The part of a standard with the characters of daily use: a range of first bytes."""

    encoding: str
    first: int
    last: int

    def has(self, character: str) -> bool:
        code = character.encode(self.encoding, "ignore")
        return len(code) > 1 and self.first <= code[0] <= self.last


@dataclass(frozen=True, slots=True)
class EncodingProfile:
    """A language: its letters outside of ASCII by frequency, and its encodings.

    Each encoding has the logarithm of how common it is. ``script`` are ranges of characters that
    the language also uses, though rarely.
    """

    encodings: tuple[tuple[str, float], ...]
    letters: str
    script: tuple[tuple[str, str, float], ...] = ()
    is_cjk: bool = False
    core: CoreCharacters | None = None
    logarithms: Mapping[str, float] = field(init=False)

    def __post_init__(self) -> None:
        small = [math.log(share) for share in _shares(len(self.letters), flat=self.is_cjk)]
        values = dict(zip(self.letters, small, strict=True))
        if not self.is_cjk:
            for letter, value in list(values.items()):
                if (capital := letter.upper()) != letter and len(capital) == 1:
                    values.setdefault(capital, value + _CAPITAL)
        object.__setattr__(self, "logarithms", values)

    def likelihood(self, text: str) -> float:
        """Return the logarithm of the likelihood of the characters outside of ASCII."""
        extra = 0.0
        if not self.is_cjk:
            extra = _MISPLACED * _misplaced(text)
            text = _WORD.sub(_small_if_capitals, text)
        return extra + sum(
            count * self._logarithm(character)
            for character, count in Counter(text).items()
            if character > "\x7f"
        )

    def _logarithm(self, character: str) -> float:
        if (value := self.logarithms.get(character)) is not None:
            return value
        if character in (_CJK_SYMBOLS if self.is_cjk else _SYMBOLS):
            return _SYMBOL
        for first, last, likelihood in self.script:
            if first <= character <= last:
                return likelihood
        if self.core is not None and self.core.has(character):
            return _CORE
        return _RARE


def _small_if_capitals(match: re.Match[str]) -> str:
    """Return a word in capitals with only its first one: it is as likely as others."""
    word = match[0]
    return word.capitalize() if word.isupper() and not word.isascii() else word


def _misplaced(text: str) -> int:
    """Return how many characters are where no word has them."""
    count = len(_SYMBOL_IN_WORD.findall(text)) + len(_STRAY_THAI_SIGN.findall(text))
    for word, times in Counter(_WORD.findall(text)).items():
        if word.isascii():
            continue
        count += times * len(_LATIN_AND_OTHER.findall(word))
        if not (word.islower() or word.isupper() or word.istitle()):
            count += times * sum(
                before.islower() and after.isupper() and not (before + after).isascii()
                for before, after in pairwise(word)
            )
    return count


def _shares(count: int, *, flat: bool) -> list[float]:
    """Return shares that fall with the rank; frequent characters of Chinese are many."""
    weights = [1 / (rank + (20 if flat else 1.5)) for rank in range(count)]
    total = sum(weights) / (1 - _TAIL_SHARE)
    return [weight / total for weight in weights]


_WESTERN = (
    ("cp1252", 0.0), ("iso8859_15", -3.0), ("cp850", -3.5), ("mac_roman", -3.5),
)  # fmt: skip
_CENTRAL = (("cp1250", -1.0), ("iso8859_2", -2.0), ("cp852", -4.0))
_CYRILLIC = (
    ("cp1251", -0.5), ("koi8_r", -1.5), ("cp866", -2.5), ("iso8859_5", -3.5),
    ("mac_cyrillic", -4.0),
)  # fmt: skip
_KANA = (("\u3041", "\u30fe", -6.0), ("\uff66", "\uff9f", -12.0))
_western = partial(EncodingProfile, _WESTERN)
_central = partial(EncodingProfile, _CENTRAL)
_cyrillic = partial(EncodingProfile, _CYRILLIC)
_japanese = partial(
    EncodingProfile, script=_KANA, is_cjk=True, core=CoreCharacters("euc_jp", 0xB0, 0xCF)
)

PROFILES: tuple[EncodingProfile, ...] = (
    _western("üäöß"),
    _western("éèàêçôûîâùœïë"),
    _western("óíáéñúü¿¡"),
    _western("ãçáéóíêõâàúôü"),
    _western("èàùòìé"),
    _western("äåöé"),
    _western("øåæéöäü"),
    _western("ëéïèöüáóñçêà"),
    _western("íáðúóþöæéý"),
    _western("àéóèíçòúïü·"),
    _central("łąężśóćńź"),
    _central("íáéěýžřčůšúóťňď"),
    _central("áíéýčžšúôľťóňäďŕĺ"),
    _central("áéőóöüíúű"),
    _central("ăîâşţ"),
    _central("čšžćđ"),
    EncodingProfile((("cp1254", -1.0),), "ıüşçğöİâîû"),
    EncodingProfile((("cp1257", -1.5),), "āīēšūļņžčģķ"),
    EncodingProfile((("cp1257", -1.5),), "ėžšųįūąčę"),
    EncodingProfile((("cp1257", -2.0),), "äõüöšž"),
    _cyrillic("оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё№"),
    EncodingProfile(
        (("cp1251", -1.0), ("koi8_u", -2.0), ("mac_cyrillic", -5.0)),
        "оанивіретслкдмпузяьбгйчїхцжєшюфщґ",
    ),
    EncodingProfile((("cp1251", -1.5),), "аоиентрсвлкдпмзгъучбщйжцхшяюфь"),
    EncodingProfile((("cp1251", -2.0),), "аоиенрстувкјдмплзгбшчцжћљњђфџх"),
    EncodingProfile((("cp1253", -1.0), ("iso8859_7", -2.0)), "αοιετσνηυρπκμλςάίγδέόωθφχήβύξώζψϊΐ"),
    EncodingProfile((("cp1255", -1.0), ("iso8859_8", -3.0)), "יולהראתבמשנדעחקפגטזצכסםןץךף"),
    EncodingProfile(
        (("cp1256", -1.0), ("iso8859_6", -3.0)), "ايلمنرتوبةدعسفهكقحجىأصشطخزضغذثإئءظؤآ،؟"
    ),
    EncodingProfile((("cp1256", -1.5),), "ايرندمهتوسبلشزكگقخفپعجحچصطآضغثظذژئء،؟"),
    EncodingProfile((("cp874", -1.0),), "านรอกเงมยลวดทส่ตะปบคหแจพช้ขใไโผณีัิ์ุ็ึืูซธศฐภ็ๆถฟฉญฝฎำ"),
    EncodingProfile((("cp1258", -2.0),), "đàơưôêâăáéíúóạảã\u0300\u0301\u0309\u0303\u0323"),
    EncodingProfile(
        (("gb18030", -0.5),),
        "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发"
        "后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开"
        "但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并"
        "物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先"
        "海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才"
        "结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书"
        "非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领"
        "共确传师观清今切院让识候带导争运界号图表格价商店名称城市客户订单发票付款地址谢请您早晚饭车站",
        is_cjk=True,
        core=CoreCharacters("gb2312", 0xB0, 0xD7),
    ),
    EncodingProfile(
        (("big5hkscs", -1.0),),
        "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發"
        "後作裡用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開"
        "但因只從想實日軍者意無力它與長把機十民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並"
        "物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯月話合回特代內信表化老給世位次度門任常先"
        "海通教兒原東聲提立及比員解水名真論處走義各入幾口認條平系氣題活爾更別打女變四神總何電數安少報才"
        "結反受目太量再感建務做接必場件計管期市直德資命山金指克許統區保至隊形社便空決治展馬科司五基眼書"
        "非則聽白卻界達光放強即像難且權思王象完設式色路記南品住告類求據程北邊死張該交規萬取拉格望覺術領"
        "共確傳師觀清今切院讓識候帶導爭運界號圖表格價商店名稱城市客戶訂單發票付款地址謝請您早晚飯車站",
        is_cjk=True,
        core=CoreCharacters("big5", 0xA4, 0xC6),
    ),
    _japanese(
        (("cp932", -0.5), ("euc_jp", -1.5)),
        "のいにをはたしてとがなれるでっかりまさんすこうらもあくおけきそえちつよめわどみろせほだやひじばふ"
        "ンスルトーイラリアクシタドレロジフマコテサプバグチムパカオキメデニッナュョエャブィハビウボセミソ日"
        "本人年大月国会学生一中上事者出行時間見語東京今私円名前",
    ),
    _japanese(
        (("cp932", -1.5), ("euc_jp", -2.5)),
        "日一国会人年大十二本中長出三同時政事自行社見月分議後前民生連五発間対上部東者党地合市業内相方四"
        "定今回新場金員九入選立開手米力学問高代明実円関決子動京全目表戦経通外最言氏現理調体化田当八六約"
        "主題下首意法不来作性的要用制治度務強気小七成期公持野協取都和統以機平総加山思家話世受区領多県続"
        "進正安設保改数記院女初北午指権心界支第産結百派点教報済書府活原先共得解名交資予川向際査勝面委告"
        "軍文反元重近千考判認画海参売利組知案道信策集在件団別物側任引使求所次水半品昨論計死官増係感特情"
        "投示変打男基私各始島直両朝革価式確村提運終挙果西勢減台広容必応演電歳住争談能無再位置企真流格有"
        "疑口過局少放税検町常校料裁状工建語球営空職証土与急止送援供可役構木割聞身費付施切由説転食比難防"
        "補車優夫研収断何南石足違消境神番規術護展態導備害配副算視条独警究育席起万着乗店述残想線率病農州"
        "質念待試銀域助労例然早張映限親額監環験追審商葉義伝働形景担好退準訴英被頭技低毎医復味負渡失移差"
        "個門写評課末守若種美影命含福量望松非観察整段型白深字答夜製票況音申様財港識注達号駅雨春夏秋冬",
    ),
    EncodingProfile(
        (("cp949", -0.5),),
        "이다는에의을가고하지한로기서사어를은도시나자리인대그일해아있수들정보적여전과라전장상스만주었부구"
        "원성제으동안조니우무연것거거면공유경국용게오신비할치내소마까선문때화방지관물세미습위려교생진되중"
        "와더같했왔간요학진러없실모개발차명계발분통행당입결러체임출데야말회울금단운드양받속운등반름철현"
        "김박최강영민순남월년",
        is_cjk=True,
        core=CoreCharacters("euc_kr", 0xB0, 0xC8),
    ),
)
