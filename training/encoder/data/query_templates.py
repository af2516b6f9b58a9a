"""Short queries for one object, and the images that match them.

"a red bus" matches every image with a red bus. Captions identify one image, so training on captions
alone does not teach such queries: the contrastive loss would treat the other matches as negatives.
The matches are known from the objects and captions of the images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sightline.training.world.chart.drawing import KINDS
from sightline.training.world.core.language import CHINESE, article
from sightline.training.world.core.scene import Language, Scene
from sightline.training.world.product.items import ITEMS
from sightline.training.world.room.furniture import PIECES
from sightline.training.world.shapes.plan import SHAPES
from sightline.training.world.street.vehicles import VEHICLES

#: Common names of objects: a lamp for sale and a lamp in a room are both lamps.
THINGS: Final[dict[str, str]] = {
    **{name: zh for name, (zh, *_) in VEHICLES.items()},
    **{name: zh for name, (zh, *_) in ITEMS.items()},
    **{name: piece.zh for name, piece in PIECES.items()},
    **SHAPES,
}
_GROUPS: Final[dict[str, frozenset[str]]] = {
    "vehicles": frozenset(VEHICLES),
    "furniture": frozenset(PIECES),
    "products": frozenset(ITEMS),
    "shapes": frozenset(SHAPES),
}
#: Names of image kinds in both languages, and the words of captions that identify them.
_KINDS: Final[list[tuple[str, str, str]]] = [
    *((name, zh, name) for name, zh in KINDS.values()),
    ("flowchart", "流程图", "flowchart"),
    ("heat sink", "散热器", "heat sink"),
    ("spine X-ray", "脊柱X光片", "X-ray"),
    ("fractured vertebra", "骨折的椎体", "fractured"),
    ("geometry problem", "几何题", "geometry problem"),
    ("product card", "商品卡片", "product card"),
    ("living room", "客厅", "living room"),
    ("kitchen", "厨房", "kitchen"),
    ("bedroom", "卧室", "bedroom"),
    ("study", "书房", "study"),
    ("car park", "停车场", "car park"),
]
_TEMPLATES: Final[dict[Language, tuple[str, ...]]] = {
    "en": ("{a}", "{bare}", "the {bare}", "a picture of {a}", "find {a}"),
    "zh": ("{bare}", "一个{bare}", "有{bare}的图片", "{bare}的照片", "找{bare}"),
}


@dataclass(frozen=True, slots=True, order=True)
class Wanted:
    """One query target; ``colour`` is empty if any color matches."""

    colour: str
    name: str
    zh: str

    @property
    def group(self) -> str:
        """Return the group for reports: ``vehicles``, ``shapes``, ..."""
        for group, names in _GROUPS.items():
            if self.name in names:
                return group
        return "kinds of pictures"

    @property
    def english(self) -> str:
        """Return the English name, such as ``red bus``."""
        return f"{self.colour} {self.name}".strip()

    @property
    def chinese(self) -> str:
        """Return the Chinese name, such as ``红色公共汽车``."""
        return f"{CHINESE[self.colour]}{self.zh}" if self.colour else self.zh

    def query(self, language: Language, template: int = 0) -> str:
        """Format the query; ``template`` is taken modulo the number of templates."""
        bare = self.english if language == "en" else self.chinese
        forms = _TEMPLATES[language]
        return forms[template % len(forms)].format(a=article(bare), bare=bare)


def wanted_of(picture: Scene) -> list[Wanted]:
    """Return all query targets of an image, sorted."""
    found = set()
    for thing in picture.objects:
        if thing.label in THINGS and picture.family != "geometry":
            found.add(Wanted("", thing.label, THINGS[thing.label]))
            colour = thing.attributes.get("colour", "")
            if colour in CHINESE:
                found.add(Wanted(colour, thing.label, THINGS[thing.label]))
    said = " ".join(picture.captions["en"])
    found |= {Wanted("", name, zh) for name, zh, words in _KINDS if words in said}
    return sorted(found)
