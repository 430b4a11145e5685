"""The example's API under other WSGI servers, each a process of its own."""

from __future__ import annotations

import contextlib
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


def _environment(state: Path) -> dict[str, str]:
    # Coverage in an embedded interpreter brings uWSGI down at its exit.
    kept = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    return {**kept, "PYTHONWARNINGS": "ignore", "OS_IMAGES__DATA_DIR": str(state)}


@pytest.fixture(scope="module", params=sorted(_COMMANDS))
def address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    """Start a server, and return its name and port."""
    if not _is_there(request.param):
        pytest.skip(f"{request.param} is not installed")
    server = subprocess.Popen(
        _COMMANDS[request.param],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_environment(tmp_path_factory.mktemp("images")),
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
    with contextlib.closing(connection):
        # Who refuses a body may answer, and close, before all of it was sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, path, **kwargs)
        response = connection.getresponse()
        return response, response.read()


_JSON = {"Content-Type": "application/json"}
# Named, because wsgiref takes a body without a type for text.
_BYTES = {"Content-Type": "application/octet-stream"}
_CHUNKED = {"Transfer-Encoding": "chunked"}


def _create(address: tuple[str, int], name: str) -> str:
    """Add an image, and return the path of its content."""
    body = json.dumps({"name": name}).encode()
    response, _ = _ask(address, "POST", "/v1/images", body=body, headers=_JSON)
    assert response.status == 201
    return f"/v1/images/{name}/file"


def _assert_stored(address: tuple[str, int], path: str, content: bytes) -> None:
    response, body = _ask(address, "GET", path)
    assert (response.status, body == content) == (200, True)
    assert response.headers["Content-Length"] == str(len(content))
    assert response.headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'


def test_show_and_errors(address: tuple[str, int]) -> None:
    _create(address, "shown")
    response, body = _ask(address, "GET", "/v1/images/shown")
    assert (response.status, json.loads(body)["status"]) == (200, "queued")
    response, body = _ask(address, "GET", "/none", headers={"Accept-Language": "fr"})
    assert response.status == 404
    assert "introuvable" in json.loads(body)["error"]["message"]
    response, body = _ask(address, "DELETE", "/v1/images")
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, POST")
    response, body = _ask(address, "GET", "/v1/images/%FF")
    assert response.status == 400


def test_a_json_body(address: tuple[str, int]) -> None:
    body = b'{"name": "json", "os": "d\xc3\xa9bian"}'
    response, answer = _ask(address, "POST", "/v1/images", body=body, headers=_JSON)
    assert (response.status, json.loads(answer)["os"]) == (201, "débian")
    response, answer = _ask(
        address, "POST", "/v1/images", body=b'{"name": ', headers=_JSON
    )
    assert response.status == 400
    assert "column" in json.loads(answer)["error"]["message"]


def test_a_sized_upload_and_its_download(address: tuple[str, int]) -> None:
    path, content = _create(address, "sized"), os.urandom(300_000)
    response, body = _ask(address, "PUT", path, body=content, headers=_BYTES)
    assert (response.status, json.loads(body)["size"]) == (200, len(content))
    _assert_stored(address, path, content)


def test_a_chunked_upload_and_its_download(address: tuple[str, int]) -> None:
    path, content = _create(address, "chunked"), os.urandom(300_000)
    if address[0] == "wsgiref":
        # It cannot decode chunks; what counts is that nobody waits.
        response, _ = _ask(address, "PUT", path, headers={**_BYTES, **_CHUNKED})
        assert response.status == 411
        return
    pieces = [content[at : at + 7001] for at in range(0, len(content), 7001)]
    response, body = _ask(
        *(address, "PUT", path),
        body=iter(pieces),
        encode_chunked=True,
        headers={**_BYTES, **_CHUNKED},
    )
    assert (response.status, json.loads(body)["size"]) == (200, len(content))
    _assert_stored(address, path, content)


def test_a_chunked_json_body(address: tuple[str, int]) -> None:
    if address[0] == "wsgiref":
        pytest.skip("wsgiref does not decode chunks")
    for pieces, status in (
        ([b'{"name": ', b'"chunked-json"}'], 201),
        ([b" " * 65536] * 20, 413),
    ):
        response, _ = _ask(
            *(address, "POST", "/v1/images"),
            body=iter(pieces),
            encode_chunked=True,
            headers={**_JSON, **_CHUNKED},
        )
        assert response.status == status


def test_parts_and_versions(address: tuple[str, int]) -> None:
    path, content = _create(address, "parts"), bytes(range(256)) * 1024
    _ask(address, "PUT", path, body=content, headers=_BYTES)
    for headers, status, expected in (
        ({"Range": "bytes=256-257"}, 206, b"\x00\x01"),
        ({"Range": "bytes=-2"}, 206, b"\xfe\xff"),
        ({"Range": "bytes=0-0", "If-Range": '"other"'}, 200, content),
        ({"If-None-Match": f'"{hashlib.sha256(content).hexdigest()}"'}, 304, b""),
    ):
        response, body = _ask(address, "GET", path, headers=headers)
        assert (response.status, body == expected) == (status, True)
    for headers, status in (
        ({"If-Match": '"other"'}, 412),
        ({"Range": "bytes=262144-"}, 416),
    ):
        response, body = _ask(address, "GET", path, headers=headers)
        assert (response.status, json.loads(body)["error"]["code"]) == (status, status)
