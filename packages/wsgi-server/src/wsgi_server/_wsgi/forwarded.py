"""`Forwarded` (RFC 7239) and `X-Forwarded-*`: believed from trusted proxies, else removed.

The client is the right-most address that is not itself a trusted proxy: everything to its
left is hearsay that anybody could have sent.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._config.addresses import canonical_ip

if TYPE_CHECKING:
    from wsgi_server._config.addresses import PeerSet

LOG = logging.getLogger(__name__)

#: Peers, and texts of addresses, that are kept.
KNOWN_NODES: Final = 1024

_PREFIX: Final = "HTTP_X_FORWARDED_"
_LISTED: Final = frozenset({f"{_PREFIX}FOR", f"{_PREFIX}PROTO", f"{_PREFIX}HOST"})

_PAIR = re.compile(
    r"""[\s;]*([!#$%&'*+\-.^_`|~\w]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*(?:;|$)""",
    re.ASCII,
)
_QUOTED_PAIR = re.compile(r"\\(.)")
#: An address, perhaps with the zone of some other machine's, and a port, if any (RFC 7239 6).
#: Without brackets, what follows the last colon of an IPv6 address belongs to it.
_NODE = re.compile(
    r"(?:\[([0-9A-Fa-f:.]+)(?:%[^\[\]]*)?\]|([0-9.]+))(?::(?:[0-9]+|_[\w.\-]+))?"
    r"|([0-9A-Fa-f]*:[0-9A-Fa-f:.]*)(?:%[^\[\]]*)?",
    re.ASCII,
)
_HOST = re.compile(r"[A-Za-z0-9.\-_~\[\]:]+")


class TrustedPeers(dict[str, bool]):
    """Of peers whether they are trusted, as `REMOTE_ADDR` has them; who was asked for is kept."""

    __slots__ = ("_peers",)

    def __init__(self, peers: PeerSet) -> None:
        super().__init__()
        self._peers = peers

    def __missing__(self, host: str) -> bool:
        if len(self) >= KNOWN_NODES:
            self.clear()
        found = self[host] = host in self._peers
        return found


def strip(environ: dict[str, Any]) -> None:
    """Removes what a stranger says about forwarding."""
    environ.pop("HTTP_FORWARDED", None)
    environ.pop("HTTP_X_REAL_IP", None)
    for name in [name for name in environ if name.startswith(_PREFIX)]:
        del environ[name]


def believe(environ: dict[str, Any], trusted: TrustedPeers) -> None:
    """Lets a trusted proxy name the client, the scheme and the host.

    REMOTE_ADDR, wsgi.url_scheme, HTTPS and HTTP_HOST change; the fields themselves stay
    for the application to read. Where both families are there, all of them are removed:
    a proxy that sets one passes the other on as its client sent it, and nothing says
    which is which.
    """
    if "HTTP_FORWARDED" in environ and not _LISTED.isdisjoint(environ):
        strip(environ)
        LOG.debug(
            "%s sent both Forwarded and X-Forwarded-*: neither is believed",
            environ["REMOTE_ADDR"] or "unix",
        )
        return
    for address, scheme, host in _hops(environ):
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
            environ["HTTPS"] = "on" if scheme == "https" else "off"
        if host and _HOST.fullmatch(host):
            environ["HTTP_HOST"] = host
        if address is None:
            break
        environ["REMOTE_ADDR"] = address
        environ.pop("REMOTE_PORT", None)
        if not trusted[address]:
            break


def _hops(environ: dict[str, Any]) -> Iterator[tuple[str | None, str, str]]:
    """(address, scheme, host) as each proxy reported them, nearest first."""
    if "HTTP_FORWARDED" in environ:
        return map(_element, _elements(environ["HTTP_FORWARDED"]))
    addresses = _listed(environ, "HTTP_X_FORWARDED_FOR") or [""]
    schemes = _listed(environ, "HTTP_X_FORWARDED_PROTO")
    hosts = _listed(environ, "HTTP_X_FORWARDED_HOST")
    hops: list[tuple[str | None, str, str]] = [
        (_node(address.strip('"')), "", "") for address in addresses
    ]
    # Proxies that overwrite send one value; it describes the nearest hop.
    scheme = schemes[-1].lower() if schemes else ""
    hops[-1] = (hops[-1][0], scheme, hosts[-1] if hosts else "")
    return reversed(hops)


def _listed(environ: dict[str, Any], name: str) -> list[str]:
    value = environ.get(name)
    return [part for part in map(str.strip, value.split(",")) if part] if value else []


def _elements(text: str) -> Iterator[str]:
    """The elements of a Forwarded field, last first; commas inside quotes do not count.

    Whether a comma is inside is told by the quotes to its right, which nearer proxies
    wrote. Ends where a quote has no partner: what is left is hearsay.
    """
    parts: list[str] = []
    quotes = 0
    for part in reversed(text.split(",")):
        parts.append(part)
        quotes += _QUOTED_PAIR.sub("", part).count('"')
        if quotes % 2 == 0:
            element = ",".join(reversed(parts))
            parts.clear()
            if element.strip():
                yield element


def _element(text: str) -> tuple[str | None, str, str]:
    pairs = {}
    end = 0
    # Not a search: where something else stands, looking on costs time and finds no sense.
    while (match := _PAIR.match(text, end)) is not None:
        name, value = match.groups()
        if value.startswith('"'):
            value = _QUOTED_PAIR.sub(r"\1", value[1:-1])
        pairs[name.lower()] = value
        end = match.end()
    address = _node(pairs.get("for", ""))
    return address, pairs.get("proto", "").lower(), pairs.get("host", "")


@functools.lru_cache(maxsize=KNOWN_NODES)
def _node(text: str) -> str | None:
    """The address of a node; None for an unknown or obfuscated one (RFC 7239 6.3)."""
    match = _NODE.fullmatch(text)
    if match is None:
        return None
    try:
        return canonical_ip(match[1] or match[2] or match[3])
    except ValueError:
        # Digits, colons and dots that are no address.
        return None
