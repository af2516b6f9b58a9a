"""Renders the configuration of Postgres for the memory of the machine."""

from __future__ import annotations

import os
from pathlib import Path

# Only part of the socket's name: no network port is opened.
PORT = 5432

_MIB = 1024 * 1024
_GIB = 1024 * _MIB
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - only its size is read
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def memory_bytes() -> int:
    """Return the memory of the machine, or of the container if that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = int(_CGROUP_LIMIT.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such control group, or "max"
        return total
    return min(total, limit)


def render(socket_folder: Path, *, durable: bool) -> str:
    """Return the text of the configuration file.

    For vector search, index and heap should fit into ``shared_buffers``, and the graph of an index
    build into ``maintenance_work_mem``. ``durable=False`` is for tests: it starts fast and may
    lose data in a crash.
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
        # Without replication, loads and index builds need no WAL copy.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "2GB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        "log_min_messages": "warning",
    }
    if _SHARED_MEMORY.is_dir() and _shared_memory_bytes() < 2 * _GIB:
        # The default of containers (64 MB) is too small for a parallel index build.
        settings["dynamic_shared_memory_type"] = "mmap"
    if not durable:
        settings |= {
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "128MB",  # fastest to set up
        }
    lines = [f"{name} = {_quoted(value)}" for name, value in settings.items()]
    return "# Overwritten at every start. For own settings use: ALTER SYSTEM SET ...\n" + "\n".join(
        [*lines, ""]
    )


def _shared_memory_bytes() -> int:
    status = os.statvfs(_SHARED_MEMORY)
    return status.f_frsize * status.f_blocks


def _megabytes(size: int, min_bytes: int, max_bytes: int) -> str:
    return f"{min(max(size, min_bytes), max_bytes) // _MIB}MB"


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
