"""Nothing of ours relies on the GIL, nor on being in the only interpreter."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import live
import pytest

Start = Callable[..., live.LiveServer]


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"),
    reason="this Python was built with the GIL",
)
@pytest.mark.parametrize("engine", ["threads"])
def test_requests_of_every_kind_run_at_once_without_the_gil(live_server: Start) -> None:
    """One engine: eventlet's greenlets all run in one thread."""
    server = live_server(
        "apps.exercise:app", "--threads", "16", env={"PYTHON_GIL": "0"}
    )
    assert json.loads(server.get("/modules").body)["gil"] is False
    body = bytes(range(256)) * 512

    def client(number: int) -> None:
        with contextlib.closing(server.client()) as one:
            for turn in range(100):
                one.request("GET", f"/environ?{number}-{turn}")
                found = json.loads(one.getresponse().read())
                assert found["QUERY_STRING"] == f"{number}-{turn}"
                one.request("POST", "/echo", body)
                assert one.getresponse().read() == body
                one.request("GET", "/sleepy?0.002")
                assert one.getresponse().read() == b"awake"

    with ThreadPoolExecutor(16) as clients:
        assert list(clients.map(client, range(16))) == [None] * 16
    assert "Traceback" not in server.log()


def test_the_core_and_the_threads_engine_load_in_a_sub_interpreter() -> None:
    """Every interpreter has caches, hooks and pools of its own."""
    program = """
        try:
            import _interpreters
        except ModuleNotFoundError:
            raise SystemExit("no module for them")
        other = _interpreters.create()
        failed = _interpreters.run_string(other, r'''if True:
            import wsgi_server._engines.threads
            from wsgi_server._http11 import Limits, RequestHeads, RequestReader
            reader = RequestReader(RequestHeads(Limits()))
            reader.feed(b"GET /there HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
            print(reader.read_head().path, flush=True)
        ''')
        _interpreters.destroy(other)
        print(failed)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "no module for them" in done.stderr:
        pytest.skip("this Python has no module for sub-interpreters")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["/there", "None"]
