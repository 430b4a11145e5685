"""Requests as services get them: ten fields, through a proxy, and hardly two alike.

They are made here, the same in every run, and put into a file, one behind the other with a
NUL after each. `wrk` reads them with `SCRIPT`, the open-loop generator as they are.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

#: For wrk: the requests of a file, from the first to the last and again.
SCRIPT = """
local requests, at = {}, 0
function init(args)
  for request in io.open(args[1], "rb"):read("*a"):gmatch("%Z+") do
    requests[#requests + 1] = request
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
"""
KIB = 1024
TOKENS = 200
TENANTS = 20


@cache
def requests(name: str) -> Sequence[bytes]:
    """The requests of that name in `KINDS`."""
    return KINDS[name]()


@cache
def file_of(name: str, folder: Path) -> Path:
    """The file with them, made when it is asked for first."""
    path = folder / f"{name}.requests"
    path.write_bytes(b"".join(request + b"\0" for request in requests(name)))
    return path


class _Clients:
    """What clients send: a few proxies, tenants and tokens, and ids that are all new."""

    def __init__(self) -> None:
        self.chance = random.Random(18)
        self._tokens = [f"gAAAAAB{self._hex(90)}{self._hex(90)}" for _ in range(TOKENS)]
        self.tenants = [self._hex(32) for _ in range(TENANTS)]

    def _hex(self, digits: int) -> str:
        return f"{self.chance.getrandbits(digits * 4):0{digits}x}"

    def uuid(self) -> str:
        digits = self._hex(32)
        cuts = itertools.pairwise((0, 8, 12, 16, 20, 32))
        return "-".join(digits[start:end] for start, end in cuts)

    def request(
        self, method: str, path: str, body: bytes = b"", *, last: bool = False
    ) -> bytes:
        """One request with ten fields, or with two more where it has a body."""
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: images.example.com:9292",
            "User-Agent: python-glanceclient",
            "Accept: */*",
            "Accept-Encoding: gzip, deflate",
            f"Connection: {'close' if last else 'keep-alive'}",
            f"X-Auth-Token: {self.chance.choice(self._tokens)}",
            f"X-Openstack-Request-Id: req-{self.uuid()}",
            f"X-Forwarded-For: 203.0.113.{self.chance.randrange(1, 255)}",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: images.example.com",
        ]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def image(self) -> str:
        """A path that nobody has asked for before."""
        return f"/v2/{self.chance.choice(self.tenants)}/images/{self.uuid()}"

    def document(self, size: int) -> bytes:
        """A JSON object of that many bytes."""
        facts = {"id": self.uuid(), "name": "ubuntu-24.04", "disk_format": "qcow2"}
        bare = json.dumps({**facts, "description": ""})
        return json.dumps({**facts, "description": "x" * (size - len(bare))}).encode()


def _gets(count: int) -> Callable[[], Sequence[bytes]]:
    def make() -> Sequence[bytes]:
        clients = _Clients()
        return [clients.request("GET", clients.image()) for _ in range(count)]

    return make


def _stack() -> Sequence[bytes]:
    """Of five requests to an API, one adds an image of 1 KiB and the others show one."""
    clients = _Clients()
    found = []
    for _ in range(20_000):
        if clients.chance.random() < 0.2:
            path = f"/v2/{clients.chance.choice(clients.tenants)}/images"
            found.append(clients.request("POST", path, clients.document(KIB)))
        else:
            found.append(clients.request("GET", clients.image()))
    return found


def _mixed() -> Sequence[bytes]:
    """Small and large, both ways, on connections of one to a hundred requests."""
    clients = _Clients()
    chance = clients.chance
    found: list[bytes] = []
    left = chance.randint(1, 100)
    while len(found) < 1000:
        # wrk shares the list among its connections, so this is what they have on average.
        left -= 1
        last = left == 0
        if last:
            left = chance.randint(1, 100)
        draw = chance.random()
        if draw < 0.70:
            request = clients.request("GET", clients.image(), last=last)
        elif draw < 0.90:
            body = clients.document(chance.randint(KIB, 16 * KIB))
            request = clients.request("POST", "/echo", body, last=last)
        elif draw < 0.98:
            path = f"/kib/{chance.randint(64, 1024)}"
            request = clients.request("GET", path, last=last)
        else:
            body = clients.document(KIB * KIB)
            request = clients.request("POST", "/sum", body, last=last)
        found.append(request)
    return found


def _listing(path: str, fields: str = "") -> Callable[[], Sequence[bytes]]:
    """One list that everybody asks for, by requests that differ."""

    def make() -> Sequence[bytes]:
        clients = _Clients()
        plain = [clients.request("GET", path) for _ in range(2000)]
        return [request[:-2] + fields.encode() + b"\r\n" for request in plain]

    return make


KINDS: dict[str, Callable[[], Sequence[bytes]]] = {
    "varied": _gets(256),
    "unique": _gets(30_000),
    "stack": _stack,
    "mixed": _mixed,
    "example": _listing("/v1/images"),
    "glance": _listing("/v2/images"),
    "heat": _listing("/v1/p1/stacks", "X-Auth-User: u\r\nX-Project-Id: p1\r\n"),
}
