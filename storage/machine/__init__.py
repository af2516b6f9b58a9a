"""What this process may use of the machine: cores and memory."""

from sightline.storage.machine.machine_limits import available_cores, memory_bytes

__all__ = ["available_cores", "memory_bytes"]
