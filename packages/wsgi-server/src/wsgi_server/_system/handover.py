"""What a process gives to another that is no copy of it: sockets and memory.

Windows copies a socket for the process that it names. Elsewhere descriptors are inherited
under their numbers, by whoever is started with `inherited`.
"""

from __future__ import annotations

import base64
import mmap
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from . import unpatched


def give(sock: socket.socket, pid: int) -> str:
    """Returns what `take` makes the same socket of, in that process."""
    if sys.platform == "win32":
        return base64.b64encode(sock.share(pid)).decode()
    return str(sock.fileno())


def take(given: str) -> socket.socket:
    """Returns a socket that never waits, of what `give` returned for this process."""
    if sys.platform == "win32":
        sock = socket.fromshare(base64.b64decode(given))
        sock = unpatched.Socket(sock.family, sock.type, sock.proto, sock.detach())
    else:
        sock = unpatched.Socket(fileno=int(given))
        sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def inherited(socks: Sequence[socket.socket], memory: SharedMemory) -> dict[str, Any]:
    """Returns what `subprocess.Popen` has to be told for the two."""
    if sys.platform == "win32":
        return {}
    return {"pass_fds": [*(sock.fileno() for sock in socks), int(memory.token)]}


class SharedMemory:
    """`size` bytes that begin as zeroes; those of another process by its `token`."""

    def __init__(self, size: int, token: str = "") -> None:
        self.memory: mmap.mmap
        self._file: Any = None
        if sys.platform == "win32":
            # Nobody finds what nobody can guess, and only this user's session looks there.
            self.token = token or f"wsgi-server-{os.getpid()}-{secrets.token_hex(16)}"
            self.memory = mmap.mmap(-1, size, tagname=self.token)
        else:
            if not token:
                # For as long as this object is there.
                self._file = tempfile.TemporaryFile()  # noqa: SIM115
                self._file.truncate(size)
            self.token = token or str(self._file.fileno())
            self.memory = mmap.mmap(int(self.token), size)
