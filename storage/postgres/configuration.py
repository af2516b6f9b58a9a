"""Chooses the socket folder and renders the configuration of Postgres."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from sightline.storage.errors import ConfigurationError
from sightline.storage.machine import available_cores, memory_bytes
from sightline.storage.postgres.account import Account

# Only part of the socket's name: no network port is opened.
PORT = 5432
# A socket path has at most 108 bytes on Linux and 104 on macOS, with the final NUL.
_MAX_FOLDER_BYTES = 103 - len(f"/.s.PGSQL.{PORT}")
# Postgres and libpq parse the path as a list: no commas, quotes or spaces.
_PLAIN = re.compile(r"/[A-Za-z0-9/._+-]*")

_FIRST_WITH_NOTIFY_LIMIT = 17

_MIB = 1024 * 1024
_GIB = 1024 * _MIB
_MAX_PARALLEL_WORKERS = 8  # the default of Postgres
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - only its size is read


def stored_bytes(data: Path) -> int:
    """Return the size of the tables and indexes of a cluster."""
    sizes = 0
    for folder, _, names in os.walk(data / "base"):
        for name in names:
            with suppress(FileNotFoundError):
                sizes += (Path(folder) / name).stat().st_size
    return sizes


def render(sockets: Path, major: int, data_bytes: int, *, durable: bool) -> str:
    """Return the text of the configuration file for a major version of Postgres.

    For vector search, index and heap should fit into ``shared_buffers``, and the graph of an index
    build into ``maintenance_work_mem``. A cache of more than twice ``data_bytes`` would only cost:
    6 GB take 130 MB and half a second of each start. ``durable=False`` is for tests: it starts fast
    and may lose data in a crash.
    """
    memory = memory_bytes()
    least = min(max(memory // 16, 64 * _MIB), 512 * _MIB)
    most = min(max(memory // 4, 64 * _MIB), 8 * _GIB)
    settings = {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        "shared_buffers": _megabytes(2 * data_bytes, least, most),
        "maintenance_work_mem": _megabytes(memory // 16, 32 * _MIB, 2 * _GIB),
        "work_mem": _megabytes(memory // 128, 4 * _MIB, 16 * _MIB),
        "effective_cache_size": _megabytes(memory // 2, 128 * _MIB, 1024 * _GIB),
        # Each process of a parallel query has its own work_mem.
        "max_parallel_workers": str(min(available_cores() - 1, _MAX_PARALLEL_WORKERS)),
        "random_page_cost": "1.1",
        "jit": "off",
        # Without replication, loads and index builds need no WAL copy.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "2GB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        "log_min_messages": "warning",
    }
    if _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).total < 2 * _GIB:
        # The default of containers (64 MB) is too small for a parallel index build.
        settings["dynamic_shared_memory_type"] = "mmap"
    if major >= _FIRST_WITH_NOTIFY_LIMIT:
        # Every role may write notifications, which stay on disk while one session listens.
        settings["max_notify_queue_pages"] = "64"  # the minimum, 512 KiB
    if not durable:
        settings |= {
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "128MB",  # fastest to set up
        }
    header = "# Overwritten at every start. For own settings use: ALTER SYSTEM SET ..."
    lines = [f"{name} = {_quoted(value)}" for name, value in settings.items()]
    return "\n".join([header, *lines, ""])


def _megabytes(size: int, min_bytes: int, max_bytes: int) -> str:
    return f"{min(max(size, min_bytes), max_bytes) // _MIB}MB"


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def socket_folder(control: Path, account: Account) -> Path:
    """Return a folder with a short path that only ``account`` and root can enter.

    It is ``control/run`` if that path is suitable, else a temporary folder with a link there.
    """
    own = control / "run"
    if _is_suitable(own) and not own.is_symlink():
        account.create_folder(own)
        return own
    if own.is_symlink():
        linked = own.readlink()
        if _is_suitable(linked) and _is_private(linked.parent, control.stat().st_uid):
            account.create_folder(linked)
            return linked
        own.unlink()
    elif own.exists():
        shutil.rmtree(own)  # the data folder was moved to a longer path
    private = Path(tempfile.mkdtemp(prefix="sightline-"))
    target = private / "run"
    if not _is_suitable(target):
        private.rmdir()
        raise ConfigurationError(
            "The database socket needs a short path of plain characters. Neither "
            f"{str(control)!r} nor the temporary folder {tempfile.gettempdir()!r} is suitable. Set "
            "TMPDIR to another folder."
        )
    if account.uid != os.geteuid() and control.stat().st_uid == account.uid:
        os.chown(private, account.uid, account.gid)  # root opens a user's database
    account.create_folder(target)
    own.symlink_to(target)
    return target


def remove_linked_folder(control: Path) -> None:
    """Remove the temporary folder of ``socket_folder`` after the server has stopped."""
    link = control / "run"
    if link.is_symlink():
        shutil.rmtree(link.readlink().parent, ignore_errors=True)
        link.unlink()


def _is_suitable(folder: Path) -> bool:
    path = str(folder)
    return len(os.fsencode(path)) <= _MAX_FOLDER_BYTES and _PLAIN.fullmatch(path) is not None


def _is_private(folder: Path, owner: int) -> bool:
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == owner
        and stat.S_IMODE(found.st_mode) & 0o077 == 0
    )
