"""Which request this is: an id that the client gave where it is trusted, else one made here.

A given one is taken only if it cannot break a log. Those that are made are random: they
tell nothing of other requests, and no two workers make the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from os import urandom
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .forwarded import TrustedPeers

#: Where an application finds it.
REQUEST_ID: Final = "wsgi_server.request_id"

_ID: Final = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")
#: A UUID with or without `req-` in front and dashes inside.
_UUID: Final = re.compile(
    "(?:req-)?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})"
)

#: What oslo.middleware looks for, and believes.
_OPENSTACK: Final = "HTTP_X_OPENSTACK_REQUEST_ID"
_OPENSTACK_ID: Final = re.compile(r"req-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: Bytes of an id that is made here, and how many are made at once.
_SIZE: Final = 16
_BATCH: Final = 256


class RequestIds:
    """Gives requests their ids; `name` is the header that has them, as `X-Request-Id`.

    With `openstack` the id also stands where oslo.middleware looks for one that runs through
    several services, unless the caller has put one there; that of a trusted caller is the
    id of the request as well.
    """

    def __init__(
        self, name: str, trusted: TrustedPeers | None, *, openstack: bool
    ) -> None:
        self.name = name
        self._trusted = trusted
        self._keys = [f"HTTP_{name.upper().replace('-', '_')}"]
        self._openstack = openstack
        if openstack:
            self._keys.append(_OPENSTACK)
        self._made: list[str] = []
        #: Puts the id of a request into its environ, and returns it. The second argument is
        #: the address that the request came from.
        self.give: Callable[[dict[str, Any], str], str] = self._give
        if trusted is None and not openstack:
            self.give = self._give_made

    def _give_made(self, environ: dict[str, Any], _: str) -> str:
        try:
            found = environ[REQUEST_ID] = self._made.pop()
        except IndexError:
            found = environ[REQUEST_ID] = self.make()
        return found

    def _give(self, environ: dict[str, Any], peer: str) -> str:
        found = environ[REQUEST_ID] = self._given(environ, peer) or self.make()
        if self._openstack:
            _tell_openstack(environ, found)
        return found

    def line(self, request_id: str) -> str:
        """The header line that tells a client its id."""
        return f"{self.name}: {request_id}"

    def _given(self, environ: dict[str, Any], peer: str) -> str | None:
        if self._trusted is not None and self._trusted[peer]:
            for key in self._keys:
                given = environ.get(key)
                if given is not None and _ID.fullmatch(given):
                    return str(given)
        return None

    def make(self) -> str:
        """One that is made here, of some that are made at a time; threads may all do so."""
        try:
            return self._made.pop()
        except IndexError:
            made = urandom(_SIZE * _BATCH).hex(" ", _SIZE).split(" ")
            found = made.pop()
            self._made = made
            return found


def _tell_openstack(environ: dict[str, Any], found: str) -> None:
    """Names the id to oslo.middleware, in the one form that it believes."""
    if _OPENSTACK_ID.fullmatch(environ.get(_OPENSTACK, "")) is None:
        match = _UUID.fullmatch(found)
        if match is not None:
            environ[_OPENSTACK] = f"req-{'-'.join(match.groups())}"
