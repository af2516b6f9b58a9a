"""find_duplicates groups copies, the largest first."""

from __future__ import annotations

import base64
import io

from PIL import Image, ImageDraw

from tests.tools.toolbox import ToolEnvironment


def drawing(seed: int, edge: int) -> bytes:
    """Return a PNG of a pattern that depends on the seed."""
    image = Image.new("RGB", (256, 256), "white")
    pen = ImageDraw.Draw(image)
    for number in range(8):
        left, top = (37 * (number + 3 * seed)) % 200, (53 * (2 * number + 7 * seed)) % 200
        pen.rectangle([left, top, left + 40, top + 30], fill=(20 * number, 90 * seed % 256, 120))
    buffer = io.BytesIO()
    image.resize((edge, edge), Image.Resampling.LANCZOS).save(buffer, "PNG")
    return buffer.getvalue()


def upload(name: str, data: bytes) -> dict[str, str]:
    return {"name": name, "data": base64.b64encode(data).decode()}


async def test_copies_are_grouped_and_the_largest_is_first(
    empty_environment: ToolEnvironment,
) -> None:
    async with empty_environment.serve() as tools:
        uploads = [
            upload("small.png", drawing(1, 128)),
            upload("large.png", drawing(1, 256)),
            upload("other.png", drawing(2, 200)),
        ]
        await tools.call("add_images", collection="scans", uploads=uploads)
        await tools.call("add_images", collection="more", uploads=uploads[1:2])
        every = await tools.call("find_duplicates")
        scans = await tools.call("find_duplicates", collection="scans")
    (group,) = scans["groups"]
    assert [image["source"] for image in group["images"]] == ["large.png", "small.png"]
    assert [image["size"] for image in group["images"]] == [[256, 256], [128, 128]]
    assert (scans["total_groups"], scans["redundant"], scans["compared"]) == (1, 1, 3)
    (group,) = every["groups"]
    assert len(group["images"]) == 3
    assert [image["distance"] for image in group["images"]][:2] == [0, 0]
    assert {image["collection"] for image in group["images"]} == {"scans", "more"}


async def test_groups_are_paged(empty_environment: ToolEnvironment) -> None:
    async with empty_environment.serve() as tools:
        uploads = [
            upload(f"{seed}-{edge}.png", drawing(seed, edge))
            for seed in (1, 2, 3)
            for edge in (128, 256)
        ]
        await tools.call("add_images", collection="scans", uploads=uploads)
        first = await tools.call("find_duplicates", limit=2)
        rest = await tools.call("find_duplicates", limit=2, offset=first["next_offset"])
        refused = await tools.call_error("find_duplicates", collection="scan")
    assert first["total_groups"] == 3
    assert "next_offset" not in rest
    seen = [group["images"][0]["source"] for group in first["groups"] + rest["groups"]]
    assert sorted(seen) == ["1-256.png", "2-256.png", "3-256.png"]
    assert "'scan'" in refused
    assert "'scans'" in refused
