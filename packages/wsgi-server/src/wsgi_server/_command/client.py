"""A client of the control socket: where it is, what is asked, what the answer says."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wsgi_server.errors import ServerError

#: Seconds that a server may take for an answer that it does not wait for itself.
PATIENCE = 10.0


class NoServer(ServerError):
    """Nobody answers where the server should be."""


class Refused(ServerError):
    """The server is there and does not do it."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._path)
        except OSError:
            self.sock.close()
            raise


class Client:
    """Asks the server behind the Unix socket at `path`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def get(self, target: str) -> Mapping[str, Any]:
        """The document at `target`. Raises `NoServer` and `Refused`."""
        return self._ask("GET", target, None, PATIENCE)

    def post(self, target: str, **content: Any) -> Mapping[str, Any]:
        """What came of an order; waits for that as long as it takes, as `get`."""
        body = json.dumps({k: v for k, v in content.items() if v is not None})
        return self._ask("POST", target, body, None)

    def follow(self, target: str) -> Iterator[Mapping[str, Any]]:
        """The events at `target`, each when it happens, until the server ends."""
        connection, answer = self._open("GET", target, None, PATIENCE)
        _refuse(answer.status, b"" if answer.status == 200 else answer.read())
        if connection.sock is not None:
            connection.sock.settimeout(None)
        for line in answer:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])

    def _ask(
        self, method: str, target: str, body: str | None, timeout: float | None
    ) -> Mapping[str, Any]:
        connection, answer = self._open(method, target, body, timeout)
        try:
            content = answer.read()
        except (OSError, http.client.HTTPException) as exc:
            raise NoServer(f"the server at {self._path} left: {exc}") from exc
        finally:
            connection.close()
        _refuse(answer.status, content)
        found: Mapping[str, Any] = json.loads(content)
        return found

    def _open(
        self, method: str, target: str, body: str | None, timeout: float | None
    ) -> tuple[_Connection, http.client.HTTPResponse]:
        connection = _Connection(self._path, timeout)
        try:
            connection.request(method, target, body)
            return connection, connection.getresponse()
        except PermissionError as exc:
            connection.close()
            raise Refused(
                f"{self._path}: permission denied (ask as the server's user or root)"
            ) from exc
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            reason = getattr(exc, "strerror", None) or exc
            raise NoServer(f"no server answers at {self._path}: {reason}") from exc


def _refuse(status: int, content: bytes) -> None:
    if status >= 400:
        try:
            detail = json.loads(content)["detail"]
        except (ValueError, KeyError, TypeError):
            detail = f"status {status}"
        raise Refused(str(detail))


def find_by_pid_file(path: str) -> str:
    """The control socket of the server whose process id the file holds.

    Raises `NoServer` where there is no such process, or it has none.
    """
    try:
        pid = int(Path(path).read_text("ascii"))
    except (OSError, ValueError) as exc:
        raise NoServer(f"no process id in {path}: {exc}") from exc
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except FileNotFoundError as exc:
        raise NoServer(f"the process {pid} of {path} is gone") from exc
    except PermissionError as exc:
        raise Refused(
            f"process {pid} is another user's: ask as that user or root"
        ) from exc
    inodes = set()
    for name in names:
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:  # closed since
            continue
        inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[6] in inodes:
            # It is renamed once it is made; the system remembers how it was called before.
            found = fields[7].removesuffix(f".{pid}")
            if _answers(found):
                return found
    raise NoServer(f"process {pid} has no control socket: set control_socket")


def _answers(path: str) -> bool:
    """Whether the socket at `path` is a control socket."""
    try:
        return Client(path).get("/workers").get("api") == 1
    except (ServerError, ValueError, AttributeError):
        return False
