"""A socket that tells its poller, which knows no edges, what happens to it.

It goes without `sendfile` and its like, which such platforms have in part, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from wsgi_server._system.platform import IN, OUT

from .transport import PlainTransport

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from .transport import Data


class Watcher(Protocol):
    """Reports a descriptor, then not again before something was taken or given."""

    def look_again(self, fd: int, mask: int) -> None: ...
    def unregister(self, fd: int, /) -> None: ...


class WatchedTransport(PlainTransport):
    """Says to its poller what happens to it."""

    __slots__ = ("_watcher",)

    direct = False

    def __init__(
        self, watcher: Watcher, family: int, kind: int, proto: int, fileno: int
    ) -> None:
        super().__init__(family, kind, proto, fileno)
        self._watcher = watcher

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        self._watcher.look_again(self.fileno(), IN)
        return super().recv(size, flags)

    def recv_into(
        self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0
    ) -> int:
        self._watcher.look_again(self.fileno(), IN)
        return super().recv_into(buffer, nbytes, flags)

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        self._watcher.look_again(self.fileno(), OUT)
        return super().send(data, flags)

    def send_pieces(self, pieces: Sequence[Data]) -> int:
        return self.send(b"".join(pieces))

    def close(self) -> None:
        fd = self.fileno()
        if fd >= 0:
            self._watcher.unregister(fd)
        super().close()
