"""Routes of the web app: ``/`` and its files. They are static and need no token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from sightline.server.app import App
from sightline.server.web import web_pages

_HEADERS = {
    # The page and its files belong together, also after an update of the server.
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": web_pages.CONTENT_SECURITY_POLICY,
}
#: Values of Sec-Fetch-Site: the person followed a link of another site.
_OTHER_SITES = ("cross-site", "same-site")


def add_web_routes(app: App) -> None:
    """Add the page and the files of the web app."""

    async def page(request: Request) -> Response:
        # With a token in a link, another site could sign the person in as somebody who then sees
        # what the person adds.
        takes_token = request.headers.get("sec-fetch-site") not in _OTHER_SITES
        return Response(
            web_pages.browser_page(takes_token=takes_token),
            headers={**_HEADERS, "Vary": "Sec-Fetch-Site"},
            media_type="text/html",
        )

    app.custom_route("/", methods=["GET"])(page)
    for name, media_type in web_pages.FILES.items():
        app.custom_route(f"{web_pages.FILES_PATH}/{name}", methods=["GET"])(
            _file_handler(name, media_type)
        )


def _file_handler(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        headers = {**_HEADERS, "ETag": web_pages.file_etag(name), "Vary": "Accept-Encoding"}
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        content = web_pages.read_file(name)
        if "gzip" in request.headers.get("accept-encoding", ""):
            content = web_pages.gzipped_file(name)
            headers["Content-Encoding"] = "gzip"
        return Response(content, headers=headers, media_type=media_type)

    return handle
