"""Six images with captions and metadata, and a document."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.sample_images import fill

CAPTIONS = (
    "A white van behind the north fence",
    "Two bicycles against a brick wall",
    "红色的门",
    "A heat sink on a workbench",
    "An X-ray film of a spine",
    "A receipt from the corner shop",
)
NOTES = "The heat sink HS-4420 has a hole spacing of 42.5 mm.\n"

#: Tools that the test calls.
TOOLS = {
    "list_collections",
    "search_images",
    "search_text",
    "view_image",
    "add_images",
    "delete_assets",
}


def build(folder: Path) -> None:
    """Write the gallery."""
    rows = [
        {"file_name": path.name, "text": caption, "number": number}
        for number, (path, caption) in enumerate(
            zip(fill(folder, len(CAPTIONS)), CAPTIONS, strict=True)
        )
    ]
    table = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(table, encoding="utf-8")
    (folder / "notes.md").write_text(NOTES, encoding="utf-8")
