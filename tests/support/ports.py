"""Ports for servers that are told theirs before they run."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

#: Below those that the system hands out by itself, so that no connection takes one meanwhile.
_OURS = range(20_000, 32_000)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    for port in random.sample(_OURS, 100):
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"no free port in {_OURS}")
