"""Start Sightline for the application that installed this bundle.

The arguments are the folders that the user chose. The application passes other choices as
variables.
"""

import os
import sys

from sightline.server.cli import main

#: What some applications pass instead of an optional value that the user left empty.
_LEFT_EMPTY = "${user_config."


def apply_choices(folders: list[str]) -> None:
    """Turn the choices of the user into settings."""
    for name, value in tuple(os.environ.items()):
        if name.startswith("SIGHTLINE_") and value.startswith(_LEFT_EMPTY):
            del os.environ[name]
    chosen = [each for each in folders if each and not each.startswith(_LEFT_EMPTY)]
    if chosen:
        os.environ["SIGHTLINE_ALLOWED_ROOTS"] = os.pathsep.join(chosen)


if __name__ == "__main__":
    apply_choices(sys.argv[1:])
    sys.exit(main(["serve"]))
