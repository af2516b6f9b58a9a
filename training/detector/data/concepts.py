"""Names of the things in the synthetic world, in English and Chinese.

A concept has synonyms, so that the detector understands "lorry" and "truck". Concepts that contain
others ("vehicle") are concepts too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sightline.training.world.street.vehicles import VEHICLES


@dataclass(frozen=True, slots=True)
class Concept:
    """A kind of thing: its names, and whether a color can be named with it."""

    en: tuple[str, ...]
    zh: tuple[str, ...]
    painted: bool = True
    parts: frozenset[str] = frozenset()
    """Labels of the objects that are such a thing, besides that of its own name."""


def _labels(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _plain(en: str, zh: str) -> Concept:
    return Concept(tuple(en.split("|")), tuple(zh.split("|")))


def _unpainted(en: str, zh: str) -> Concept:
    return Concept(tuple(en.split("|")), tuple(zh.split("|")), painted=False)


CONCEPTS: Final[Mapping[str, Concept]] = {
    "car": _plain("car|automobile", "轿车|汽车|小汽车"),
    "van": _plain("van|minivan", "面包车|厢式车"),
    "truck": _plain("truck|lorry", "卡车|货车"),
    "bus": _plain("bus|coach", "公共汽车|巴士|公交车"),
    "motorcycle": _plain("motorcycle|motorbike", "摩托车"),
    "bicycle": _plain("bicycle|bike", "自行车|单车"),
    "vehicle": Concept(("vehicle",), ("车辆", "车"), parts=frozenset(VEHICLES)),
    "clock": _unpainted("clock", "时钟|钟"),
    "mug": _plain("mug|cup", "马克杯|杯子"),
    "bottle": _plain("bottle", "瓶子"),
    "chair": _plain("chair", "椅子"),
    "lamp": _plain("lamp", "灯|台灯"),
    "backpack": _plain("backpack|rucksack", "背包"),
    "shirt": _plain("shirt|T-shirt", "上衣|衬衫"),
    "umbrella": _plain("umbrella", "雨伞|伞"),
    "watch": _plain("watch|wristwatch", "手表"),
    "teapot": _plain("teapot", "茶壶"),
    "book": _plain("book", "书"),
    "phone": _plain("phone|mobile phone", "手机|电话"),
    "ball": _plain("ball", "球"),
    "product": Concept(
        ("product", "article for sale"),
        ("商品", "产品"),
        parts=frozenset(
            [
                "mug",
                "bottle",
                "chair",
                "lamp",
                "backpack",
                "shirt",
                "umbrella",
                "watch",
                "teapot",
                "book",
                "phone",
                "ball",
            ]
        ),
    ),
    "price": _unpainted("price|price tag|price label", "价格|价签"),
    "product number": _unpainted("product ID|product number|item number", "商品编号|编号"),
    "brand": _unpainted("brand|brand name", "品牌"),
    "sofa": _plain("sofa|couch", "沙发"),
    "bed": _plain("bed", "床"),
    "table": _plain("table", "桌子"),
    "desk": _plain("desk", "书桌"),
    "fridge": _plain("fridge|refrigerator", "冰箱"),
    "oven": _plain("oven|stove", "烤箱"),
    "TV": _unpainted("TV|television", "电视|电视机"),
    "wardrobe": _plain("wardrobe|closet", "衣柜"),
    "bookshelf": _plain("bookshelf|bookcase", "书架"),
    "plant": _unpainted("plant|potted plant", "植物|盆栽"),
    "window": _unpainted("window", "窗户|窗"),
    "furniture": Concept(
        ("furniture", "piece of furniture"),
        ("家具",),
        parts=_labels("sofa bed table desk chair wardrobe bookshelf"),
    ),
    "circle": _plain("circle", "圆形|圆"),
    "square": _plain("square", "正方形|方块"),
    "triangle": _plain("triangle", "三角形"),
    "star": _plain("star", "五角星|星形"),
    "hexagon": _plain("hexagon", "六边形"),
    "diamond": _plain("diamond|rhombus", "菱形"),
    "heart": _plain("heart", "心形"),
    "cross": _plain("cross", "十字形|十字"),
    "shape": _plain("shape|figure", "图形|形状"),
    "rectangle": _plain("rectangle", "长方形|矩形"),
    "parallelogram": _plain("parallelogram", "平行四边形"),
    "trapezoid": _plain("trapezoid", "梯形"),
    "question": _unpainted("question|written question", "问题|题目"),
    "heat sink": _unpainted("heat sink|heatsink", "散热器"),
    "hole": _unpainted("hole|mounting hole|drill hole", "孔|安装孔"),
    "dimension": _unpainted("dimension|dimension line", "尺寸|尺寸线"),
    "part number": _unpainted("part number", "零件号"),
    "vertebra": _unpainted("vertebra|vertebral body", "椎体|椎骨"),
    "abnormal vertebra": _unpainted("abnormal vertebra|fractured vertebra", "异常椎体|骨折的椎体"),
    "bar": _plain("bar", "柱子|条"),
    "slice": _plain("slice|sector", "扇形"),
    "point": _plain("point|data point", "点|数据点"),
    "title": _unpainted("title|chart title", "标题|图表标题"),
    "box": _plain("box", "方框|框"),
    "decision": _unpainted("decision|decision diamond", "判断|判断框"),
    "lit lamp": _unpainted("lamp that is on|lit lamp", "亮着的灯|开着的灯"),
    "dark lamp": _unpainted("lamp that is off|unlit lamp", "关着的灯|没亮的灯"),
}

#: Things that are drawn in no picture: a detector must not find them. Half are kept for tests.
FOREIGN: Final[tuple[tuple[str, str], ...]] = (
    ("person", "人"), ("dog", "狗"), ("airplane", "飞机"), ("horse", "马"), ("cow", "牛"),
    ("boat", "船"), ("train", "火车"), ("banana", "香蕉"), ("pizza", "披萨"), ("elephant", "大象"),
    ("zebra", "斑马"), ("snowboard", "滑雪板"), ("keyboard", "键盘"), ("toilet", "马桶"),
    ("fire hydrant", "消防栓"), ("traffic light", "红绿灯"), ("woman", "女人"), ("child", "孩子"),
    ("cake", "蛋糕"), ("guitar", "吉他"), ("tiger", "老虎"), ("bridge", "桥"), ("hat", "帽子"),
    ("shoe", "鞋"), ("fork", "叉子"), ("knife", "刀"), ("flag", "旗"), ("tent", "帐篷"),
    ("camera", "相机"), ("mountain", "山"), ("laptop", "笔记本电脑"), ("glasses", "眼镜"),
    ("cat", "猫"), ("bird", "鸟"), ("sheep", "羊"), ("bear", "熊"), ("giraffe", "长颈鹿"),
    ("ship", "轮船"), ("helicopter", "直升机"), ("apple pie", "苹果派"), ("sandwich", "三明治"),
    ("surfboard", "冲浪板"), ("mouse pad", "鼠标垫"), ("sink", "水槽"), ("bench", "长椅"),
    ("parking meter", "停车计时器"), ("man", "男人"), ("baby", "婴儿"), ("donut", "甜甜圈"),
    ("piano", "钢琴"), ("lion", "狮子"), ("tunnel", "隧道"), ("scarf", "围巾"), ("sock", "袜子"),
    ("spoon", "勺子"), ("scissors", "剪刀"), ("ladder", "梯子"), ("tractor", "拖拉机"),
    ("printer", "打印机"), ("river", "河"), ("tablet computer", "平板电脑"), ("ring", "戒指"),
)  # fmt: skip

_PLANE_FIGURES: Final = _labels(
    "circle square triangle star hexagon diamond heart cross shape rectangle parallelogram "
    "trapezoid box"
)
#: Families to the concepts that may be drawn there without a box: neither present nor absent.
UNKNOWN: Final[Mapping[str, frozenset[str]]] = {
    "street": _PLANE_FIGURES | {"window", "plant", "lamp", "title", "point", "bar"},
    "product": _PLANE_FIGURES | {"title", "bar", "furniture", "question", "lit lamp", "dark lamp"},
    "room": _PLANE_FIGURES | {"book", "product", "bar", "bottle", "question"},
    "shapes": frozenset({"table", "box", "rectangle", "title", "ball"}),
    "heatsink": _PLANE_FIGURES | {"bar", "title", "point", "question"},
    "spine": _PLANE_FIGURES | {"title", "question"},
    "geometry": frozenset({"shape", "diamond", "rectangle", "box", "title", "point", "dimension"}),
    "chart": _PLANE_FIGURES | {"box", "question", "dimension"},
    "flowchart": _PLANE_FIGURES - {"box", "diamond"} | {"question"},
}
