"""Every tool works in both protocol revisions over every transport."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import BlobResourceContents, CallToolResult, TextContent
from PIL import Image

from sightline.server.config import Settings
from tests.acceptance.conftest import Connect
from tests.acceptance.gallery import CAPTIONS, TOOLS
from tests.support.results import images_of, json_of
from tests.support.sample_images import jpeg


async def answered(
    client: Client, tool: str, **arguments: Any
) -> tuple[dict[str, Any], list[Image.Image]]:
    """Return the result and its images."""
    result = await client.call_tool(tool, arguments)
    return json_of(result), images_of(result)


def said(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


async def test_a_client_adds_searches_views_and_deletes_assets(
    connect: Connect, mode: str, settings: Settings, pictures: Path
) -> None:
    async with connect(settings, mode) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} >= TOOLS

        added, _ = await answered(client, "add_images", collection="gallery", paths=[str(pictures)])
        assert (added["added"], added["failed"]) == (len(CAPTIONS) + 1, 0)

        listed, _ = await answered(client, "list_collections")
        (collection,) = listed["collections"]
        assert (collection["name"], collection["assets"]) == ("gallery", len(CAPTIONS))
        assert collection["encoder"] == "local-dir:random-clip"

        found, (sheet,) = await answered(
            client,
            "search_images",
            query="north fence",
            detail="detailed",
            limit=6,
            contact_sheet=True,
        )
        # Words only: the weights of the encoder are random.
        (van,) = [
            hit for hit in found["hits"] if hit["retrievers"].get("lexical", {}).get("rank") == 1
        ]
        assert van["source"] == f"{pictures}/0000.jpg"
        assert van["caption"] == CAPTIONS[0]
        assert min(sheet.size) > 48

        upload = f"data:image/jpeg;base64,{base64.b64encode(jpeg(1)).decode()}"
        alike, _ = await answered(client, "search_images", image=upload, limit=1)
        assert alike["hits"][0]["source"] == f"…/{pictures.name}/0001.jpg"
        assert alike["hits"][0]["distance"] < 0.01

        by_path, _ = await answered(client, "search_images", image=f"{pictures}/0002.jpg", limit=1)
        assert by_path["hits"][0]["caption"] == "红色的门"

        filtered, _ = await answered(client, "search_images", query="x", filters={"number": 3})
        assert [hit["caption"] for hit in filtered["hits"]] == [CAPTIONS[3]]

        passages, _ = await answered(client, "search_text", query="HS-4420 hole spacing")
        assert "42.5 mm" in passages["hits"][0]["text"]
        assert passages["hits"][0]["source"] == f"…/{pictures.name}/notes.md"

        viewed, (picture,) = await answered(
            client, "view_image", asset=van["asset"], crop=[0, 0, 0.5, 1]
        )
        assert viewed["asset"]["asset"] == van["asset"]
        # Enlarged, at most eight times.
        assert max(picture.size) > 200

        uri = f"sightline://asset/{van['asset']}"
        (content,) = (await client.read_resource(uri)).contents
        assert isinstance(content, BlobResourceContents)
        assert Image.open(io.BytesIO(base64.b64decode(content.blob))).size == (48, 32)

        refused = await client.call_tool("search_images", {"query": "van", "top_k": 3})
        assert refused.is_error
        assert "no argument 'top_k'" in said(refused)

        deleted, _ = await answered(client, "delete_assets", assets=[van["asset"]])
        assert (deleted["deleted"], deleted["assets"]) == (True, 1)
        gone = await client.call_tool("view_image", {"asset": van["asset"]})
        assert gone.is_error
        assert f"Unknown asset '{van['asset']}'" in said(gone)
