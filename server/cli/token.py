"""``sightline token``: a bearer token for the HTTP server, and the line to keep of it."""

from __future__ import annotations

import argparse
import sys

HELP = "make a bearer token for the HTTP server"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", metavar="NAME", help="whose it is; logs and sessions show it")
    parser.add_argument(
        "--scopes",
        nargs="+",
        default=["read"],
        metavar="SCOPE",
        help="read, write, analytics (default: read)",
    )


def run(arguments: argparse.Namespace) -> int:
    """The line to keep on stdout, to append to a file; the token itself on stderr, this once."""
    from sightline.server.auth.static_tokens import issue_token

    secret, kept = issue_token(arguments.name, arguments.scopes)
    print(f"Which collections it opens is said with: sightline bind {kept.name}", file=sys.stderr)
    print(f"The token, for {kept.name} alone; it is shown this once:\n{secret}", file=sys.stderr)
    print(kept)
    return 0
