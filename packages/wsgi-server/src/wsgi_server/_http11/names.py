"""Names of fields: what they are called in an environ, and what is known of them.

Names are few and come again and again, most values do not: so it is names that are kept.
"""

from __future__ import annotations

from typing import Final

from .grammar import FIELD_NAME, SECRET_NAME, ProtocolError

#: Names that are kept, and how long they may be; more start over.
KNOWN_NAMES: Final = 1024
KNOWN_NAME: Final = 128
#: Lines that are kept, and how long they may be; more start over.
KNOWN_LINES: Final = 512
KNOWN_LINE: Final = 256

#: The name under which a field goes that the application must not see: one with "_" in its
#: name, or Proxy, which would become HTTP_PROXY. No environ name is like it.
DROPPED: Final = " dropped"

_FORWARDING: Final = frozenset({"HTTP_FORWARDED", "HTTP_X_REAL_IP"})
_FORWARDING_PREFIX: Final = "HTTP_X_FORWARDED_"


class FieldNames(dict[str, str]):
    """Of names as they are sent, their environ names.

    A name that is new is looked at and kept; `KeyError` for one that has to be looked at
    every time. None is taken out again: whoever holds this object finds in `forwarding` and
    `secrets` all that belong there of the environ names that it has given out.
    """

    __slots__ = ("_underscores", "forwarding", "lines", "secrets")

    def __init__(self, underscores: str) -> None:
        super().__init__()
        self._underscores = underscores
        #: Whole lines, as `keep` was given them.
        self.lines: dict[str, tuple[str, str]] = {}
        #: Those that say where a request came from.
        self.forwarding: set[str] = set()
        #: Those of fields that may hold a secret, or that are dropped.
        self.secrets = {DROPPED}

    def __missing__(self, name: str) -> str:
        if len(name) > KNOWN_NAME:
            raise KeyError(name)
        try:
            key = self.find(name)
        except ProtocolError as exc:
            raise KeyError(name) from exc
        if is_forwarding(key):
            self.forwarding.add(key)
        if is_secret(name):
            self.secrets.add(key)
        self[name] = key
        return key

    def keep(self, line: str, key: str, value: str) -> None:
        """Keeps what a line says, unless it is long; `key` has been given out."""
        if len(line) <= KNOWN_LINE:
            if len(self.lines) >= KNOWN_LINES:
                self.lines.clear()
            self.lines[line] = key, value

    def find(self, name: str) -> str:
        """The environ name, which is not kept. Raises `ProtocolError`."""
        if FIELD_NAME.fullmatch(name) is None:
            raise ProtocolError(400, "Malformed header field.")
        if "_" in name:
            if self._underscores == "refuse":
                raise ProtocolError(400, "Header names with _ are not accepted.")
            return DROPPED
        key = name.upper().replace("-", "_")
        if key == "PROXY":
            # RFC 3875 4.1.18: whoever starts programs with this environ would hand them a
            # proxy of the client's choice.
            return DROPPED
        return key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{key}"


def is_forwarding(key: str) -> bool:
    """Whether a field by its environ name says where a request came from."""
    return key in _FORWARDING or key.startswith(_FORWARDING_PREFIX)


def is_secret(name: str) -> bool:
    """Whether a field may hold a secret."""
    return SECRET_NAME.search(name) is not None
