"""The configuration of the embedded Postgres, sized to the machine at every start."""

from __future__ import annotations

import os
from pathlib import Path

# Of the socket's name only: no network port is opened.
PORT = 5432

_MIB = 1024 * 1024
_GIB = 1024 * _MIB
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - asked for its size, never written
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def memory_bytes() -> int:
    """The memory that this process may use: the machine's, or its container's if that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = int(_CGROUP_LIMIT.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such control group, or "max"
        return total
    return min(total, limit)


def render(socket_folder: Path, *, durable: bool) -> str:
    """The text of the configuration file.

    Vector search wants index and heap in ``shared_buffers`` and the graph of a build in
    ``maintenance_work_mem``. ``durable=False`` is for tests: quick to start, small, and a crash may
    lose anything.
    """
    memory = memory_bytes()
    settings = {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": str(socket_folder),
        "unix_socket_permissions": "0700",
        "shared_buffers": _megabytes(memory // 4, 128 * _MIB, 8 * _GIB),
        "maintenance_work_mem": _megabytes(memory // 16, 64 * _MIB, 2 * _GIB),
        "work_mem": "16MB",
        "effective_cache_size": _megabytes(memory // 2, 256 * _MIB, 1024 * _GIB),
        "random_page_cost": "1.1",
        "jit": "off",
        # Nothing replicates from here, so loads and index builds need not be logged twice.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "2GB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        "log_min_messages": "warning",
    }
    if _SHARED_MEMORY.is_dir() and _shared_memory_bytes() < 2 * _GIB:
        # Containers have 64 MB there by default, where a parallel index build dies.
        settings["dynamic_shared_memory_type"] = "mmap"
    if not durable:
        settings |= {
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "128MB",  # the least to set up at every start
        }
    lines = [f"{name} = {_quoted(value)}" for name, value in settings.items()]
    return "# Written by Sightline at every start. Yours: ALTER SYSTEM SET ...\n" + "\n".join(
        [*lines, ""]
    )


def _shared_memory_bytes() -> int:
    status = os.statvfs(_SHARED_MEMORY)
    return status.f_frsize * status.f_blocks


def _megabytes(size: int, least: int, most: int) -> str:
    return f"{min(max(size, least), most) // _MIB}MB"


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
