"""Material for the tasks of agents: pictures, scans, documents and a film, all made here.

Names of files tell nothing about their contents, except those that a task names.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from PIL import ExifTags, Image, ImageDraw, ImageFont
from reportlab.pdfgen.canvas import Canvas

from sightline.training.world import fonts
from sightline.training.world.export import export
from sightline.training.world.street.vehicles import VEHICLES
from tests.support import media

#: Collections without and with OCR, each with a folder of its name.
UNREAD_COLLECTIONS: Final = ("album", "groceries", "drawings", "film")
READ_COLLECTIONS: Final = ("receipts", "documents")
#: Folder with more receipts.
UNREAD: Final = "unread"
_SEED: Final = 22

Row = dict[str, Any]
Corners = tuple[float, float, float, float]

# --- album -----------------------------------------------------------------------------------

_STREETS, _OTHERS = 14, 70
_OTHER_FAMILIES: Final = (
    "room",
    "shapes",
    "spine",
    "product",
    "chart",
    "flowchart",
    "geometry",
)
#: Numbers of album pictures that were taken before 2010.
OLD: Final = (3, 7, 13)
#: Names of copies, with the number of the picture: recompressed, resized, both.
COPIES: Final = {"copy-a.jpg": 5, "copy-b.jpg": 5, "copy-c.jpg": 28}
OWNER: Final = "Okafor and Sons"
#: A picture of something else, whose caption tells who owns the only purple bicycle.
OWNED: Final = f"The purple bicycle belongs to {OWNER}"


def album_name(number: int) -> str:
    return f"IMG_{number:04}.jpg"


def write_album(folder: Path, world: Path) -> list[Row]:
    """Write pictures of the drawn world with captions, and return what they show.

    A row has the file name, the caption, the capture time and the vehicles (color, kind).
    """
    folder.mkdir()
    rows: list[Row] = []
    for families, count in (
        (("street",), _STREETS),
        (_OTHER_FAMILIES, _OTHERS),
    ):
        source = world / families[0]
        export(source, split="test", count=count, seed=_SEED, families=families)
        vehicles = _vehicles(source)
        for record in _records(source):
            name = album_name(len(rows))
            captured = record["captured_at"]
            if len(rows) in OLD:
                captured = datetime.fromisoformat(captured).replace(year=2008).isoformat()
            _copy_with_time(source / record["file_name"], folder / name, captured)
            rows.append(
                {
                    "file_name": name,
                    "caption": record["caption"],
                    "family": record["family"],
                    "captured_at": captured,
                    "vehicles": vehicles.get(record["file_name"], set()),
                }
            )
    for name, number in COPIES.items():
        picture: Image.Image = Image.open(folder / album_name(number))
        if name != "copy-a.jpg":
            picture = picture.resize((picture.width * 2 // 3, picture.height * 2 // 3))
        picture.save(folder / name, quality=60 if name == "copy-b.jpg" else 80)
    rooms = [row for row in rows if row["family"] == "room"]
    rooms[0]["caption"] = OWNED
    _write_rows(
        folder, [{key: row[key] for key in ("file_name", "caption", "family")} for row in rows]
    )
    return rows


def _vehicles(world: Path) -> dict[str, set[tuple[str, str]]]:
    coco = json.loads((world / "instances.json").read_text("utf-8"))
    kinds = {each["id"]: each["name"] for each in coco["categories"]}
    names = {each["id"]: each["file_name"] for each in coco["images"]}
    found: dict[str, set[tuple[str, str]]] = {}
    for each in coco["annotations"]:
        kind, color = kinds[each["category_id"]], each["attributes"].get("colour")
        if kind in VEHICLES and color:
            found.setdefault(names[each["image_id"]], set()).add((color, kind))
    return found


def _records(world: Path) -> list[Row]:
    lines = (world / "metadata.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _copy_with_time(source: Path, target: Path, captured: str | None) -> None:
    picture = Image.open(source)
    exif = Image.Exif()
    if captured:
        stamp = datetime.fromisoformat(captured).strftime("%Y:%m:%d %H:%M:%S")
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = stamp
    picture.save(target, quality=90, exif=exif)


def _write_rows(folder: Path, rows: Sequence[Row]) -> None:
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


# --- groceries -------------------------------------------------------------------------------

#: Caption, color of the drawing, department, price and whether it is organic.
PRODUCTS: Final = {
    "Garlic": ("A bulb of garlic", "ivory", "Vegetables", 0.90, "yes"),
    "Leek": ("A leek with long green leaves", "green", "vegetables", 1.20, "no"),
    "Red apple": ("A shiny red apple", "red", "Fruit", 0.45, "yes"),
    "Conference pear": ("A long green pear", "yellowgreen", "fruit", 0.55, "no"),
    "Banana": ("A bunch of yellow bananas", "yellow", "FRUIT", 1.10, "yes"),
    "Mango": ("A ripe orange mango", "orange", "Fruit", 1.95, "no"),
    "Lemon": ("Two lemons in a net", "gold", "fruit", 0.60, "no"),
    "Oat milk": ("A carton of oat milk", "skyblue", "Dairy", 2.35, "yes"),
    "Vanilla yoghurt": ("A cup of vanilla yoghurt", "beige", "dairy", 1.75, "no"),
    "Carrots": ("A bag of carrots", "darkorange", "Vegetables", 1.05, "yes"),
    "Cucumber": ("A green cucumber", "darkgreen", "Vegetables", 0.85, "no"),
    "Orange juice": ("A bottle of orange juice", "tomato", "Drinks", 3.15, "no"),
}
_COLUMNS: Final = ("file_name", "caption", "product", "department", "price", "organic")


def product_file(product: str) -> str:
    return f"item-{[*PRODUCTS].index(product):02}.jpg"


def write_groceries(folder: Path) -> None:
    folder.mkdir()
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(_COLUMNS)
        for number, (product, (caption, color, *facts)) in enumerate(PRODUCTS.items()):
            picture = Image.new("RGB", (256, 256), "white")
            draw = ImageDraw.Draw(picture)
            margin = 30 + 5 * number
            draw.ellipse((margin, 40, 256 - margin, 220), color, "black", 3)
            picture.save(folder / product_file(product), quality=90)
            table.writerow((product_file(product), caption, product, *facts))


# --- drawings --------------------------------------------------------------------------------

#: Part numbers by the number of a drawing.
PARTS: Final = {2: "TH-8254", 5: "PY-2680"}


def write_drawings(folder: Path, world: Path) -> list[Row]:
    """Write drawings of heat sinks, and return their file names and captions."""
    folder.mkdir()
    export(world / "heatsink", split="test", count=10, seed=_SEED, families=("heatsink",))
    rows = []
    for number, record in enumerate(_records(world / "heatsink")):
        name = f"sheet-{number:02}.jpg"
        shutil.copyfile(world / "heatsink" / record["file_name"], folder / name)
        words = record["caption"].split()
        if number in PARTS:
            words[2] = PARTS[number]  # heat sink AB-12 ...
        rows.append({"file_name": name, "caption": " ".join(words)})
    _write_rows(folder, rows)
    return rows


# --- receipts --------------------------------------------------------------------------------

#: Company, items with their prices, and the total.
RECEIPTS: Final = (
    ("NORTHSIDE BAKERY", (("RYE BREAD", "6.50"), ("BUTTER CAKE", "11.50")), "18.00"),
    ("HARBOR HARDWARE", (("CORDLESS DRILL", "465.00"), ("DRILL BITS", "128.10")), "593.10"),
    ("LOTUS PHARMACY", (("COUGH SYRUP", "12.00"), ("PLASTERS", "6.00")), "18.00"),
    ("NORTHSIDE BAKERY", (("SOURDOUGH", "14.35"), ("APPLE PIE", "28.00")), "42.35"),
    ("HARBOR HARDWARE", (("WOOD GLUE", "7.20"), ("PAINT BRUSH", "10.80")), "18.00"),
    ("NORTHSIDE BAKERY", (("CROISSANT", "3.90"), ("COFFEE", "4.00")), "7.90"),
    ("LOTUS PHARMACY", (("VITAMIN C", "75.00"), ("THERMOMETER", "43.00")), "118.00"),
)
#: Receipts of others in the same collection that nobody has read yet.
UNREAD_RECEIPTS: Final = 25


def receipt_name(number: int) -> str:
    return f"scan-{number:03}.jpg"


def write_receipts(folder: Path) -> list[Corners]:
    """Write scanned receipts, and return the box of each total, 0 to 1."""
    folder.mkdir()
    return [_write_receipt(folder, n, *receipt) for n, receipt in enumerate(RECEIPTS)]


def write_unread_receipts(folder: Path) -> None:
    """Write more receipts, for which OCR would take too long here."""
    folder.mkdir()
    for number in range(UNREAD_RECEIPTS):
        items = ((f"ARTICLE {number}", f"{number}.40"), (f"ARTICLE {number + 1}", "2.10"))
        total = f"{number + 2}.50"
        _write_receipt(folder, len(RECEIPTS) + number, f"SHOP NUMBER {number}", items, total)


def _write_receipt(
    folder: Path, number: int, company: str, items: Sequence[tuple[str, str]], total: str
) -> Corners:
    picture = Image.new("RGB", (560, 720), (250, 249, 245))
    draw = ImageDraw.Draw(picture)
    text = partial(draw.text, fill=(25, 25, 30))
    text((280, 50), company, font=_font(34), anchor="mm")
    text((280, 105), f"{12 + number} MARKET STREET", font=_font(24), anchor="mm")
    text((280, 150), f"{number + 1:02}/06/2018 1{number % 10}:25", font=_font(24), anchor="mm")
    for line, (item, price) in enumerate(items):
        text((50, 220 + 55 * line), item, font=_font(26))
        text((510, 220 + 55 * line), price, font=_font(26), anchor="ra")
    y = 400 + 20 * (number % 8)
    text((50, y), "TOTAL RM", font=_font(30))
    text((510, y), total, font=_font(30), anchor="ra")
    x0, y0, x1, y1 = draw.textbbox((510, y), total, _font(30), anchor="ra")
    text((280, y + 110), "THANK YOU", font=_font(24), anchor="mm")
    picture.save(folder / receipt_name(number), quality=88)
    return x0 / 560, y0 / 720, x1 / 560, y1 / 720


def _font(size: int, name: str = "OpenSans-Regular.ttf") -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(fonts.__file__).with_name(name), size)


# --- documents -------------------------------------------------------------------------------

HANDBOOK: Final = "handbook.pdf"
CHAPTERS: Final = (
    ("Contents", "This handbook describes how the boiler room is run."),
    ("Keys", "The keys hang in the glass cabinet at the main door."),
    ("Water", "Close the main tap before you open a pipe."),
    ("Heating", "The pump runs from October until the end of April."),
    ("Electricity", "The fuse box is behind the grey door."),
    ("Cleaning", "The filters are rinsed with warm water every month."),
    ("Emergency", "Turn the blue valve to the left and leave by the east stairs."),
    ("Contacts", "The caretaker can be reached at the lodge."),
)
FORM: Final = "registration.pdf"
FORM_VALUE: Final = "Wilhelmina Overbeek"
NOTE: Final = "note.png"
NOTE_TEXT: Final = "Meet Rosa at pier seven"
#: Place of the note on its picture, 0 to 1, and its color.
NOTE_BOX: Final = (0.70, 0.80, 0.84, 0.86)
NOTE_COLOR: Final = (255, 244, 150)


def write_documents(folder: Path) -> None:
    folder.mkdir()
    pages = [partial(_chapter, *chapter, number) for number, chapter in enumerate(CHAPTERS, 1)]
    (folder / HANDBOOK).write_bytes(media.pdf(*pages))
    (folder / FORM).write_bytes(media.pdf(_form))
    _desk().save(folder / NOTE)
    _write_rows(folder, [{"file_name": NOTE, "caption": "A desk with a handwritten note"}])


def _chapter(title: str, text: str, number: int, canvas: Canvas) -> None:
    canvas.setFont("Helvetica", 18)
    canvas.drawString(50, 520, f"{number}. {title}")
    canvas.setFont("Helvetica", 11)
    canvas.drawString(50, 480, text)


def _form(canvas: Canvas) -> None:
    canvas.setFont("Helvetica", 16)
    canvas.drawString(50, 520, "Registration of a visitor")
    canvas.setFont("Helvetica", 11)
    canvas.drawString(50, 468, "Full name of the visitor:")
    canvas.acroForm.textfield(
        name="visitor", value=FORM_VALUE, x=190, y=460, width=180, height=22, fontSize=11
    )


def _desk() -> Image.Image:
    """Draw a large desk with a small note in slanted writing."""
    size = (2400, 1800)
    desk = Image.new("RGB", size, (120, 84, 56))
    draw = ImageDraw.Draw(desk)
    draw.rectangle((200, 150, 1500, 1100), (60, 62, 66))  # a screen
    draw.rectangle((300, 1250, 1400, 1600), (210, 210, 205))  # a keyboard
    x0, y0, x1, y1 = (round(edge * size[i % 2]) for i, edge in enumerate(NOTE_BOX))
    note = Image.new("RGB", (x1 - x0, y1 - y0), NOTE_COLOR)
    font = _font(22, "Caladea-Regular.ttf")
    ImageDraw.Draw(note).text((30, 40), NOTE_TEXT, (30, 40, 120), font)
    slant = (1, 0.25, -0.25 * note.height / 2, 0, 1, 0)
    resampling = Image.Resampling.BICUBIC
    note = note.transform(
        note.size, Image.Transform.AFFINE, slant, resampling, fillcolor=NOTE_COLOR
    )
    desk.paste(note, (x0, y0))
    return desk


# --- film ------------------------------------------------------------------------------------

FILM: Final = "gate.mp4"
#: Seconds in which the car is visible.
CAR_SECONDS: Final = (8, 12)
_SHOWS_CAR: Final = re.compile(r" cars?\b(?! park)")
_SHOT_SECONDS, _FRAMES_PER_SECOND, _FILM_SIZE = 4, 8, (320, 240)


def write_film(folder: Path, world: Path) -> None:
    """Write a film: a room, a chart, a street with a car, a drawing."""
    folder.mkdir()
    scenes = world / "film"
    export(scenes, split="test", count=30, seed=_SEED + 1, families=("room", "chart", "street"))
    records = _records(scenes)
    car = next(row for row in records if _SHOWS_CAR.search(row["caption"]))
    first = {row["family"]: row for row in reversed(records)}
    shots = [first["room"], first["chart"], car, first["chart"]]
    with av.open(str(folder / FILM), "w") as out:
        stream = out.add_stream("mpeg4", rate=Fraction(_FRAMES_PER_SECOND))
        stream.width, stream.height = _FILM_SIZE
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        for pixels in _frames([Image.open(scenes / row["file_name"]) for row in shots]):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode())


def _frames(shots: Sequence[Image.Image]) -> Iterator[np.ndarray[Any, np.dtype[np.uint8]]]:
    for shot in shots:
        pixels = np.asarray(shot.convert("RGB").resize(_FILM_SIZE))
        for _ in range(_SHOT_SECONDS * _FRAMES_PER_SECOND):
            yield pixels


# --- all -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Material:
    """Folders by collection, and what a test knows about their contents."""

    folder: Path
    album: list[Row]
    drawings: list[Row]
    totals: list[Corners]


def write(folder: Path) -> Material:
    """Write a folder for each collection, and one of receipts for ingest without OCR."""
    world = folder / "world"
    album = write_album(folder / "album", world)
    write_groceries(folder / "groceries")
    drawings = write_drawings(folder / "drawings", world)
    totals = write_receipts(folder / "receipts")
    write_unread_receipts(folder / UNREAD)
    write_documents(folder / "documents")
    write_film(folder / "film", world)
    return Material(folder, album, drawings, totals)
