"""An album on disk with known content.

shop/       eight pictures of four flat quarters with a caption, a product and a price
shelf/      twenty-four pictures with nothing but a caption
site/       a turned photograph with EXIF, a large picture for looking at, a broken file
notes.md    a text document
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.sample_images import encoded, exif, picture

Colour = tuple[int, int, int]

RED, GREEN, BLUE, WHITE = (220, 20, 20), (20, 180, 40), (20, 40, 200), (245, 245, 245)
BLACK, YELLOW, GREY, VIOLET = (10, 10, 10), (240, 220, 30), (120, 120, 120), (130, 30, 160)


@dataclass(frozen=True)
class Product:
    """An image of the shop: its quarters, row by row, and what is said of it."""

    name: str
    quarters: tuple[Colour, Colour, Colour, Colour]
    caption: str
    price: float
    organic: bool

    @property
    def file(self) -> str:
        return f"shop/{self.name.lower()}.png"


SHOP = (
    Product("Garlic", (WHITE, WHITE, GREEN, WHITE), "A bulb of garlic on a green cloth", 1.5, True),
    Product("Onion", (WHITE, YELLOW, GREEN, WHITE), "Three yellow onions in a net", 2.0, False),
    Product("Tomato", (RED, RED, GREEN, RED), "Ripe tomatoes on the vine", 3.25, True),
    Product("Pepper", (RED, RED, GREEN, BLACK), "A red bell pepper", 2.75, False),
    Product("Plum", (BLUE, VIOLET, BLUE, BLACK), "A bowl of dark plums", 4.0, True),
    Product("Grape", (BLUE, VIOLET, GREEN, VIOLET), "Grapes, blue and sweet", 5.5, False),
    Product("Salt", (WHITE, GREY, WHITE, GREY), "Coarse sea salt in a jar", 0.99, False),
    Product("大蒜", (WHITE, WHITE, GREEN, GREY), "绿色桌布上的大蒜", 9.0, True),
)

NOTES = """\
The heat sink HS-4420 has a hole spacing of 42.5 mm and is made of aluminium.
Deliveries arrive at the north gate before seven in the morning.
"""

SHELVES = 24

PICTURES = len(SHOP) + SHELVES + 2

#: When the turned photograph was taken, as its camera wrote it.
TAKEN = "2026:05:01 16:40:00"


def quarters(colors: tuple[Colour, Colour, Colour, Colour], size: tuple[int, int]) -> Image.Image:
    """Four flat quarters: top left, top right, bottom left, bottom right."""
    cells = np.array(colors, dtype=np.uint8).reshape(2, 2, 3)
    return Image.fromarray(cells).resize(size, Image.Resampling.NEAREST)


def build(folder: Path) -> None:
    """Write the album."""
    (folder / "shop").mkdir(parents=True)
    (folder / "site").mkdir()
    rows = []
    for product in SHOP:
        drawn = quarters(product.quarters, (96, 64))
        (folder / product.file).write_bytes(encoded(drawn, "PNG"))
        rows.append(
            {
                "file_name": product.file,
                "text": product.caption,
                "product": product.name,
                "price": product.price,
                "organic": product.organic,
            }
        )
    (folder / "shelf").mkdir()
    for number in range(SHELVES):
        shelf = picture(number, (90, 60))
        (folder / "shelf" / f"{number:02}.jpg").write_bytes(encoded(shelf, quality=90))
        (folder / "shelf" / f"{number:02}.txt").write_text(f"Shelf {number} of the storeroom\n")
    table = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(table, encoding="utf-8")
    # As the camera held it; turned by 90 degrees it is 60 wide and 80 high, red on top.
    turned = quarters((BLUE, RED, BLUE, RED), (80, 60))
    (folder / "site" / "gate.jpg").write_bytes(
        encoded(turned, quality=92, exif=exif(taken=TAKEN, offset="+02:00", orientation=8))
    )
    large = quarters((RED, GREEN, BLUE, YELLOW), (2400, 1600))
    (folder / "site" / "large.jpg").write_bytes(encoded(large, quality=90))
    (folder / "site" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and then nothing of use")
    (folder / "notes.md").write_text(NOTES, encoding="utf-8")
