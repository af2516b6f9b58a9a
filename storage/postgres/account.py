"""Which system account Postgres runs as."""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import dataclass
from pathlib import Path

from sightline.storage.errors import ConfigurationError

# The first of these that exists. An administrator who wants the database apart from everything
# else that runs as `nobody` makes an account `sightline`.
_ACCOUNTS_FOR_ROOT = ("sightline", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """The owner of a cluster's files and processes."""

    uid: int
    gid: int

    @property
    def is_current(self) -> bool:
        """Whether this process runs as that account already."""
        return self.uid == os.geteuid()

    def command(self, folder: Path, *arguments: str) -> list[str]:
        """The command line that runs ``arguments`` as this account; ``folder`` is its to write."""
        if self.is_current:
            return list(arguments)
        launcher = Path(__file__).with_name("launcher.py")
        python = [sys.executable, "-I", "-S", str(launcher)]
        return [*python, str(self.uid), str(self.gid), str(folder), *arguments]

    def own(self, folder: Path) -> None:
        """Makes a private folder of this account's."""
        folder.mkdir(mode=0o700, exist_ok=True)
        self.give(folder)

    def give(self, path: Path) -> None:
        """Makes the file or folder this account's."""
        if path.stat().st_uid != self.uid:
            os.chown(path, self.uid, self.gid)


def account_for(folder: Path) -> Account:
    """The account that runs a cluster below ``folder``.

    It is the folder's owner, so that a user's own database stays the user's when root opens it;
    where that is root, an account without rights, since Postgres refuses to run as root.
    """
    owner = folder.stat()
    if owner.st_uid != 0:
        if os.geteuid() not in (0, owner.st_uid):
            raise ConfigurationError(
                f"{folder} belongs to {_name(owner.st_uid)} and this process runs as "
                f"{_name(os.geteuid())}; run as the owner, or choose another data folder "
                "(SIGHTLINE_DATA_DIR)"
            )
        _require_name(owner.st_uid)
        return Account(owner.st_uid, owner.st_gid)
    if os.geteuid() != 0:
        raise ConfigurationError(
            f"{folder} belongs to root and this process runs as {_name(os.geteuid())}; run as "
            "root, or choose another data folder (SIGHTLINE_DATA_DIR)"
        )
    for name in _ACCOUNTS_FOR_ROOT:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise ConfigurationError(
        "Postgres refuses to run as root, and there is no account "
        f"{' or '.join(repr(name) for name in _ACCOUNTS_FOR_ROOT)} to run it as; run Sightline as "
        "an ordinary user, or set SIGHTLINE_DATABASE__URL"
    )


def _name(uid: int) -> str:
    try:
        return repr(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"uid {uid}"


def _require_name(uid: int) -> None:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise ConfigurationError(
            f"Postgres needs a named account, and uid {uid} has no entry in the user database; "
            f"add one (in a container: echo 'sightline:x:{uid}:{uid}::/:/bin/false' >> "
            "/etc/passwd), or set SIGHTLINE_DATABASE__URL"
        ) from None
