"""One application with a path for each thing that WSGI lets an application do.

State that tests ask for (`/closed`) lives in the worker, so run it with one.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from wsgiref.validate import validator

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

CLOSED: list[str] = []
CROWD: list[Environ] = []
TURNS = itertools.count()
TEXT = ("Content-Type", "text/plain")


def nap(seconds: float) -> None:
    """Waits as the engine of this worker would have it."""
    eventlet = sys.modules.get("eventlet")
    (time if eventlet is None else eventlet).sleep(seconds)


def hold(seconds: float) -> None:
    """Keeps the thread, and with eventlet everybody else, whoever has patched `time`."""
    eventlet = sys.modules.get("eventlet")
    (time if eventlet is None else eventlet.patcher.original("time")).sleep(seconds)


class Body:
    """Blocks of a body that note their `close`."""

    def __init__(self, name: str, blocks: Iterable[bytes]) -> None:
        self._name = name
        self._blocks = iter(blocks)

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        CLOSED.append(self._name)


def echo(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """The request body, in the pieces that it is read in; the query may name their size."""
    start("200 OK", [TEXT])
    size = int(environ["QUERY_STRING"] or 8192)
    return iter(lambda: environ["wsgi.input"].read(size), b"")


def measure(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """How many bytes came, read in the way that the query names."""
    stream = environ["wsgi.input"]
    how = environ["QUERY_STRING"]
    if how == "read":
        found = [stream.read()]
    elif how == "lines":
        found = list(stream)
    elif how == "readlines":
        found = stream.readlines()
    elif how == "hint":
        found = stream.readlines(5)
    elif how == "readline":
        found = [
            stream.readline(),
            stream.readline(3),
            stream.readline(),
            stream.read(),
        ]
    else:
        found = list(iter(lambda: stream.read(int(how)), b""))
    body = json.dumps([len(part) for part in found]).encode()
    start("200 OK", [TEXT, ("Content-Length", str(len(body)))])
    return [body]


def show_environ(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """The environ, as far as JSON can say it."""
    shown = {
        name: value if isinstance(value, (str, int, bool, list, tuple)) else repr(value)
        for name, value in environ.items()
    }
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(shown).encode()]


def stream(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Three blocks without a length."""
    start("200 OK", [TEXT])
    return Body("stream", [b"one", b"", b"two", b"three"])


