"""`Forwarded` (RFC 7239) and `X-Forwarded-*`: believed from trusted proxies, else removed.

The client is the right-most address that is not itself a trusted proxy: everything to its
left is hearsay that anybody could have sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ._settings import PeerSet

FIELDS: Final = frozenset(
    {
        "HTTP_FORWARDED",
        "HTTP_X_FORWARDED_FOR",
        "HTTP_X_FORWARDED_PROTO",
        "HTTP_X_FORWARDED_HOST",
        "HTTP_X_FORWARDED_PORT",
        "HTTP_X_FORWARDED_SSL",
        "HTTP_X_FORWARDED_PREFIX",
        "HTTP_X_REAL_IP",
    }
)

_PAIR = re.compile(
    r"""\s*([!#$%&'*+\-.^_`|~\w]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*""", re.ASCII
)
_NODE = re.compile(r"\[([0-9A-Fa-f:.%]+)\](?::\d+)?|([0-9.]+)(?::\d+)?|([0-9A-Fa-f:]+)")
_HOST = re.compile(r"[A-Za-z0-9.\-_~\[\]:]+")


def strip(environ: dict[str, Any]) -> None:
    """Removes what a stranger says about forwarding."""
    for name in FIELDS:
        environ.pop(name, None)


def believe(environ: dict[str, Any], trusted: PeerSet) -> None:
    """Lets a trusted proxy name the client, the scheme and the host.

    REMOTE_ADDR, wsgi.url_scheme, HTTPS and HTTP_HOST change; the fields themselves stay
    for the application to read.
    """
    hops = _hops(environ)
    for address, scheme, host in reversed(hops):
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
            environ["HTTPS"] = "on" if scheme == "https" else "off"
        if host and _HOST.fullmatch(host):
            environ["HTTP_HOST"] = host
        if address is None:
            break
        environ["REMOTE_ADDR"] = address
        environ.pop("REMOTE_PORT", None)
        if not _is_trusted(address, trusted):
            break


def _hops(environ: dict[str, Any]) -> list[tuple[str | None, str, str]]:
    """(address, scheme, host) as each proxy reported them, nearest last."""
    if "HTTP_FORWARDED" in environ:
        return [_element(text) for text in _split(environ["HTTP_FORWARDED"])]
    addresses = _listed(environ, "HTTP_X_FORWARDED_FOR") or [""]
    schemes = _listed(environ, "HTTP_X_FORWARDED_PROTO")
    hosts = _listed(environ, "HTTP_X_FORWARDED_HOST")
    hops: list[tuple[str | None, str, str]] = [
        (_node(address), "", "") for address in addresses
    ]
    # Proxies that overwrite send one value; it describes the nearest hop.
    scheme = schemes[-1].lower() if schemes else ""
    hops[-1] = (hops[-1][0], scheme, hosts[-1] if hosts else "")
    return hops


def _listed(environ: dict[str, Any], name: str) -> list[str]:
    return [part.strip() for part in environ.get(name, "").split(",") if part.strip()]


def _split(text: str) -> list[str]:
    """The elements of a Forwarded field; commas inside quotes do not count."""
    return re.findall(r'(?:"(?:[^"\\]|\\.)*"|[^,"])+', text)


def _element(text: str) -> tuple[str | None, str, str]:
    pairs = {
        name.lower(): value[1:-1] if value.startswith('"') else value
        for name, value in _PAIR.findall(text)
    }
    address = _node(pairs.get("for", ""))
    return address, pairs.get("proto", "").lower(), pairs.get("host", "")


def _node(text: str) -> str | None:
    """The address of a node; None for an unknown or obfuscated one (RFC 7239 6.3)."""
    match = _NODE.fullmatch(text)
    return None if match is None else match[1] or match[2] or match[3]


def _is_trusted(address: str, trusted: PeerSet) -> bool:
    try:
        return address in trusted
    except ValueError:
        # Digits and dots that are no address: nobody we know.
        return False
