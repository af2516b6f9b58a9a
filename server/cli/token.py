"""``sightline token``: create a static bearer token for the HTTP server."""

from __future__ import annotations

import argparse
import sys

HELP = "create a bearer token for the HTTP server"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of the principal, used in logs")
    parser.add_argument(
        "--scopes",
        nargs="+",
        default=["read"],
        metavar="SCOPE",
        help="read, write, analytics (default: read)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the line for the token file on stdout, and the secret token on stderr."""
    from sightline.server.auth.static_tokens import issue_token

    secret, stored = issue_token(arguments.name, arguments.scopes)
    print(f"To choose its collections: sightline bind {stored.name}", file=sys.stderr)
    print(f"Token for {stored.name}. It is shown only once:\n{secret}", file=sys.stderr)
    print(stored)
    return 0
