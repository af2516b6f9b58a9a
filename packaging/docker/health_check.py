"""Exit with 0 if the server of this container is ready, and with 1 if it is not."""

import http.client
import os
import sys

#: Shorter than the limit of HEALTHCHECK.
_SECONDS = 8


def is_ready(port: int) -> bool:
    """Ask ``/readyz``. It never goes through a proxy, unlike a request of urllib."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_ready(int(os.environ.get("SIGHTLINE_HTTP__PORT") or 8765)) else 1)
