"""Chooses the system account that runs Postgres."""

from __future__ import annotations

import os
import pwd
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sightline.storage.errors import ConfigurationError

# For root, the first of these that exists. Create an account `sightline` to separate the database
# from other processes of `nobody`.
_ACCOUNTS_FOR_ROOT = ("sightline", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """Owner of the files and processes of a cluster."""

    uid: int
    gid: int

    def command(self, folder: Path, *arguments: str) -> list[str]:
        """Return the command that runs ``arguments`` as this account, owner of ``folder``."""
        if self.uid == os.geteuid():
            return list(arguments)
        launcher = Path(__file__).with_name("launcher.py")
        python = [sys.executable, "-I", "-S", str(launcher)]
        return [*python, str(self.uid), str(self.gid), str(folder), *arguments]

    def create_folder(self, folder: Path) -> None:
        """Create a private folder owned by this account."""
        folder.mkdir(mode=0o700, exist_ok=True)
        self.take_ownership(folder)

    def take_ownership(self, path: Path) -> None:
        """Make this account the owner of a file or folder."""
        if path.stat().st_uid != self.uid:
            os.chown(path, self.uid, self.gid)


def account_for(folder: Path) -> Account:
    """Return the account that runs a cluster below ``folder``.

    It is the folder's owner, also if root opens a user's database. For a folder of root it is an
    unprivileged account, because Postgres refuses to run as root.
    """
    owner = folder.stat()
    if os.geteuid() not in (0, owner.st_uid):
        raise ConfigurationError(
            f"{folder} belongs to {_name(owner.st_uid)} and this process runs as "
            f"{_name(os.geteuid())}. Run as the owner, or choose another data folder "
            "(SIGHTLINE_DATA_DIR)."
        )
    if owner.st_uid != 0:
        uid = owner.st_uid
        if _name(uid) == f"uid {uid}":
            raise ConfigurationError(
                f"Postgres needs a named account, and uid {uid} has no entry in the user database. "
                f"Add one (in a container: echo 'sightline:x:{uid}:{uid}::/:/bin/false' >> "
                "/etc/passwd), or set SIGHTLINE_DATABASE__URL."
            )
        return Account(uid, owner.st_gid)
    for name in _ACCOUNTS_FOR_ROOT:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise ConfigurationError(
        "Postgres refuses to run as root, and there is no account "
        f"{' or '.join(repr(name) for name in _ACCOUNTS_FOR_ROOT)}. Run Sightline as an ordinary "
        "user, or set SIGHTLINE_DATABASE__URL."
    )


def _name(uid: int) -> str:
    try:
        return repr(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"uid {uid}"
