"""Headless Chromium, controlled through its debugging pipe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)

#: For Playwright. Without these, Chromium contacts servers of its maker.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# Moves the pipe ends to descriptors 3 and 4; copies them first, because they may overlap.
_ON_3_AND_4 = """
import os, sys
reads, writes = (os.dup(os.dup(int(each))) for each in sys.argv[1:3])
os.dup2(reads, 3)
os.dup2(writes, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """A page; every call waits for the response of the browser."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._number = 0
        self._unread = b""
        self._session: str | None = None
        self.messages: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Call a protocol method and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self.messages.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    def open(self, url: str) -> None:
        """Load a page and wait for its load event."""
        self.call("Page.navigate", url=url)
        while not any(each.get("method") == "Page.loadEventFired" for each in self.messages):
            self.messages.append(self._read())
        self.messages = [m for m in self.messages if m.get("method") != "Page.loadEventFired"]

    def evaluate(self, expression: str) -> Any:
        """Evaluate an expression after the next frame; raise if it raises."""
        later = f"setTimeout(() => done({expression}))"
        code = f"new Promise(done => requestAnimationFrame(() => {later}))"
        result = self.call(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(str(result["exceptionDetails"]))
        return result["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def mouse(self, kind: str, x: float, y: float) -> None:
        """Send ``mouseMoved``, ``mousePressed`` or ``mouseReleased`` at a position."""
        button = "none" if kind == "mouseMoved" else "left"
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    def screenshot(self, path: Path) -> None:
        """Write a PNG of the window."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            if not (more := os.read(self._from, 1 << 20)):
                raise RuntimeError("the browser has ended")
            self._unread += more
        message, self._unread = self._unread.split(b"\0", 1)
        return dict(json.loads(message))


@contextmanager
def browser(width: int = 1280, height: int = 800) -> Iterator[Page]:
    """Run a browser with one empty page; end it after the block."""
    assert PROGRAM is not None
    for_browser, to_browser = os.pipe()
    from_browser, by_browser = os.pipe()
    with tempfile.TemporaryDirectory(
        prefix="sightline-browser-", ignore_cleanup_errors=True
    ) as home:
        words = [
            PROGRAM, "--headless", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe",
            "--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={home}",
            f"--window-size={width},{height}", "--hide-scrollbars", "--force-device-scale-factor=1",
        ]  # fmt: skip

        process = subprocess.Popen(
            [sys.executable, "-c", _ON_3_AND_4, str(for_browser), str(by_browser), *words],
            pass_fds=(for_browser, by_browser),
            stderr=subprocess.DEVNULL,
        )
        os.close(for_browser)
        os.close(by_browser)
        try:
            yield Page(to_browser, from_browser)
        finally:
            process.kill()
            process.wait()
            os.close(to_browser)
            os.close(from_browser)
