"""Big bodies that are never in memory, and clients that do not stop asking."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import live

MIB = 1 << 20
_BLOCK = random.Random(0).randbytes(MIB)


def content(mebibytes: int) -> Iterator[bytes]:
    """That many blocks of 1 MiB; no two alike, so that their order counts."""
    for number in range(mebibytes):
        yield _BLOCK[number:] + _BLOCK[:number]


def checksum(blocks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def send_json(server: live.LiveServer, method: str, path: str, data: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    return server.request(method, path, json.dumps(data), headers)


def upload(
    server: live.LiveServer,
    path: str,
    mebibytes: int,
    *,
    sized: bool,
    halfway: Callable[[], object] | None = None,
) -> Any:
    """Upload `content(mebibytes)` and return the JSON of the answer.

    `halfway` is called when half of it is sent and the rest is not.
    """

    def blocks() -> Iterator[bytes]:
        for number, block in enumerate(content(mebibytes)):
            if halfway is not None and number == mebibytes // 2:
                halfway()
            yield block

    headers = {"Content-Type": "application/octet-stream"}
    if sized:
        headers["Content-Length"] = str(mebibytes * MIB)
    with contextlib.closing(server.client()) as client:
        # Without a length http.client frames an iterable in chunks.
        client.request("PUT", path, blocks(), headers)
        response = client.getresponse()
        body = response.read()
    assert response.status == 200, body
    return json.loads(body)


def download(
    server: live.LiveServer,
    path: str,
    *,
    halfway: Callable[[], object] | None = None,
) -> tuple[int, str]:
    """Download, and return the number of bytes and their SHA-256."""
    digest, size = hashlib.sha256(), 0
    with contextlib.closing(server.client()) as client:
        client.request("GET", path)
        response = client.getresponse()
        assert response.status == 200
        assert response.length is not None
        half = response.length // 2
        while block := response.read(65536):
            digest.update(block)
            size += len(block)
            if halfway is not None and size >= half:
                halfway()
                halfway = None
    return size, digest.hexdigest()


@dataclass
class Seen:
    """What the clients of `steady_requests` have met."""

    count: int = 0
    failures: list[str] = field(default_factory=list)


@contextlib.contextmanager
def steady_requests(server: live.LiveServer, path: str) -> Iterator[Seen]:
    """GET `path` all the while: one client on a kept connection, one on new ones."""
    seen = Seen()
    enough = threading.Event()

    def ask(client: http.client.HTTPConnection) -> None:
        client.request("GET", path)
        response = client.getresponse()
        response.read()
        if response.status != 200:
            seen.failures.append(f"{response.status} {response.reason}")
        seen.count += 1

    def run(*, keeps: bool) -> None:
        with contextlib.closing(server.client()) as client:
            # A pause, because the server's new processes start on the same machine.
            while not enough.wait(0.01):
                try:
                    ask(client)
                except (OSError, http.client.HTTPException) as exc:
                    seen.failures.append(repr(exc))
                    client.close()
                if not keeps:
                    client.close()

    threads = [
        threading.Thread(target=run, kwargs={"keeps": keeps}) for keeps in (True, False)
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        enough.set()
        for thread in threads:
            thread.join()
