"""The example under the real server, started by the command that `nox -s serve` runs."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import live
import pytest
from system.transfer import (
    MIB,
    checksum,
    content,
    download,
    send_json,
    steady_requests,
    upload,
)

pytestmark = pytest.mark.forks

FILE = "/v1/images/first/file"
Serve = Callable[..., live.LiveServer]


def create(server: live.LiveServer, name: str = "first") -> None:
    made = send_json(server, "POST", "/v1/images", {"name": name})
    assert made.status == 201, made.text


@pytest.mark.parametrize("sized", [True, False], ids=["sized", "chunked"])
def test_64_mib_go_in_and_come_out(serve: Serve, sized: bool) -> None:
    server = serve()
    create(server)
    stored = upload(server, FILE, 64, sized=sized)
    expected = checksum(content(64))
    assert (stored["size"], stored["sha256"]) == (64 * MIB, expected)
    assert download(server, FILE) == (64 * MIB, expected)


def test_neither_upload_nor_download_fills_the_memory(serve: Serve) -> None:
    server = serve("--workers", "1")
    create(server)
    (worker,) = server.worker_pids()
    upload(server, FILE, 1, sized=False)
    download(server, FILE)
    before = peak_memory(worker)
    create(server, "second")
    upload(server, "/v1/images/second/file", 64, sized=False)
    download(server, "/v1/images/second/file")
    assert server.worker_pids() == {worker}
    assert peak_memory(worker) - before < 16 * MIB


def test_reloads_cut_no_transfer_and_fail_no_request(serve: Serve) -> None:
    server = serve()
    create(server)

    def reload() -> None:
        old = server.worker_pids()
        server.send(signal.SIGHUP)
        server.wait_for(
            "a new generation", lambda: len(server.worker_pids() - old) == 2
        )

    first = server.worker_pids()
    with steady_requests(server, "/v1/images") as seen:
        stored = upload(server, FILE, 64, sized=False, halfway=reload)
        got = download(server, FILE, halfway=reload)
        server.wait_for(
            "the first workers' end", lambda: not first & server.worker_pids()
        )
        server.wait_for("two workers", lambda: len(server.worker_pids()) == 2)
    expected = checksum(content(64))
    assert stored["sha256"] == expected
    assert got == (64 * MIB, expected)
    assert seen.failures == []
    assert seen.count > 10


def test_a_reload_with_a_broken_file_keeps_serving(
    serve: Serve, tmp_path: Path
) -> None:
    extra = tmp_path / "extra.conf"
    extra.write_text("[images]\npage_size = 1\n")
    server = serve("--config-file", str(extra))
    create(server, "a")
    create(server, "b")
    workers = server.worker_pids()
    extra.write_text("[images]\npage_size = many\n")
    server.send(signal.SIGHUP)
    server.wait_for_log("page_size")
    assert len(json.loads(server.get("/v1/images").body)["images"]) == 1
    server.wait_for("the old workers alone", lambda: server.worker_pids() == workers)
    extra.write_text("[images]\npage_size = 2\n")
    server.send(signal.SIGHUP)
    server.wait_for("new workers", lambda: not workers & server.worker_pids())
    assert len(json.loads(server.get("/v1/images").body)["images"]) == 2


def test_ranges(serve: Serve) -> None:
    server = serve()
    create(server)
    upload(server, FILE, 2, sized=True)
    whole = b"".join(content(2))
    for range_, start, stop in (
        ("bytes=0-99", 0, 100),
        (f"bytes={MIB - 1}-{MIB}", MIB - 1, MIB + 1),
        ("bytes=-5", 2 * MIB - 5, 2 * MIB),
        ("bytes=100-", 100, 2 * MIB),
    ):
        part = server.get(FILE, Range=range_)
        assert part.status == 206
        assert part.body == whole[start:stop]
        assert part.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{2 * MIB}"
    beyond = server.get(FILE, Range=f"bytes={2 * MIB}-")
    assert beyond.status == 416
    assert beyond.headers["Content-Range"] == f"bytes */{2 * MIB}"
    head = server.request("HEAD", FILE)
    assert (head.headers["Content-Length"], head.body) == (str(2 * MIB), b"")


def test_errors_are_json(serve: Serve) -> None:
    server = serve(env={"OS_IMAGES__MAX_IMAGE_SIZE": "1000"})
    create(server)
    octets = {"Content-Type": "application/octet-stream"}
    for status, answer in (
        (404, server.get("/v1/images/none")),
        (405, server.request("DELETE", "/v1/images")),
        (409, send_json(server, "POST", "/v1/images", {"name": "first"})),
        (413, server.request("PUT", FILE, bytes(1001), octets)),
        (413, server.request("PUT", FILE, iter([bytes(1001)]), octets)),
        (415, server.request("PUT", FILE, b"x", {"Content-Type": "text/html"})),
    ):
        assert answer.status == status, answer.text
        assert answer.headers["Content-Type"] == "application/json"
        assert json.loads(answer.body)["error"]["code"] == status
        if status == 405:
            assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert server.request("PUT", FILE, bytes(1000), octets).status == 200


def test_an_upload_that_is_too_large_is_refused_before_it_is_sent(serve: Serve) -> None:
    server = serve()
    create(server)
    with server.connect() as sock:
        sock.sendall(
            f"PUT {FILE} HTTP/1.1\r\nHost: x\r\nContent-Length: {(1 << 30) + 1}\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        assert sock.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_goes_away_leaves_no_half_image(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve()
    create(server)
    arriving = tmp_path / "state" / "arriving"
    with server.connect() as sock:
        head = f"PUT {FILE} HTTP/1.1\r\nHost: x\r\nContent-Length: {MIB}\r\n\r\n"
        sock.sendall(head.encode() + bytes(MIB // 2))
        server.wait_for("the upload to begin", lambda: any(arriving.iterdir()))
    server.wait_for("the upload to be dropped", lambda: not any(arriving.iterdir()))
    assert not any((tmp_path / "state" / "finished").iterdir())
    assert server.get(FILE).status == 404
    upload(server, FILE, 1, sized=True)


def test_errors_speak_the_language_of_the_client(serve: Serve) -> None:
    server = serve()
    english = json.loads(server.get("/v1/images/none").body)["error"]["message"]
    french = server.get("/v1/images/none", Accept_Language="fr")
    assert french.status == 404
    assert "could not be found" in english
    assert "could not be found" not in json.loads(french.body)["error"]["message"]


def test_ctrl_c_stops_it_and_leaves_no_process(serve: Serve) -> None:
    server = serve()
    create(server)
    workers = server.worker_pids()
    assert len(workers) == 2
    with contextlib.closing(server.client()) as idle:
        idle.request("GET", "/healthcheck")
        response = idle.getresponse()
        response.read()
        assert response.status == 200
        server.send(signal.SIGINT)
        assert server.wait() == 0
    server.wait_for("the workers' end", lambda: not any(map(live.is_alive, workers)))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.address)


def peak_memory(pid: int) -> int:
    """The most that a process ever had resident, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("this kernel does not count VmHWM")
