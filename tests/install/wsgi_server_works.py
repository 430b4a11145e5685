"""Run where only wsgi-server is installed: its command serves a callable over a socket.

A program, not a test module: `nox -s install` starts it with the environment's Python.
"""

from __future__ import annotations

import importlib.util
import re
import signal
import subprocess
import sys
import sysconfig
import threading
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory

SIBLINGS = ("wsgi_api", "wsgi_paste", "wsgi_stack", "webob", "routes", "paste.deploy")
HELLO = """
def app(environ, start_response):
    body = environ["wsgi.input"].read() or b"hello"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
LIMIT = 30  # seconds for a start, and for a stop


def installed(module: str) -> bool:
    """Whether a module can be found; a parent package that is missing means no."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def announced_port(server: subprocess.Popen[str]) -> int:
    """The port of the line that says where the server listens."""
    assert server.stderr is not None
    seen = []
    # Ends the wait below: a server that is killed closes its end of the pipe.
    watchdog = threading.Timer(LIMIT, server.kill)
    watchdog.start()
    try:
        for line in server.stderr:
            if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line):
                return int(found[1])
            seen.append(line)
    finally:
        watchdog.cancel()
    sys.exit(f"the server did not say where it listens:\n{''.join(seen)}")


def main() -> None:
    extra = [name for name in SIBLINGS if installed(name)]
    assert not extra, f"installed with wsgi-server, but none of its business: {extra}"
    command = Path(sysconfig.get_path("scripts"), "wsgi-server")
    with TemporaryDirectory() as folder:
        Path(folder, "hello.py").write_text(HELLO, "utf-8")
        server = subprocess.Popen(
            [
                *(str(command), "hello:app", "--workers", "2", "--access-log", ""),
                *("--bind-host", "127.0.0.1", "--bind-port", "0"),
            ],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            client = HTTPConnection("127.0.0.1", announced_port(server), timeout=LIMIT)
            for body in (b"", b"x" * 100_000):
                client.request("POST", "/", body)
                answer = client.getresponse()
                assert answer.status == 200, answer.status
                assert answer.read() == (body or b"hello")
            client.close()
            server.send_signal(signal.SIGTERM)
            status = server.wait(LIMIT)
        finally:
            server.kill()
            server.communicate()
    assert status == 0, f"stopped with exit status {status}"
    print("wsgi-server alone: served a callable with two workers and stopped")


if __name__ == "__main__":
    main()
