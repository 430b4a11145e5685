"""The PROXY protocol, versions 1 and 2: bytes in, the client's address out.

Balancers that do not speak HTTP put this header in front of a connection, before TLS. The
rules are those of HAProxy's `proxy-protocol.txt`.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import Final

from wsgi_server._config.addresses import canonical_ip

#: No header is longer: version 1 ends within 107 bytes, version 2 is limited by us.
LONGEST: Final = 536

_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V1: Final = re.compile(
    rb"PROXY (?:(TCP4|TCP6) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (\d{1,5}) (\d{1,5})|UNKNOWN[^\r\n]*)\r\n"
)
_V1_LONGEST: Final = 107

Peer = tuple[str, str]


class ProxyHeaderError(ValueError):
    """The connection does not begin with a PROXY header that can be understood."""


def parse_proxy_header(data: bytes) -> tuple[int, Peer | None] | None:
    """(bytes that the header takes, client address and port) or None: more is needed.

    The address is None where the balancer speaks for itself (LOCAL, UNKNOWN). Raises
    `ProxyHeaderError`.
    """
    if data[:12] == _SIGNATURE[: len(data)]:
        return None if len(data) < 16 else _version_2(data)
    if data[:6] == b"PROXY "[: len(data)]:
        return _version_1(data)
    raise ProxyHeaderError("no PROXY header")


def _version_1(data: bytes) -> tuple[int, Peer | None] | None:
    end = data.find(b"\r\n", 0, _V1_LONGEST)
    if end < 0:
        if len(data) >= _V1_LONGEST:
            raise ProxyHeaderError("version 1 header without an end")
        return None
    match = _V1.fullmatch(data, 0, end + 2)
    if match is None:
        raise ProxyHeaderError("malformed version 1 header")
    if match[1] is None:
        return end + 2, None
    wanted = ipaddress.IPv4Address if match[1] == b"TCP4" else ipaddress.IPv6Address
    try:
        source, _ = (wanted(text.decode("ascii")) for text in match.group(2, 3))
    except ValueError as exc:
        raise ProxyHeaderError(f"version 1 header: {exc}") from exc
    if max(int(match[4]), int(match[5])) > 65535:
        raise ProxyHeaderError("version 1 header: port out of range")
    return end + 2, (canonical_ip(str(source)), match[4].decode("ascii"))


def _version_2(data: bytes) -> tuple[int, Peer | None] | None:
    kind, family, length = struct.unpack_from("!BBH", data, 12)
    size = 16 + length
    if kind not in (0x20, 0x21):
        raise ProxyHeaderError("unknown version or command")
    if size > LONGEST:
        raise ProxyHeaderError("version 2 header is too long")
    if len(data) < size:
        return None
    if kind == 0x20:
        return size, None
    addresses = data[16:size]
    if family == 0x11 and length >= 12:
        source, port = str(ipaddress.IPv4Address(addresses[:4])), addresses[8:10]
    elif family == 0x21 and length >= 36:
        host = str(ipaddress.IPv6Address(addresses[:16]))
        source, port = canonical_ip(host), addresses[32:34]
    elif family in (0x11, 0x21):
        raise ProxyHeaderError("version 2 header is too short for its addresses")
    else:
        return size, None
    return size, (source, str(int.from_bytes(port, "big")))
