"""Where to listen, as values: parsed from text, compared at reload, shown in the log."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from wsgi_server.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host name or address literal and a port; port 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A path, or with a leading `@` a name in Linux's abstract namespace."""

    path: str

    @property
    def is_abstract(self) -> bool:
        """Whether there is no file of it."""
        return self.path.startswith("@")

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class InheritedAddress:
    """A listening descriptor that the process was started with."""

    fd: int

    def __str__(self) -> str:
        return f"fd://{self.fd}"


@dataclass(frozen=True, slots=True)
class SystemdAddress:
    """Sockets passed by systemd: all of them, or those of one `FileDescriptorName`."""

    name: str | None = None

    def __str__(self) -> str:
        return "systemd" if self.name is None else f"systemd:{self.name}"


Address = TcpAddress | UnixAddress | InheritedAddress | SystemdAddress

_HOST_PORT = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>\d{1,5})")


def parse_address(text: str) -> Address:
    """Returns the address that an entry of the `bind` option names.

    Raises `ConfigError` for anything but HOST:PORT, [V6]:PORT, unix:PATH, fd://N,
    systemd and systemd:NAME.
    """
    if text.startswith("unix:") and len(text) > len("unix:"):
        return UnixAddress(text.removeprefix("unix:"))
    if text.startswith("fd://") and text.removeprefix("fd://").isdecimal():
        return InheritedAddress(int(text.removeprefix("fd://")))
    if text == "systemd":
        return SystemdAddress()
    if text.startswith("systemd:") and len(text) > len("systemd:"):
        return SystemdAddress(text.removeprefix("systemd:"))
    match = _HOST_PORT.fullmatch(text)
    if match is not None and int(match["port"]) <= 65535:
        return TcpAddress(match["v6"] or match["host"], int(match["port"]))
    raise ConfigError(
        f"bind = {text}: not an address (use HOST:PORT, [V6ADDRESS]:PORT, "
        "unix:/path, fd://N, systemd or systemd:NAME)"
    )


Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Where IPv4 addresses are mapped to (RFC 4291 2.5.5.2), and how many bits that takes.
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def canonical_ip(text: str) -> str:
    """Returns the one form in which an IP address is shown and compared.

    Lower case and short (RFC 5952), a mapped IPv4 address as IPv4, without a zone, which
    REMOTE_ADDR has no place for (RFC 3875 4.1.8). Raises `ValueError` for anything else.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def parse_network(text: str) -> Network:
    """Returns the network of a text like `10.0.0.0/8`; of mapped addresses, that of IPv4.

    Raises `ValueError`, which names the text as it was written.
    """
    try:
        network = ipaddress.ip_network(text)
    except ValueError as exc:
        if text in str(exc):
            raise
        # Before Python 3.13 mapped addresses are shown in another form.
        raise ValueError(f"{text}: {exc}") from exc
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        first = int(network.network_address) & 0xFFFFFFFF
        return ipaddress.IPv4Network((first, network.prefixlen - _MAPPED.prefixlen))
    return network


@dataclass(frozen=True)
class PeerSet:
    """Peers that are trusted with something: networks, and perhaps Unix sockets."""

    networks: tuple[Network, ...] = ()
    unix: bool = False

    def __bool__(self) -> bool:
        return self.unix or bool(self.networks)

    def __contains__(self, host: str) -> bool:
        """Tells whether `host` (as `canonical_ip`; empty: a Unix socket) belongs to it."""
        if not host:
            return self.unix
        if not self.networks:
            return False
        address = ipaddress.ip_address(host)
        return any(address in network for network in self.networks)
