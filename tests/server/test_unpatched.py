"""What the server itself calls is never what eventlet has put in its place."""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import live
import pytest
import wsgi_server

Start = Callable[..., live.LiveServer]
SOURCE: Final = Path(wsgi_server.__file__).parent
MODULES: Final = ("os", "select", "selectors", "socket", "subprocess", "time")
#: Who may, and why.
EXEMPT: Final = {
    "_system/unpatched.py": "binds what the others take from it",
    "win32.py": "one kind of threads, queues and processes, whoever made them",
    "_net/standalone.py": "functions that a program calls get what the program has",
    "_command/client.py": "a subcommand: it asks a server and runs no application",
    "_command/top.py": "a subcommand: it asks a server and runs no application",
    "stores.py": "the prefetcher is the service's work, in the service's threads",
}


def replaced() -> dict[str, set[str]]:
    """The names that eventlet replaces or takes away, by module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {}
        for name in MODULES:
            green = importlib.import_module(f"eventlet.green.{name}")
            found[name] = {*green.__patched__, *getattr(green, "__deleted__", ())}
    return found


def uses(path: Path, names: dict[str, set[str]]) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    hints = {
        id(part)
        for node in ast.walk(tree)
        for hint in ast.iter_fields(node)
        if hint[0] in ("annotation", "returns") and isinstance(hint[1], ast.AST)
        for part in ast.walk(hint[1])
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.attr in names.get(node.value.id, ())
            and id(node) not in hints
        ):
            yield f"{node.value.id}.{node.attr} in line {node.lineno}"
        if isinstance(node, ast.ImportFrom) and node.module in names:
            for alias in node.names:
                if alias.name in names[node.module]:
                    yield f"{alias.name} of {node.module} in line {node.lineno}"


def test_no_module_names_what_eventlet_replaces() -> None:
    """`unpatched` has it; types may be named, for they call nothing."""
    names = replaced()
    found = {
        str(path.relative_to(SOURCE)): said
        for path in SOURCE.rglob("*.py")
        if str(path.relative_to(SOURCE)) not in EXEMPT
        and (said := list(uses(path, names)))
    }
    assert found == {}
    # The control: the rule sees what it is for.
    assert list(uses(SOURCE / "_net" / "standalone.py", names))


@pytest.mark.forks
@pytest.mark.parametrize("engine", ["eventlet"])
@pytest.mark.parametrize(
    ("workers", "preload"),
    [("1", False), ("0", False), ("1", True)],
    ids=["worker", "alone", "preloaded"],
)
def test_a_patched_process_steps_on_no_tripwire(
    live_server: Start, tmp_path: Path, workers: str, preload: bool
) -> None:
    """Requests of many kinds, a log that stalls, signals, timers, and the end.

    A supervisor that loads the application before it forks is patched itself. One form:
    the application does not only patch, it wires what it has patched.
    """
    notes, fifo = tmp_path / "notes", tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    conf = tmp_path / "server.conf"
    conf.write_text(
        "[DEFAULT]\nrequest_timeout = 1\nkeepalive_timeout = 0.2\n"
        f"access_log = {fifo}\ngraceful_timeout = 2\npreload_app = {preload}\n"
    )
    server = live_server(
        "apps.tripwires:app",
        *("--config-file", str(conf), "--workers", workers),
        env={"NOTES": str(notes)},
    )
    assert notes.exists()
    with contextlib.closing(server.client()) as idle:
        for path in ("/whole", "/stream", "/file", "/boom", "/silent", "/sleepy?0.05"):
            server.get(path, User_Agent="x" * 4000)
        body = b"x" * 100_000
        assert server.request("POST", "/echo", body).body == body
        for _ in range(30):
            server.get("/whole", User_Agent="x" * 4000)
        assert server.get("/sleepy?30").status == 503
        server.exchange(b"nonsense\r\n\r\n")
        os.close(reader)
        idle.request("GET", "/whole")
        idle.getresponse().read()
        server.wait_for("the idle one's end", lambda: is_over(idle.sock))
        server.send(signal.SIGUSR1)
        server.wait_for_log("cannot write .*; the old file is kept")
        server.get("/whole")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    server.send(signal.SIGHUP)
    server.wait_for_log("generation 2 serves")
    server.get("/whole")
    os.close(reader)
    assert notes.read_text() == ""
    # The control: `get_socket` is to give the program what it has.
    server.get("/control")
    assert "by wsgi_server._net.standalone" in notes.read_text()
    begun = len(notes.read_text())
    assert server.stop() == 0
    assert notes.read_text()[begun:] == ""


def is_over(sock: socket.socket) -> bool:
    return sock.recv(1, socket.MSG_PEEK) == b""


BINDS = """
import sys
if sys.argv[1] == "before":
    import eventlet
    eventlet.monkey_patch()
elif sys.argv[1] == "loaded":
    import eventlet
from wsgi_server._system import unpatched
if sys.argv[1] == "after":
    import eventlet
    eventlet.monkey_patch()
import os, select, socket
green = [
    name
    for name in unpatched.__all__
    if "eventlet" in (getattr(getattr(unpatched, name), "__module__", None) or "")
]
assert not green, green
for name in "read write open waitpid fork sleep poll select Lock".split():
    # Of C, and not of eventlet's Python.
    assert isinstance(getattr(unpatched, name), type(len)), name
reader, writer = os.pipe()
assert unpatched.write(writer, b"x") == 1
poll = unpatched.poll()
poll.register(reader, select.POLLIN)
assert poll.poll(0) == [(reader, select.POLLIN)]
assert unpatched.select([reader], [], [], 0)[0] == [reader]
with unpatched.Socket() as sock:
    assert isinstance(sock, socket.socket) is (sys.argv[1] in ("never", "loaded"))
assert unpatched.getaddrinfo("127.0.0.1", 1)
with unpatched.Lock() as taken:
    assert taken
assert unpatched.threads_are_green() is (sys.argv[1] in ("before", "after"))
"""


@pytest.mark.parametrize("patched", ["before", "after", "loaded", "never"])
def test_the_names_are_the_originals_whenever_somebody_patches(patched: str) -> None:
    words = [sys.executable, "-W", "ignore", "-c", BINDS, patched]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
