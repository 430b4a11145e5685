"""The same API under other WSGI servers, each a process of its own."""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
_ANNOUNCED = re.compile(
    r"(?:http://127\.0\.0\.1:|TCP address 127\.0\.0\.1:)(?P<port>\d+)"
)
_COMMANDS = {
    "wsgiref": [sys.executable, str(HERE / "hosted.py"), "wsgiref"],
    "waitress": [sys.executable, str(HERE / "hosted.py"), "waitress"],
    "gunicorn": [
        sys.executable,
        "-m",
        "gunicorn",
        "--bind=127.0.0.1:0",
        "--no-control-socket",
        f"--chdir={HERE}",
        "hosted:application",
    ],
    "uwsgi": [
        str(BIN / "uwsgi"),
        "--http-socket=127.0.0.1:0",
        "--master",
        "--die-on-term",
        "--need-app",
        f"--virtualenv={sys.prefix}",
        f"--chdir={HERE}",
        "--module=hosted:application",
    ],
}


def _is_there(server: str) -> bool:
    if server == "uwsgi":
        return shutil.which(str(BIN / "uwsgi")) is not None
    return importlib.util.find_spec(server) is not None


def _environment() -> dict[str, str]:
    # Coverage in an embedded interpreter brings uWSGI down at its exit.
    kept = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    return {**kept, "PYTHONWARNINGS": "ignore"}


@pytest.fixture(scope="module", params=sorted(_COMMANDS))
def address(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """Start a server, and return its name and port."""
    if not _is_there(request.param):
        pytest.skip(f"{request.param} is not installed")
    server = subprocess.Popen(
        _COMMANDS[request.param],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_environment(),
    )
    assert server.stdout is not None
    told: list[str] = []
    for line in server.stdout:
        told.append(line)
        if found := _ANNOUNCED.search(line):
            break
    else:
        pytest.fail("".join(told))
    # Nobody reads on, but a full pipe would stop the server.
    drain = threading.Thread(target=lambda: told.extend(server.stdout or ()))
    drain.start()
    yield request.param, int(found["port"])
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=30) is not None
    drain.join(timeout=30)
    server.stdout.close()
    assert not [line for line in told if "Traceback" in line], "".join(told)


def _ask(address: tuple[str, int], method: str, path: str, **kwargs: Any) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", address[1], timeout=30)
    connection.request(method, path, **kwargs)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def test_show_and_errors(address: tuple[str, int]) -> None:
    response, body = _ask(address, "GET", "/images/%C3%A9")
    assert (response.status, json.loads(body)) == (200, {"id": "é"})
    response, body = _ask(address, "GET", "/nothing", headers={"Accept-Language": "fr"})
    assert response.status == 404
    assert "introuvable" in json.loads(body)["error"]["message"]
    response, body = _ask(address, "DELETE", "/images")
    assert (response.status, response.headers["Allow"]) == (405, "POST")
    response, body = _ask(address, "GET", "/images/%FF")
    assert response.status == 400


def test_a_json_body(address: tuple[str, int]) -> None:
    headers = {"Content-Type": "application/json"}
    response, body = _ask(address, "POST", "/images", body=b'{"a": 1}', headers=headers)
    assert (response.status, json.loads(body)) == (200, {"created": {"a": 1}})
    response, body = _ask(address, "POST", "/images", body=b'{"a": ', headers=headers)
    assert response.status == 400
    assert "column" in json.loads(body)["error"]["message"]


def test_a_sized_upload(address: tuple[str, int]) -> None:
    content = os.urandom(300_000)
    response, body = _ask(address, "PUT", "/images/1/file", body=content)
    assert response.status == 200
    assert json.loads(body) == {
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_a_chunked_upload(address: tuple[str, int]) -> None:
    content = os.urandom(300_000)
    pieces = [content[at : at + 7001] for at in range(0, len(content), 7001)]
    if address[0] == "wsgiref":
        # It cannot decode chunks; what counts is that nobody waits.
        response, _ = _ask(
            address,
            "PUT",
            "/images/1/file",
            headers={"Transfer-Encoding": "chunked"},
        )
        assert response.status == 411
        return
    response, body = _ask(
        address,
        "PUT",
        "/images/1/file",
        body=iter(pieces),
        encode_chunked=True,
        headers={"Transfer-Encoding": "chunked"},
    )
    assert response.status == 200
    assert json.loads(body) == {
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_a_chunked_json_body(address: tuple[str, int]) -> None:
    if address[0] == "wsgiref":
        pytest.skip("wsgiref does not decode chunks")
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    response, body = _ask(
        address,
        "POST",
        "/images",
        body=iter([b'{"a"', b": 1}"]),
        headers=headers,
        encode_chunked=True,
    )
    assert (response.status, json.loads(body)) == (200, {"created": {"a": 1}})
    response, body = _ask(
        address,
        "POST",
        "/images",
        body=iter([b" " * 65536] * 20),
        headers=headers,
        encode_chunked=True,
    )
    assert response.status == 413


def test_a_range(address: tuple[str, int]) -> None:
    headers = {"Range": "bytes=256-257"}
    response, body = _ask(address, "GET", "/images/1/file", headers=headers)
    assert (response.status, body) == (206, b"\x00\x01")
    assert response.headers["Content-Range"] == "bytes 256-257/262144"
    headers = {"If-None-Match": '"v1"'}
    response, body = _ask(address, "GET", "/images/1/file", headers=headers)
    assert (response.status, body) == (304, b"")
