"""The real Heat, its two APIs on our server with the module put in place as the guide says.

`nox -s services` runs this, where Heat is installed: the paste file is the one that Heat
brings. No engine is there to answer, so what the APIs themselves say is what is asked for;
`heat_answers.py` asks further.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import live
import pages
import pytest
from heat import policies
from server.process.support import Load
from upstream.conftest import LOADING, PREFIX, Launch, Run

pytestmark = pytest.mark.timeout(600)

GUIDE = "docs/stack/from-heat.md"
CONF = """
[DEFAULT]
use_stderr = true
transport_url = fake://
rpc_response_timeout = 1
[heat_api]
bind_host = 127.0.0.1
bind_port = 0
workers = 2
[heat_api_cfn]
bind_host = 127.0.0.1
bind_port = 0
[database]
connection = sqlite:///{here}/heat.sqlite
[paste_deploy]
flavor = noauth
api_paste_config = {prefix}/etc/heat/api-paste.ini
[oslo_policy]
policy_file = {here}/policy.yaml
"""
USER = {"X-Auth-User": "u", "X-Project-Id": "p1"}

Heat = Callable[[str, str], live.LiveServer]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """Heat's configuration, where Heat looks for it by itself."""
    path = tmp_path / ".heat" / "heat.conf"
    path.parent.mkdir()
    path.write_text(CONF.format(here=tmp_path, prefix=PREFIX))
    rules = [f'"{rule.name}": "@"\n' for rule in policies.list_rules()]
    (tmp_path / "policy.yaml").write_text("".join(rules))
    return path


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source tree of Heat with the one module replaced; every command finds it first."""
    spec = importlib.util.find_spec("heat")
    assert spec is not None
    assert spec.submodule_search_locations
    (installed,) = spec.submodule_search_locations
    tree = tmp_path / "source" / "heat"
    shutil.copytree(installed, tree, ignore=shutil.ignore_patterns("tests"))
    module = pages.block(GUIDE, "sys.modules[__name__]")
    (tree / "common" / "wsgi.py").write_text(module)
    monkeypatch.setenv("PYTHONPATH", str(tree.parent))


@pytest.fixture
def heat(conf: Path, source: None, launch: Launch) -> Heat:
    """A function that starts `heat-api` or `heat-api-cfn` on an engine."""

    def start(name: str, engine: str) -> live.LiveServer:
        if engine == "eventlet":
            return launch(name)
        module = {"heat-api": "heat.wsgi.api", "heat-api-cfn": "heat.wsgi.cfn"}[name]
        return launch(
            *("wsgi-server", f"{module}:application", "--engine", engine),
            *("--bind-host", "127.0.0.1", "--bind-port", "0", "--workers", "2"),
        )

    return start


def versions(server: live.LiveServer) -> Callable[[], None]:
    """Requests for the list of versions, each on a connection of its own."""

    def turn() -> None:
        response = server.get("/")
        assert response.status == 300
        (version,) = json.loads(response.body)["versions"]
        assert version["links"][0]["href"] == f"{server.url}/v1/"

    return turn


def reload_under_load(server: live.LiveServer) -> None:
    """HUP between requests for the versions, none of which may fail."""
    load = Load()
    load.add("versions", versions(server))
    with load:
        server.wait_for("the first answers", lambda: load.done > 2)
        server.send(signal.SIGHUP)
        server.wait_for_log("generation 2 serves", LOADING)
        done = load.done
        server.wait_for("answers after the reload", lambda: load.done > done + 2)
    assert load.failures == []


@pytest.mark.parametrize("engine", live.ENGINES)
def test_heat_api_answers_and_reloads(heat: Heat, engine: str) -> None:
    server = heat("heat-api", engine)
    first = server.worker_pids()

    def error(method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        kind = {"Content-Type": "application/json"} if body else {}
        response = server.request(method, path, body, {**USER, **kind})
        fault = json.loads(response.body)
        assert response.headers["x-openstack-request-id"].startswith("req-")
        assert fault["code"] == response.status
        assert fault["error"]["traceback"] is None
        return fault["code"], fault["error"].get("message", fault["error"]["type"])

    versions(server)()
    # Heat's fault filter has seen Heat's own classes.
    limit = "Only integer is acceptable by 'limit'."
    assert error("GET", "/v1/p1/stacks?limit=x") == (400, limit)
    assert error("GET", "/v1/p1/stacks") == (500, "MessagingTimeout")
    status, message = error("POST", "/v1/p1/stacks", b"{")
    assert status == 400
    # The original says what `json` says.
    assert message.startswith("The body is not valid JSON")

    reload_under_load(server)
    server.wait_for("the old workers' end", lambda: not first & server.worker_pids())
    assert error("GET", "/v1/p1/stacks?limit=x") == (400, limit)
    assert server.stop() == 0


@pytest.mark.parametrize("engine", live.ENGINES)
def test_heat_api_cfn_answers_and_reloads(heat: Heat, conf: Path, engine: str) -> None:
    conf.write_text(conf.read_text().replace("noauth", "standalone"))
    server = heat("heat-api-cfn", engine)
    # Heat's one worker is the process itself.
    assert bool(server.worker_pids()) is (engine == "threads")

    def error(path: str) -> tuple[int, str, bytes]:
        response = server.get(path)
        return response.status, response.headers["Content-Type"], response.body

    versions(server)()
    status, kind, body = error("/v1/?Action=ListStacks")
    assert (status, kind) == (400, "application/xml; charset=UTF-8")
    assert b"<Code>IncompleteSignature</Code>" in body
    status, _, body = error("/v1/?Action=ListStacks&AWSAccessKeyId=x&Signature=y")
    assert status == 500
    assert b"<Code>InternalFailure</Code>" in body

    reload_under_load(server)
    assert error("/v1/?Action=ListStacks")[0] == 400
    assert server.stop() == 0


def test_what_ends_a_start_is_the_commands_one_line(
    tmp_path: Path, conf: Path, run: Run
) -> None:
    (tmp_path / "heat-api").write_text(pages.block(GUIDE, "heat.cmd.api "))
    conf.write_text(conf.read_text().replace("= 127.0.0.1", "= 192.0.2.1"))

    done = run("python", "heat-api")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ERROR: cannot bind 192.0.2.1:0")
