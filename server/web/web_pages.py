"""Pages of the web app: one for browsers, one for chats that show MCP Apps.

Both load the same bundle, which ``make web`` builds from ``server/web/app``.
"""

from __future__ import annotations

import gzip
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

_BUNDLE = Path(__file__).parent / "bundle"
#: Path of the files below the address of the server.
FILES_PATH: Final = "/ui"
#: Media type by file name.
FILES: Final = {"app.js": "text/javascript", "app.css": "text/css"}
#: Scripts, styles and media come from this server only; pictures also from the page's memory.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

_HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sightline</title>
"""
_BODY = """\
</head>
<body>
<div id="app"></div>
<noscript>Sightline needs JavaScript.</noscript>
"""


def browser_page(*, takes_token: bool) -> str:
    """Return the HTML page that a browser opens; its addresses are relative.

    With ``takes_token`` it uses a token in the fragment of its address.
    """
    token = "" if takes_token else '<meta name="sightline-token" content="typed">\n'
    return (
        f'{_HEAD}{token}<link rel="icon" href="data:,">\n'
        f'<link rel="stylesheet" href=".{FILES_PATH}/app.css">\n'
        f'<script type="module" src=".{FILES_PATH}/app.js"></script>\n{_BODY}</body>\n</html>\n'
    )


def chat_page() -> str:
    """Return the HTML page for the frame of a chat, with everything in it."""
    style = read_file("app.css").decode()
    # `</script` would end the element; in a string or pattern of the bundle `<\\/` means the same.
    script = read_file("app.js").decode().replace("</script", "<\\/script")
    return (
        f'{_HEAD}<meta name="sightline-mode" content="chat">\n'
        f"<style>{style}</style>\n{_BODY}"
        f'<script type="module">{script}</script>\n</body>\n</html>\n'
    )


@cache
def read_file(name: str) -> bytes:
    """Return a file of the bundle. ``name`` is a key of `FILES`."""
    return (_BUNDLE / name).read_bytes()


@cache
def gzipped_file(name: str) -> bytes:
    """Return a file of the bundle, compressed."""
    return gzip.compress(read_file(name), mtime=0)


@cache
def file_etag(name: str) -> str:
    """Return a weak tag, which is the same for the compressed file."""
    return f'W/"{sha256(read_file(name)).hexdigest()[:32]}"'
