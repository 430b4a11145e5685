"""Servers as a user of Windows would start them, and what tests ask of them."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

TESTS = Path(__file__).parents[1]
PATIENCE = 90.0


def wait_until(what: str, holds: Callable[[], object], log: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}:\n{log()}")
        time.sleep(0.02)


class Server:
    """A program with a server in it, with a console of its own."""

    def __init__(
        self, folder: Path, command: list[str], env: Mapping[str, str] | None = None
    ) -> None:
        self._log = folder / f"server-{len(list(folder.glob('*.log')))}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={
                    **os.environ,
                    "PYTHONPATH": str(TESTS),
                    "EVENTLET_NO_GREENDNS": "yes",
                    **(env or {}),
                },
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                creationflags=getattr(subprocess, "CREATE_NEW_CONSOLE", 0),
            )

    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def wait_for(self, pattern: str, count: int = 1) -> list[str]:
        """What the log has for `pattern`, once it is there so often."""

        def found() -> bool:
            lines = re.findall(pattern, self.log())
            assert len(lines) >= count or self.process.poll() is None, self.log()
            return len(lines) >= count

        wait_until(pattern, found, self.log)
        return re.findall(pattern, self.log())

    @property
    def port(self) -> int:
        return int(self.wait_for(r"listening on https?://127.0.0.1:(\d+)")[0])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def client(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def get(self, path: str = "/") -> bytes:
        with contextlib.closing(self.client()) as client:
            client.request("GET", path)
            return client.getresponse().read()

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def press(self, key: int) -> None:
        """As somebody at its console: 0 is Ctrl-C, 1 is Ctrl-Break."""
        subprocess.run(
            [sys.executable, "-c", PRESS, str(self.process.pid), str(key)], check=True
        )


#: Events come to all that share a console, and only from one of them.
PRESS = """
import ctypes, os, sys
kernel = ctypes.WinDLL("kernel32")
kernel.FreeConsole()
assert kernel.AttachConsole(int(sys.argv[1])), "no console"
kernel.SetConsoleCtrlHandler(None, True)
assert kernel.GenerateConsoleCtrlEvent(int(sys.argv[2]), 0), "no event"
os._exit(0)
"""

#: Starts `python ARGUMENTS...`, with another `python` or `env` where they are given.
Start = Callable[..., Server]
#: Starts `wsgi-server` with an engine and more options, and an application by `app`.
Serve = Callable[..., Server]
