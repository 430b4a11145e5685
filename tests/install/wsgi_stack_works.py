"""Run where wsgi-stack is installed: the server runs an API from a paste file.

A program, not a test module: `nox -s install` starts it with the environment's Python.
"""

from __future__ import annotations

import importlib
import json
import re
import signal
import subprocess
import sys
import sysconfig
import threading
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory

ALL = ("wsgi_server", "wsgi_api", "wsgi_paste", "wsgi_stack")
DROP_INS = ("wsgi_stack.glance", "wsgi_stack.heat")
INI = """
[pipeline:main]
pipeline = debug api

[filter:debug]
use = egg:wsgi-paste#debug

[app:api]
paste.app_factory = wsgi_paste:app_factory
wsgi_paste.app_factory = counting:API
"""
API = """
import wsgi_api

class Controller:
    def show(self, req, number):
        return {"twice": 2 * int(number)}

class API(wsgi_api.Router):
    def __init__(self, conf):
        mapper = wsgi_api.APIMapper()
        resource = wsgi_api.Resource(
            Controller(),
            wsgi_api.JSONRequestDeserializer(),
            wsgi_api.JSONResponseSerializer(),
        )
        mapper.connect("/twice/{number}", controller=resource, action="show")
        super().__init__(mapper)
"""
LIMIT = 30  # seconds for a start, and for a stop


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
    for module in (*ALL, *DROP_INS):
        importlib.import_module(module)
    command = Path(sysconfig.get_path("scripts"), "wsgi-server")
    with TemporaryDirectory() as folder:
        Path(folder, "counting.py").write_text(API, "utf-8")
        Path(folder, "api-paste.ini").write_text(INI, "utf-8")
        server = subprocess.Popen(
            [
                *(str(command), "config:api-paste.ini#main", "--workers", "1"),
                *("--bind-host", "127.0.0.1", "--bind-port", "0", "--access-log", ""),
            ],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            client = HTTPConnection("127.0.0.1", announced_port(server), timeout=LIMIT)
            client.request("GET", "/twice/21")
            answer = client.getresponse()
            assert answer.status == 200, answer.status
            assert json.loads(answer.read()) == {"twice": 42}
            client.close()
            server.send_signal(signal.SIGTERM)
            status = server.wait(LIMIT)
        finally:
            server.kill()
            server.communicate()
    assert status == 0, f"stopped with exit status {status}"
    print("wsgi-stack: the server ran an API from a paste file and stopped")


if __name__ == "__main__":
    main()
