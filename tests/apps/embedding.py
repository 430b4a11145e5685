"""A program with engines in it: each scenario tells what it saw, all of them as JSON.

    python -m apps.embedding FORM

The process is what `live.FORMS` say: eventlet's hub in one that is not patched, one that is
patched, or native threads alone.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import math
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from time import monotonic
from typing import Any

FORM = sys.argv[1]
if FORM == "patched":
    importlib.import_module("eventlet").monkey_patch()

# What waits is green where somebody else has to have his turn.
GREEN = FORM == "eventlet"
http_client: Any = importlib.import_module(
    "eventlet.green.http.client" if GREEN else "http.client"
)
client_ssl: Any = importlib.import_module("eventlet.green.ssl" if GREEN else "ssl")
nap: Callable[[float], object] = importlib.import_module(
    "eventlet" if GREEN else "time"
).sleep

from wsgi_server.embed import Engine, Options  # noqa: E402

#: Requests for `/held` that have begun, and whether they may end.
HELD: list[str] = []
FREE: list[bool] = []
LOG: list[str] = []


class Noting(logging.Handler):
    """Keeps what the server logs."""

    def emit(self, record: logging.LogRecord) -> None:
        LOG.append(record.getMessage())


def app(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    """Says what it found; `/held` waits for `FREE`, `/fork` forks."""
    path = environ["PATH_INFO"]
    if path == "/held":
        HELD.append(path)
        while not FREE:
            nap(0.005)
    found: Any = {
        "multiprocess": environ["wsgi.multiprocess"],
        "scheme": environ["wsgi.url_scheme"],
        "thread": threading.current_thread() is threading.main_thread(),
    }
    if path == "/fork":
        found = fork(environ)
    body = json.dumps(found).encode()
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def fork(environ: dict[str, Any]) -> Any:
    """What the child says: whether its engine is over, and how many sockets it has."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        engine = ENGINES[-1]
        engine.stop()
        os.write(writer, json.dumps([engine.wait(), sockets()]).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(said)


def sockets() -> int:
    """How many sockets this process has open."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
        except FileNotFoundError:
            continue  # that of the directory
    return found


ENGINES: list[Engine] = []


def make(*socks: socket.socket, **keywords: Any) -> Engine:
    """An engine of the kind that the form is about; only one of them has to say so."""
    given: dict[str, Any] = keywords.pop("given", {})
    if GREEN:
        given["engine"] = "eventlet"
    ENGINES.append(Engine(app, socks, options=Options(**given), **keywords))
    return ENGINES[-1]


def listen() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def client(sock: socket.socket, **keywords: Any) -> Any:
    kind = http_client.HTTPSConnection if keywords else http_client.HTTPConnection
    return kind(*sock.getsockname()[:2], timeout=60, **keywords)


def ask(connection: Any, path: str = "/") -> tuple[int, Any]:
    connection.request("GET", path)
    return answer(connection)


def answer(connection: Any) -> tuple[int, Any]:
    response = connection.getresponse()
    body = response.read()
    return response.status, json.loads(body) if response.status == 200 else None


@contextmanager
def held(sock: socket.socket) -> Iterator[Any]:
    """A connection whose request is being answered."""
    HELD.clear()
    FREE.clear()
    with closing(client(sock)) as connection:
        connection.request("GET", "/held")
        while not HELD:
            nap(0.005)
        yield connection


def answers() -> Any:
    lines: list[str] = []
    form = '"{request}" {status}'
    with listen() as sock, closing(client(sock)) as connection:
        engine = make(
            sock,
            access_log=lines.append,
            multiprocess=True,
            given={"access_log_format": form},
        )
        engine.start()
        seen = [ask(connection), ask(connection)]
        early = engine.wait(0)
        connection.close()
        engine.stop()
        return {
            "urls": engine.urls == [f"http://127.0.0.1:{sock.getsockname()[1]}"],
            "seen": seen,
            "early": early,
            "ended": engine.wait(),
            "lines": lines,
        }


def stays_the_programs() -> Any:
    """The socket is the program's: it is open afterwards, and serves again."""
    with listen() as sock:
        found = []
        for _ in range(2):
            with make(sock), closing(client(sock)) as connection:
                found.append(ask(connection)[0])
        return [*found, sock.fileno() >= 0]


def two_in_one_process() -> Any:
    with (
        listen() as one,
        listen() as two,
        make(one),
        make(two, multiprocess=True),
        closing(client(one)) as first,
        closing(client(two)) as second,
    ):
        return [ask(each)[1]["multiprocess"] for each in (first, second, first)]


def stop_waits_for_what_runs() -> Any:
    with listen() as sock:
        engine = make(sock)
        engine.start()
        with held(sock) as connection:
            engine.stop(60)
            engine.stop(30)
            waits = engine.wait(0.01)
            FREE.append(True)
            status, _ = answer(connection)
        return [waits, status, engine.wait(60), engine.wait()]


def stop_hurries() -> Any:
    with listen() as sock:
        engine = make(sock)
        engine.start()
        with held(sock) as connection:
            engine.stop(math.inf)
            engine.stop(0)
            ended = engine.wait(60)
            FREE.append(True)
            try:
                connection.getresponse()
            except OSError as exc:
                cut = type(exc).__name__
        return [ended, cut, any("/held" in line for line in LOG)]


def stop_by_other_threads() -> Any:
    """From native threads, whatever the process is made of."""
    _thread: Any = importlib.import_module("_thread")
    if FORM == "patched":
        _thread = importlib.import_module("eventlet.patcher").original("_thread")
    with listen() as sock:
        engine = make(sock)
        engine.start()
        for _ in range(3):
            _thread.start_new_thread(engine.stop, (5,))
        return engine.wait(60)


def stop_by_a_signal() -> Any:
    """The handler interrupts who waits; where it can, it waits as well."""
    with listen() as sock:
        engine = make(sock)
        said: list[Any] = []

        def handler(*_: object) -> None:
            engine.stop()
            try:
                said.append(engine.wait())
            except RuntimeError:
                said.append("in the hub")

        before = signal.signal(signal.SIGUSR1, handler)
        engine.start()
        pid = os.getpid()
        threading.Timer(0.01, os.kill, (pid, signal.SIGUSR1)).start()
        ended = engine.wait(60)
        while not said:
            nap(0.005)
        signal.signal(signal.SIGUSR1, before)
        return [ended, said in ([True], ["in the hub"])]


def stop_before_start() -> Any:
    with listen() as sock:
        engine = make(sock)
        engine.stop()
        engine.start()
        try:
            engine.start()
        except Exception as exc:  # noqa: BLE001  told
            again = str(exc)
        return [engine.wait(), engine.urls, again]


def reconfigured() -> Any:
    """Who is connected stays; who comes later goes by the new limit."""
    with listen() as sock, make(sock) as engine, closing(client(sock)) as connection:
        path = f"/{'x' * 2000}"
        given: dict[str, Any] = {"engine": "eventlet"} if GREEN else {}
        seen = [ask(connection, path)[0]]
        engine.reconfigure(Options(max_request_line=1000, **given))
        while seen[-1] != 414:
            with closing(client(sock)) as another:
                seen.append(ask(another, path)[0])
        return [*sorted(set(seen)), ask(connection)[0]]


def forks() -> Any:
    # As long as they can be called, engines keep two descriptors.
    ENGINES.clear()
    deadline = monotonic() + 20
    # One whose thread is just ending is still in that thread's hands.
    while sockets() and monotonic() < deadline:
        gc.collect()
        nap(0.005)
    with listen() as sock, closing(client(sock)) as connection, make(sock):
        # The program's own listening socket, and its client.
        status, said = ask(connection, "/fork")
        return [status, said, ask(connection)[0]]


def tls() -> Any:
    cert, key = os.environ["CERT"], os.environ["KEY"]
    context = client_ssl.create_default_context(cafile=cert)
    context.check_hostname = False
    seen = []
    for keywords in (
        {"given": {"cert_file": cert, "key_file": key}},
        {"tls": server_side(cert, key)},
    ):
        with (
            listen() as sock,
            make(sock, **keywords) as engine,
            closing(client(sock, context=context)) as connection,
        ):
            scheme = ask(connection)[1]["scheme"]
            seen.append([scheme, engine.urls[0].partition(":")[0]])
    return seen


def server_side(cert: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def leaves_nothing() -> Any:
    """Descriptors, threads and signals are as before."""

    def look() -> dict[str, Any]:
        gc.collect()
        return {
            "fds": len(os.listdir("/proc/self/fd")),
            "threads": threading.active_count(),
            "signals": [str(signal.getsignal(n)) for n in signal.valid_signals()],
            "wakeup": signal.set_wakeup_fd(-1),
        }

    ENGINES.clear()
    before = look()
    with listen() as sock, make(sock), closing(client(sock)) as connection:
        ask(connection)
    del sock, connection
    ENGINES.clear()
    after = look()
    return [name for name in before if before[name] != after[name]]


SCENARIOS: list[Callable[[], Any]] = [
    answers,
    stays_the_programs,
    two_in_one_process,
    stop_waits_for_what_runs,
    stop_hurries,
    stop_by_other_threads,
    stop_by_a_signal,
    stop_before_start,
    reconfigured,
    forks,
    tls,
    leaves_nothing,
]


if __name__ == "__main__":
    logging.getLogger("wsgi_server").addHandler(Noting())
    told: dict[str, Any] = {}
    for scenario in SCENARIOS:
        # Which one it was, should it be the last.
        print(scenario.__name__, file=sys.stderr, flush=True)
        told[scenario.__name__] = scenario()
    told["eventlet"] = "eventlet" in sys.modules
    print(json.dumps(told))