def whole(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Several blocks in a tuple: the length can be known."""
    start("200 OK", [TEXT])
    return (b"one", b"two")


def write(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """The imperative interface, then an iterable."""
    send = start("200 OK", [TEXT])
    send(b"written ")
    send(b"")
    send(b"twice ")
    return [b"and returned"]


def only_write(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """All of the body through `write`, nothing returned."""
    start("200 OK", [TEXT])(b"all written")
    return []


def send_file(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """This very file through `wsgi.file_wrapper`, from an offset in the query."""
    found = Path(__file__).open("rb")  # noqa: SIM115  the wrapper closes it
    found.seek(int(environ["QUERY_STRING"] or 0))
    start("200 OK", [TEXT])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](found, 1024)
    return wrapped


def big(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """As many bytes as the query asks for, in blocks of 64 KiB, each of one letter.

    With "&chunked" behind the number their length is not told.
    """
    size, _, how = environ["QUERY_STRING"].partition("&")
    left = int(size)
    length = [] if how == "chunked" else [("Content-Length", size)]
    start("200 OK", [TEXT, *length])

    def blocks() -> Iterator[bytes]:
        for offset in range(0, left, 65536):
            letter = b"%c" % (97 + offset // 65536 % 26)
            yield letter * min(65536, left - offset)

    return Body("big", blocks())


def read_and_sleep(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Reads all of the body, then sleeps for as long as the query says."""
    environ["wsgi.input"].read()
    return sleepy(environ, start)


def nothing(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """A status that has no body, and a body all the same."""
    status = {"204": "204 No Content", "304": "304 Not Modified"}
    start(status[environ["QUERY_STRING"]], [("ETag", '"x"')])
    return [b"must not be sent"]


def ignore(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Does not look at the request body."""
    start("200 OK", [TEXT, ("Content-Length", "7")])
    return [b"ignored"]


def boom(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Fails before anything is sent."""
    raise RuntimeError("a secret of the application")


def boom_late(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Fails in the middle of a body."""
    length = environ["QUERY_STRING"]
    start("200 OK", [TEXT, *([("Content-Length", length)] if length else [])])

    def blocks() -> Iterator[bytes]:
        yield b"first"
        raise RuntimeError("too late for a 500")

    return Body("boom-late", blocks())


def replaced(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Replaces its response with exc_info, while nothing has been sent."""
    start("200 OK", [TEXT])
    try:
        raise ValueError("handled")  # noqa: TRY301
    except ValueError:
        start("503 Service Unavailable", [TEXT], sys.exc_info())
    return [b"replaced"]


def too_late(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Wants to replace a response that is on its way."""
    start("200 OK", [TEXT])(b"sent")
    try:
        raise ValueError("the original fault")  # noqa: TRY301
    except ValueError:
        start("500 Internal Server Error", [TEXT], sys.exc_info())
    return []


def refused(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Says things that must not be sent."""
    status, headers, body = {
        "hop": ("200 OK", [("Connection", "close")], b""),
        "crlf": ("200 OK", [("X-A", "a\r\nX-B: b")], b""),
        "name": ("200 OK", [("X A", "a")], b""),
        "latin": ("200 OK", [("X-A", "\u20ac")], b""),
        "bytes": ("200 OK", [("X-A", b"a")], b""),
        "status": ("200", [], b""),
        "informational": ("102 Processing", [], b""),
        "length": ("200 OK", [("Content-Length", "-1")], b""),
        "lengths": ("200 OK", [("Content-Length", "1"), ("content-length", "1")], b"x"),
        "text": ("200 OK", [], "text"),
    }[environ["QUERY_STRING"]]
    start(status, headers)
    return [body]  # type: ignore[list-item]


def silent(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Returns without having called start_response."""
    return [b"never"]


def twice(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Calls start_response twice without exc_info."""
    start("200 OK", [TEXT])
    start("201 Created", [TEXT])
    return [b"never"]


def leave(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Tries to end the process."""
    sys.exit("not from here")


def long(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """More than it announced; in one list or block by block."""
    start("200 OK", [TEXT, ("Content-Length", "5")])
    blocks = [b"12345", b"6789"]
    return blocks if environ["QUERY_STRING"] == "list" else iter(blocks)


def short(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Less than it announced."""
    start("200 OK", [TEXT, ("Content-Length", "50")])
    return [b"12345"]


def wait(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Creates the file named by `started`, then waits until `until` exists."""
    query = parse_qs(environ["QUERY_STRING"])
    if "started" in query:
        Path(query["started"][0]).touch()
    until = Path(query["until"][0])
    deadline = time.monotonic() + 30
    while not until.exists() and time.monotonic() < deadline:
        nap(0.01)
    start("200 OK", [TEXT])
    return [b"waited"]


def crowd(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """As `wait`, and says how many requests were in here when this one came."""
    CROWD.append(environ)
    met = len(CROWD)
    try:
        wait(environ, start)
    finally:
        CROWD.remove(environ)
    return [b"%d" % met]


def gone(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Raises what ends a generator or, where the query says so, a greenlet."""
    if environ["QUERY_STRING"] == "greenlet":
        from greenlet import GreenletExit

        raise GreenletExit
    raise GeneratorExit


def both_ways(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Reads in one greenlet while it writes in another, more than a socket takes."""
    import eventlet

    write = start("200 OK", [TEXT])
    eventlet.spawn_n(environ["wsgi.input"].read, 1)
    eventlet.sleep(0)
    write(b"x" * (64 << 20))
    return []


def sleepy(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Waits as many seconds as the query says."""
    nap(float(environ["QUERY_STRING"]))
    start("200 OK", [TEXT])
    return [b"awake"]


def busy(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Never gives anybody else a turn for as many seconds as the query says."""
    next(TURNS)
    hold(float(environ["QUERY_STRING"]))
    start("200 OK", [TEXT])
    return [b"done"]


def end(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Ends the process without a word."""
    os._exit(3)


def clutch(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Sleeps in C with the interpreter's lock, as many whole seconds as the query says."""
    import ctypes

    left = int(environ["QUERY_STRING"])
    while left:
        # A signal ends it early.
        left = ctypes.PyDLL(None).sleep(left)
    start("200 OK", [TEXT])
    return [b"let go"]


def chew(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Takes longer for every piece of the body than any client to send the next."""
    for piece in iter(lambda: environ["wsgi.input"].read(65536), b""):
        hold(len(piece) / 65_536_000)
    start("200 OK", [TEXT])
    return [b"swallowed"]


def drool(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Takes longer for every piece of a response without an end than any client."""
    size = int(environ["QUERY_STRING"])
    start("200 OK", [TEXT])
    while True:
        hold(size / 65_536_000)
        yield b"x" * size


def insistent(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Reads the body three times, whatever comes of it, and says what did."""
    said = []
    for _ in range(3):
        try:
            said.append(str(len(environ["wsgi.input"].read())))
        except OSError as exc:
            said.append(str(exc))
    start("200 OK", [TEXT])
    return ["\n".join(said).encode()]


def turns(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """How often `busy` had its turn."""
    start("200 OK", [TEXT])
    return [str(next(TURNS)).encode()]


def closed(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Which bodies were closed since the last time."""
    names = json.dumps(CLOSED).encode()
    CLOSED.clear()
    start("200 OK", [("Content-Type", "application/json")])
    return [names]


def careful(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """A middleware that answers in the place of what refuses its headers."""
    try:
        start("200 OK", [TEXT, ("X-Bad", "a\r\nX-Split: b")])
    except ValueError as exc:
        start("502 Bad Gateway", [TEXT])
        return [str(exc).encode()]
    return [b"not caught"]


def hints(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Hints at a style sheet, twice as often as it should."""
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload"), ("X-No", "x")])
    environ["wsgi.early_hints"]([])
    start("200 OK", [TEXT])
    return [b"hinted"]


def hasty(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Begins its answer, as the query says, before it hints and reads."""
    length = int(environ.get("HTTP_X_LENGTH", "0"))
    announced = [("Content-Length", str(length))] if length else []
    write = start("200 OK", [TEXT, *announced])
    if environ["QUERY_STRING"] == "write":
        write(b"begun ")
    elif environ["QUERY_STRING"] == "nothing":
        write(b"")
    else:
        yield b"begun "
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload")])
    try:
        yield environ["wsgi.input"].read()
    except OSError as exc:
        yield type(exc).__name__.encode()


def afterthought(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Reads, and hints, when its body is closed: the answer is out."""

    class Late(Body):
        def close(self) -> None:
            environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload")])
            CLOSED.append(environ["wsgi.input"].read().decode())

    start("200 OK", [TEXT, ("Content-Length", "4")])
    return Late("late", [b"done"])


def patient(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Works for as many seconds as the query says, or until the client has gone."""
    deadline = time.monotonic() + float(environ["QUERY_STRING"])
    while not environ["wsgi_server.client_gone"]():
        if time.monotonic() >= deadline:
            start("200 OK", [TEXT])
            return [b"still there"]
        nap(0.01)
    CLOSED.append("gone")
    start("200 OK", [TEXT])
    return []


def modules(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """What this worker has imported, its process id, and whether it has the GIL."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    found = {"pid": os.getpid(), "modules": sorted(sys.modules), "gil": gil}
    body = json.dumps(found).encode()
    start("200 OK", [("Content-Type", "application/json")])
    return [body]


PATHS: dict[str, Callable[[Environ, StartResponse], Iterable[bytes]]] = {
    "/echo": echo,
    "/measure": measure,
    "/environ": show_environ,
    "/stream": stream,
    "/whole": whole,
    "/write": write,
    "/only-write": only_write,
    "/file": send_file,
    "/big": big,
    "/nothing": nothing,
    "/ignore": ignore,
    "/boom": boom,
    "/boom-late": boom_late,
    "/replaced": replaced,
    "/too-late": too_late,
    "/refused": refused,
    "/silent": silent,
    "/twice": twice,
    "/leave": leave,
    "/long": long,
    "/short": short,
    "/wait": wait,
    "/crowd": crowd,
    "/gone": gone,
    "/both-ways": both_ways,
    "/sleepy": sleepy,
    "/read-and-sleep": read_and_sleep,
    "/busy": busy,
    "/exit": end,
    "/clutch": clutch,
    "/chew": chew,
    "/drool": drool,
    "/closed": closed,
    "/turns": turns,
    "/insistent": insistent,
    "/careful": careful,
    "/hints": hints,
    "/hasty": hasty,
    "/afterthought": afterthought,
    "/patient": patient,
    "/modules": modules,
}


def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    """Dispatches by path; everything else is shown."""
    return PATHS.get(environ["PATH_INFO"], show_environ)(environ, start)


validated = validator(app)
