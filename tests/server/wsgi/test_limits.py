"""What a client may hold open, and for how long."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import live
import pytest

pytestmark = pytest.mark.forks

Start = Callable[..., live.LiveServer]
APP = "apps.exercise:app"


def configured(tmp_path: Path, **options: object) -> list[str]:
    path = tmp_path / "server.conf"
    lines = [f"{name} = {value}" for name, value in options.items()]
    path.write_text("[DEFAULT]\n" + "\n".join(lines) + "\n")
    return ["--config-file", str(path)]


def read_to_end(sock: object) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))  # type: ignore[attr-defined]


def test_a_head_that_drips_is_answered_with_408(
    live_server: Start, tmp_path: Path
) -> None:
    server = live_server(APP, *configured(tmp_path, header_timeout=0.3))
    with server.connect() as sock:
        sock.sendall(b"GET /whole HTTP/1.1\r\nHo")
        assert read_to_end(sock).startswith(b"HTTP/1.1 408 ")
    with server.connect() as sock:
        # Nothing at all was sent: there is nothing to answer.
        assert read_to_end(sock) == b""
    assert server.get("/whole").status == 200


@pytest.mark.parametrize(
    "limits", [{"body_timeout": 0.3}, {"body_timeout": 0, "client_socket_timeout": 0.3}]
)
def test_a_small_body_that_stalls_is_answered_with_408(
    live_server: Start, tmp_path: Path, limits: dict[str, float]
) -> None:
    server = live_server(APP, *configured(tmp_path, **limits))
    with server.connect() as sock:
        sock.sendall(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"
        )
        assert read_to_end(sock).startswith(b"HTTP/1.1 408 ")


def test_a_large_body_that_stalls_is_answered_with_408(
    live_server: Start, tmp_path: Path
) -> None:
    server = live_server(APP, *configured(tmp_path, body_timeout=0.3))
    with server.connect() as sock:
        sock.sendall(
            b"POST /measure?read HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf"
        )
        assert read_to_end(sock).startswith(b"HTTP/1.1 408 ")
    assert server.request("POST", "/measure?read", b"x" * 100_000).status == 200


def test_a_large_body_that_drips_is_answered_with_408(
    live_server: Start, tmp_path: Path
) -> None:
    """Each byte comes in time; 64 KiB of them would not."""
    server = live_server(APP, *configured(tmp_path, body_timeout=0.5))
    deadline = time.monotonic() + live.PATIENCE
    with server.connect(timeout=0.05) as sock:
        sock.sendall(
            b"POST /measure?read HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        )
        answer = b""
        while not answer:
            assert time.monotonic() < deadline, "it is still waiting"
            sock.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = sock.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert server.request("POST", "/measure?read", b"x" * 100_000).status == 200


def test_an_idle_connection_is_closed(live_server: Start, tmp_path: Path) -> None:
    server = live_server(APP, *configured(tmp_path, keepalive_timeout=0.3))
    with server.connect() as sock:
        sock.sendall(b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_to_end(sock).endswith(b"onetwo")


def test_a_client_that_does_not_read_is_given_up(
    live_server: Start, tmp_path: Path
) -> None:
    server = live_server(APP, *configured(tmp_path, write_timeout=0.3))
    with server.connect() as sock:
        sock.sendall(b"GET /big?90000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_for("close()", lambda: b"big" in server.get("/closed").body)


def test_a_client_may_be_given_a_month(live_server: Start, tmp_path: Path) -> None:
    """More than one call of poll() can wait."""
    month = 30 * 86400
    limits = configured(tmp_path, write_timeout=month, client_socket_timeout=month)
    server = live_server(APP, *limits)
    with server.connect() as sock:
        sock.sendall(b"GET /big?90000000 HTTP/1.0\r\n\r\n")
        assert len(read_to_end(sock).partition(b"\r\n\r\n")[2]) == 90000000


def test_keep_alive_can_be_switched_off_or_counted(
    live_server: Start, tmp_path: Path
) -> None:
    server = live_server(APP, *configured(tmp_path, http_keepalive=False))
    assert server.get("/whole").headers["Connection"] == "close"
    counted = live_server(APP, *configured(tmp_path, max_keepalive_requests=2))
    with contextlib.closing(counted.client()) as client:
        for expected in (None, "close"):
            client.request("GET", "/whole")
            response = client.getresponse()
            response.read()
            assert response.headers["Connection"] == expected


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_answered_with_413(
    live_server: Start, tmp_path: Path, chunked: bool
) -> None:
    server = live_server(APP, *configured(tmp_path, max_request_body=1000))
    for size, status in ((1000, 200), (1001, 413)):
        body = iter([b"x" * size]) if chunked else b"x" * size
        assert server.request("POST", "/measure?read", body).status == status


@pytest.mark.parametrize("how", ["read", "65536"])
def test_equal_chunks_are_counted_towards_the_limit(
    live_server: Start, tmp_path: Path, how: str
) -> None:
    server = live_server(APP, *configured(tmp_path, max_request_body=300_000))
    for count, status in ((6, 200), (7, 413)):
        body = itertools.repeat(b"x" * 50_000, count)
        assert server.request("POST", f"/measure?{how}", body).status == status


@pytest.mark.parametrize(
    ("options", "within", "over", "status"),
    [
        ({"max_request_line": 100}, b"/" + b"a" * 86, b"/" + b"a" * 87, 414),
        ({"max_request_line": 8190}, b"/" + b"a" * 8176, b"/" + b"a" * 8177, 414),
    ],
)
def test_the_request_line_is_limited(
    live_server: Start,
    tmp_path: Path,
    options: dict[str, int],
    within: bytes,
    over: bytes,
    status: int,
) -> None:
    server = live_server(APP, *configured(tmp_path, **options))
    for target, expected in ((within, 200), (over, status)):
        answer = server.exchange(b"GET %b HTTP/1.0\r\n\r\n" % target)
        assert answer.split(b" ")[1] == str(expected).encode()


def test_header_fields_are_limited_in_number_and_size(
    live_server: Start, tmp_path: Path
) -> None:
    server = live_server(
        APP,
        *configured(tmp_path, max_headers=5, max_header_line=200, max_header_bytes=500),
    )

    def status(*fields: bytes) -> bytes:
        lines = b"".join(field + b"\r\n" for field in fields)
        return server.exchange(b"GET / HTTP/1.0\r\n" + lines + b"\r\n").split(b" ")[1]

    assert status(*[b"A: b"] * 5) == b"200"
    assert status(*[b"A: b"] * 6) == b"431"
    assert status(b"A: " + b"b" * 197) == b"200"
    assert status(b"A: " + b"b" * 198) == b"431"
    assert status(*[b"A: " + b"b" * 150] * 3) == b"200"
    assert status(*[b"A: " + b"b" * 150] * 4) == b"431"


def test_the_longest_idle_connections_make_room(
    live_server: Start, tmp_path: Path
) -> None:
    server = live_server(APP, *configured(tmp_path, max_connections=20))
    with contextlib.ExitStack() as stack:
        idle = []
        for _ in range(20):
            client = stack.enter_context(contextlib.closing(server.client()))
            client.request("GET", "/whole")
            client.getresponse().read()
            idle.append(client)
        assert server.get("/whole").status == 200
        first = idle[0].sock
        assert first is not None
        assert first.recv(1) == b""


def test_busy_connections_make_room_when_they_become_idle(
    live_server: Start, tmp_path: Path
) -> None:
    server = live_server(APP, *configured(tmp_path, max_connections=2))
    gate = tmp_path / "gate"
    with contextlib.ExitStack() as stack:
        busy = []
        for number in range(2):
            client = stack.enter_context(contextlib.closing(server.client()))
            started = tmp_path / f"started-{number}"
            client.request("GET", f"/wait?started={started}&until={gate}")
            server.wait_for("the request to run", started.exists)
            busy.append(client)
        newcomer = stack.enter_context(contextlib.closing(server.client()))
        newcomer.request("GET", "/whole")
        server.wait_for_log("accepting pauses: max_connections = 2 reached")
        gate.touch()
        assert [client.getresponse().read() for client in busy] == [b"waited"] * 2
        assert newcomer.getresponse().status == 200


def test_requests_over_the_places_wait_their_turn(
    live_server: Start, tmp_path: Path
) -> None:
    server = live_server(APP, "--threads", "2")
    gate, clients = tmp_path / "gate", []
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            client = stack.enter_context(contextlib.closing(server.client()))
            client.request("GET", f"/wait?until={gate}")
            clients.append(client)
        gate.touch()
        assert [client.getresponse().read() for client in clients] == [b"waited"] * 6


def test_one_place_is_one_request_at_a_time(live_server: Start, tmp_path: Path) -> None:
    server = live_server(APP, "--threads", "1")
    started, gate = tmp_path / "started", tmp_path / "gate"
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(contextlib.closing(server.client()))
        first.request("GET", f"/crowd?started={started}&until={gate}")
        server.wait_for("the only place to be taken", started.exists)
        # The threads engine is cautious for a while after a request that took long.
        calm = time.monotonic() + 0.5
        server.wait_for("its caution to pass", lambda: time.monotonic() > calm)
        second = stack.enter_context(contextlib.closing(server.client()))
        second.request("GET", f"/crowd?until={gate}")
        # Later than the second request, and of a connection that is open already.
        assert server.exchange(b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        gate.touch()
        assert first.getresponse().read() == b"1"
        assert second.getresponse().read() == b"1"


def test_a_full_queue_answers_503_and_late_ones_too(
    live_server: Start, tmp_path: Path
) -> None:
    server = live_server(
        APP, "--threads", "1", *configured(tmp_path, queue_size=2, queue_timeout=0.5)
    )
    gate, started = tmp_path / "gate", tmp_path / "started"
    with contextlib.ExitStack() as stack:
        holder = stack.enter_context(contextlib.closing(server.client()))
        holder.request("GET", f"/wait?started={started}&until={gate}")
        server.wait_for("the only place to be taken", started.exists)
        waiting = stack.enter_context(contextlib.closing(server.client()))
        waiting.request("GET", "/whole")
        response = waiting.getresponse()
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"
        gate.touch()
        assert holder.getresponse().read() == b"waited"
    assert server.get("/whole").status == 200


def test_accepting_pauses_while_the_queue_is_half_full(
    live_server: Start, tmp_path: Path
) -> None:
    """A sibling worker takes what comes meanwhile; here it waits for the end of that."""
    server = live_server(APP, "--threads", "1", *configured(tmp_path, queue_size=4))
    gate, started = tmp_path / "gate", tmp_path / "started"
    with contextlib.ExitStack() as stack:
        clients = []
        for path in (f"/wait?started={started}&until={gate}", *["/whole"] * 3):
            client = stack.enter_context(contextlib.closing(server.client()))
            client.request("GET", path)
            server.wait_for("the only place to be taken", started.exists)
            clients.append(client)
        server.wait_for_log("accepting pauses: 2 requests are waiting for a place")
        late = stack.enter_context(contextlib.closing(server.client()))
        late.request("GET", "/whole")
        gate.touch()
        bodies = [client.getresponse().read() for client in (*clients, late)]
        assert bodies == [b"waited", *[b"onetwo"] * 4]
    server.wait_for_log("accepting again")


def test_a_request_that_takes_too_long_leaves_the_others_alone(
    live_server: Start, tmp_path: Path, engine: str
) -> None:
    """A thread cannot be stopped: its worker is replaced, and nobody else notices."""
    server = live_server(APP, *configured(tmp_path, request_timeout=1))
    workers = server.worker_pids()
    with contextlib.closing(server.client()) as client:
        client.request("GET", "/sleepy?6")
        while "exceeded request_timeout" not in server.log():
            assert server.get("/sleepy?0.05").body == b"awake"
        assert client.getresponse().status == 503
    if engine == "threads":
        while server.worker_pids() & workers:
            assert server.get("/sleepy?0.05").body == b"awake"
    else:
        assert server.get("/whole").status == 200
        assert server.worker_pids() == workers


def test_a_request_that_takes_too_long_is_answered_and_named(
    live_server: Start, tmp_path: Path
) -> None:
    server = live_server(APP, *configured(tmp_path, request_timeout=0.3))
    assert server.get("/sleepy?0").status == 200
    assert server.get("/sleepy?5").status == 503
    server.wait_for_log(r"GET /sleepy\?5 from 127\.0\.0\.1 \(\w+\) exceeded[\s\S]*nap")
    server.wait_for("an answer", lambda: _status(server) == 200)


def test_the_time_of_a_client_is_not_the_applications(
    live_server: Start, tmp_path: Path
) -> None:
    """It takes a response, and sends a body, for longer than a request may take."""
    limit = 0.3
    server = live_server(APP, *configured(tmp_path, request_timeout=limit))
    workers = server.worker_pids()

    def dawdle() -> None:
        till = time.monotonic() + 3 * limit
        server.wait_for("more than that", lambda: time.monotonic() > till)

    size = 30_000_000
    with server.connect() as sock:
        sock.sendall(b"GET /big?%d HTTP/1.0\r\n\r\n" % size)
        assert sock.recv(1)
        dawdle()
        assert len(read_to_end(sock).partition(b"\r\n\r\n")[2]) == size
    with server.connect() as sock:
        sock.sendall(b"POST /measure?read HTTP/1.0\r\nContent-Length: 100000\r\n\r\n")
        sock.sendall(b"x" * 50_000)
        dawdle()
        sock.sendall(b"x" * 50_000)
        assert read_to_end(sock).endswith(b"[100000]")
    assert "exceeded" not in server.log()
    assert server.worker_pids() == workers


def test_the_time_of_an_application_counts_after_that_of_its_client(
    live_server: Start, tmp_path: Path
) -> None:
    server = live_server(APP, *configured(tmp_path, request_timeout=0.3))
    with server.connect() as sock:
        sock.sendall(
            b"POST /read-and-sleep?5 HTTP/1.0\r\nContent-Length: 40000\r\n\r\n"
        )
        till = time.monotonic() + 1
        server.wait_for("a second", lambda: time.monotonic() > till)
        assert "exceeded" not in server.log()
        sock.sendall(b"x" * 40_000)
        assert read_to_end(sock).startswith(b"HTTP/1.1 503 ")
    server.wait_for_log(r"POST /read-and-sleep\?5 from 127\.0\.0\.1 \(\w+\) exceeded")


def _status(server: live.LiveServer) -> int:
    try:
        return server.get("/whole").status
    except (OSError, http.client.HTTPException):
        return 0


def test_five_hundred_half_sent_heads_do_not_delay_others(live_server: Start) -> None:
    server = live_server(APP)
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            sock = stack.enter_context(server.connect())
            sock.sendall(b"GET /whole HTTP/1.1\r\nHost:")
        for _ in range(20):
            assert server.get("/whole").status == 200


def test_a_worker_out_of_descriptors_pauses_and_goes_on(live_server: Start) -> None:
    server = live_server("apps.few_descriptors:app")
    pauses = "accepting pauses: cannot accept: Too many open files"
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(server.connect())
        server.wait_for_log(pauses)
        workers = server.worker_pids()
        # Each attempt to go on fails again; the episode is said once.
        late = stack.enter_context(server.connect())
        late.sendall(b"GET / HTTP/1.0\r\n\r\n")
    # Over when an attempt has found nobody waiting.
    server.wait_for(
        "the end of the episode",
        lambda: server.get("/").status == 200 and "accepting again" in server.log(),
    )
    assert server.log().count(pauses) == 1
    assert server.worker_pids() == workers
