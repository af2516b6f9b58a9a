"""Free ports for servers that need a port number in advance."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

#: Below the ephemeral ports, so that no connection takes one.
_OURS = range(20_000, 32_000)


def free_port() -> int:
    """Return a port without a listener."""
    for port in random.sample(_OURS, 100):
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"no free port in {_OURS}")
