"""Which addresses a file may be fetched from."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

HTTPS_PORT = 443
# An IPv4 address within an IPv6 address: the first is what would be reached.
_TRANSLATED = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")))


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be fetched.

    ``hosts`` are names, ``name:port`` where the port is not 443, or ``*.name`` for all below one.
    ``networks`` are private ones that may be reached besides all public addresses.
    """

    hosts: tuple[str, ...]
    networks: tuple[Network, ...] = ()
    max_bytes: int = 50_000_000
    seconds: float = 30.0
    """For one file, redirects included."""

    def names(self, host: str, port: int) -> bool:
        """Whether a host is on the list."""
        for entry in self.hosts:
            name, _, number = entry.lower().partition(":")
            if int(number or HTTPS_PORT) != port:
                continue
            if host == name or (name.startswith("*.") and host.endswith(name[1:])):
                return True
        return False

    def reaches(self, address: str) -> bool:
        """Whether an IP address may be connected to."""
        ip = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        if any(ip in network for network in self.networks):
            return True
        return ip.is_global and not ip.is_multicast and not any(ip in net for net in _TRANSLATED)
