"""A local model hub: metadata, redirects to a storage, ranges, and failures on demand."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "c" * 40


def git_sha1(content: bytes) -> str:
    """Return the hash of a git blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass
class ModelHub:
    """Repositories by name. ``asked`` has method, path and headers of each request."""

    url: str = ""
    storage: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    #: What the storage sends instead of the content.
    replaced: dict[str, bytes] = field(default_factory=dict)
    #: Bytes after which a connection breaks, one for each request of a file.
    breaks: dict[str, list[int]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    commit: str = COMMIT
    license: str | None = "mit"
    gated: bool = False
    ignores_ranges: bool = False
    #: A mirror that announces other hashes than it lists.
    announced: dict[str, str] = field(default_factory=dict)
    token: str = "hf_right"
    #: What the metadata ends with, and how they are encoded.
    extra_info: bytes = b""
    encode: Callable[[bytes], bytes] = bytes
    encoding: str = ""
    #: A redirect announces content and sends none.
    is_redirect_endless: bool = False
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def asked_files(self) -> list[str]:
        """Return the names of the files that were asked for at the hub."""
        return [
            path.split(f"/{self.commit}/")[1] for _, path, _ in self.asked if "/resolve/" in path
        ]

    def ranges(self) -> list[str]:
        """Return the ranges that were asked for at the storage."""
        found = [each.get("range", "") for _, path, each in self.asked if path.startswith("/lfs/")]
        return [each for each in found if each]

    def info(self, repository: str) -> dict[str, object]:
        siblings = []
        for name, content in self.repositories[repository].items():
            size = self.sizes.get(name, len(content))
            entry: dict[str, object] = {
                "rfilename": name,
                "size": size,
                "blobId": git_sha1(content),
            }
            if is_lfs(name):
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": size, "pointerSize": 134}
                entry["blobId"] = "0" * 40
            siblings.append(entry)
        card = None if self.license is None else {"license": self.license}
        return {"id": repository, "sha": self.commit, "siblings": siblings, "cardData": card}


def is_lfs(name: str) -> bool:
    return name.endswith((".onnx", ".onnx_data", ".safetensors", ".bin"))


@contextmanager
def serve() -> Iterator[ModelHub]:
    """Run the hub and its storage, which is another host for the client."""
    hub = ModelHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.asked.append(
                (self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
            )
            parts = urlsplit(self.path)
            path = unquote(parts.path)
            if path.startswith("/loop/"):
                self._answer(302, b"", {"Location": self.path})
                return
            if path.startswith("/lfs/"):
                repository, name = path.removeprefix("/lfs/").split("//")
                self._content(name, hub.repositories[repository][name])
                return
            if path.startswith("/api/models/"):
                repository, _, revision = path.removeprefix("/api/models/").partition("/revision/")
                self._info(repository, revision, parse_qs(parts.query))
                return
            repository, _, rest = path.lstrip("/").partition("/resolve/")
            self._resolve(repository, *rest.split("/", 1))

        def _info(self, repository: str, revision: str, query: dict[str, list[str]]) -> None:
            if self._refused(repository, revision):
                return
            assert query.get("blobs") == ["true"]
            body = hub.encode(json.dumps(hub.info(repository)).encode() + hub.extra_info)
            self._answer(200, body, {"Content-Encoding": hub.encoding} if hub.encoding else None)

        def _refused(self, repository: str, revision: str) -> bool:
            right = self.headers.get("Authorization") == f"Bearer {hub.token}"
            if repository not in hub.repositories:
                # As the hub does, so that names of private repositories stay secret.
                self._answer(401, b"", {"X-Error-Code": "RepoNotFound"})
            elif hub.gated and not right:
                status = 403 if "Authorization" in self.headers else 401
                self._answer(status, b"", {"X-Error-Code": "GatedRepo"})
            elif revision not in ("main", "v1", hub.commit):
                self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            else:
                return False
            return True

        def _resolve(self, repository: str, revision: str, name: str) -> None:
            if self._refused(repository, revision):
                return
            content = hub.repositories[repository][name]
            digest = hashlib.sha256(content).hexdigest() if is_lfs(name) else git_sha1(content)
            digest = hub.announced.get(name, digest)
            if is_lfs(name):
                self._answer(
                    302,
                    b"",
                    {
                        "Location": f"{hub.storage}/lfs/{repository}//{name}",
                        "X-Linked-ETag": f'"{digest}"',
                        "X-Linked-Size": str(len(content)),
                        "X-Repo-Commit": hub.commit,
                    }
                    | ({"Content-Length": str(10**18)} if hub.is_redirect_endless else {}),
                )
            else:
                self._content(name, content, {"ETag": f'"{digest}"'})

        def _content(
            self, name: str, content: bytes, headers: dict[str, str] | None = None
        ) -> None:
            content = hub.replaced.get(name, content)
            asked = "" if hub.ignores_ranges else self.headers.get("Range", "")
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            body, headers = content[start:], dict(headers or {"ETag": '"storage-of-parts"'})
            if asked:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            breaks = hub.breaks.get(name)
            self._answer(206 if asked else 200, body, headers, breaks.pop(0) if breaks else None)

        def _answer(
            self,
            status: int,
            body: bytes,
            headers: dict[str, str] | None = None,
            cut: int | None = None,
        ) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body[:cut])
            if cut is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # the client disconnected

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    port = server.server_port
    hub.url, hub.storage = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
