"""Every name of the reference of `glance.common.wsgi`, used as a service uses it."""

from __future__ import annotations

import inspect
import json
import os
import signal
import socket
import ssl
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import webob
import webob.exc
import wsgi_api.errors
from oslo_config import cfg
from stack.seeds import GLANCE, exercised, exercises

SIGNATURES = {
    "BaseServer": "(threads=1000, initialize_glance_store=False, "
    "initialize_prefetcher=False)",
    "PosixServer": "(threads=1000, initialize_glance_store=False, "
    "initialize_prefetcher=False)",
    "Win32Server": "(threads=1000, initialize_glance_store=False, "
    "initialize_prefetcher=False)",
    "BaseServer.start": "(self, application, default_port)",
    "BaseServer.configure": "(self, old_conf=None, has_changed=None)",
    "BaseServer.configure_socket": "(self, old_conf=None, has_changed=None)",
    "Debug.print_generator": "(app_iter, stream=None)",
    "JSONRequestDeserializer.from_json": "(self, datastring)",
    "Middleware": "(application)",
    "Middleware.factory": "(global_conf, **local_conf)",
    "RejectMethodController.reject": "(self, req, allowed_methods, *args, **kwargs)",
    "Resource": "(controller, deserializer=None, serializer=None)",
    "Resource.dispatch": "(self, obj, action, *args, **kwargs)",
    "Router.factory": "(global_conf, **local_conf)",
    "get_asynchronous_eventlet_pool": "(size=1000)",
    "get_bind_addr": "(default_port=None)",
    "get_num_workers": "()",
    "get_socket": "(default_port)",
    "initialize_glance_store": "()",
    "initialize_multi_store": "()",
    "register_cli_opts": "()",
    "set_eventlet_hub": "()",
    "ssl_wrap_socket": "(sock)",
    "translate_exception": "(req, e)",
}


def lookup(module: types.ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part)
    return found


def plain_signature(found: Callable[..., Any]) -> str:
    signature = inspect.signature(found)
    parameters = [
        each.replace(annotation=inspect.Parameter.empty)
        for each in signature.parameters.values()
    ]
    return str(inspect.Signature(parameters))


def test_signatures_are_the_originals(glance: Any) -> None:
    found = {name: plain_signature(lookup(glance, name)) for name in SIGNATURES}

    assert found == SIGNATURES


def test_every_name_is_public(glance: Any) -> None:
    assert {name.partition(".")[0] for name in GLANCE} <= set(glance.__all__)
    assert [name for name in GLANCE if lookup(glance, name) is None] == []


OPTIONS = {
    "bind_host": ("0.0.0.0", None),
    "bind_port": (None, None),
    "backlog": (4096, 1),
    "tcp_keepidle": (600, 1),
    "ca_file": (None, None),
    "cert_file": (None, None),
    "key_file": (None, None),
    "workers": (None, 0),
    "max_header_line": (16384, 0),
    "http_keepalive": (True, None),
    "client_socket_timeout": (900, 0),
    "cache_prefetcher_interval": (300, None),
}


def test_the_options_are_the_originals_and_no_others(glance: Any) -> None:
    found = {
        name: (info["opt"].default, getattr(info["opt"].type, "min", None))
        for name, info in cfg.CONF._opts.items()
        if name
        not in {"config_file", "config_dir", "config_source", "shell_completion"}
    }
    found["bind_port"] = (found["bind_port"][0], None)

    assert found == OPTIONS


@exercises("glance", "register_cli_opts")
def test_register_cli_opts_adds_the_pipe_handle(
    glance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glance, "CONF", cfg.ConfigOpts())

    glance.register_cli_opts()
    glance.CONF(["--pipe-handle", "7"], default_config_files=[], default_config_dirs=[])

    assert glance.CONF.pipe_handle == "7"


def test_the_profiler_group_comes_with_the_module(glance: Any) -> None:
    pytest.importorskip("osprofiler")

    assert cfg.CONF.profiler.enabled is False


@exercises("glance", "get_bind_addr")
def test_get_bind_addr_reads_conf(glance: Any) -> None:
    assert glance.get_bind_addr() == ("0.0.0.0", None)
    assert glance.get_bind_addr(default_port=9292) == ("0.0.0.0", 9292)
    cfg.CONF.set_override("bind_port", 81)
    assert glance.get_bind_addr(9292) == ("0.0.0.0", 81)


@exercises("glance", "get_num_workers")
def test_get_num_workers_reads_conf(glance: Any) -> None:
    assert 1 <= glance.get_num_workers() <= 8
    for workers in (0, 24):
        cfg.CONF.set_override("workers", workers)
        assert glance.get_num_workers() == workers


@exercises("glance", "get_socket")
def test_get_socket_listens(glance: Any) -> None:
    cfg.CONF.set_override("bind_host", "127.0.0.1")

    with glance.get_socket(0) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        assert sock.getsockname()[1] != 0


def test_get_socket_raises_what_services_handle(glance: Any) -> None:
    cfg.CONF.set_override("bind_host", "192.0.2.1")  # RFC 5737: nobody's

    with pytest.raises(RuntimeError, match=r"192\.0\.2\.1") as caught:
        glance.get_socket(9292)

    assert type(caught.value) is RuntimeError


def test_a_value_that_does_not_fit_keeps_its_type(glance: Any, tmp_path: Path) -> None:
    path = tmp_path / "glance.conf"
    path.write_text("[DEFAULT]\nworkers = many\nbind_port = high\n")
    cfg.CONF(["--config-file", str(path)])

    for call in (
        glance.get_num_workers,
        glance.get_bind_addr,
        glance.Server().configure,
    ):
        with pytest.raises(cfg.ConfigFileValueError) as caught:
            call()
        # The command looks the exact type up in its table of exit statuses.
        assert type(caught.value) is cfg.ConfigFileValueError


@exercises("glance", "ssl_wrap_socket")
def test_ssl_wrap_socket_is_the_servers_side_of_tls(
    glance: Any, certificate: Any
) -> None:
    cfg.CONF.set_override("cert_file", certificate["cert_file"])
    cfg.CONF.set_override("key_file", certificate["key_file"])
    with socket.create_server(("127.0.0.1", 0)) as plain:
        address = plain.getsockname()
        heard = []

        def serve() -> None:
            with glance.ssl_wrap_socket(plain) as listener:
                connection, _ = listener.accept()
                with connection:
                    heard.append(connection.recv(100))
                    connection.sendall(b"hello")

        server = threading.Thread(target=serve)
        server.start()
        context = ssl.create_default_context(cafile=certificate["cert_file"])
        with (
            socket.create_connection(address, timeout=20) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as client,
        ):
            client.sendall(b"good day")
            assert client.recv(100) == b"hello"
        server.join()

    assert heard == [b"good day"]


def test_ssl_wrap_socket_needs_a_certificate(glance: Any) -> None:
    with socket.socket() as sock, pytest.raises(RuntimeError, match="cert_file"):
        glance.ssl_wrap_socket(sock)


@exercises("glance", "set_eventlet_hub", "get_asynchronous_eventlet_pool")
def test_pools_run_on_the_hub_that_was_chosen(run_program: Any) -> None:
    assert run_program(
        """
        import json
        from wsgi_stack import glance as wsgi

        wsgi.set_eventlet_hub()
        pool = wsgi.get_asynchronous_eventlet_pool(size=3)
        seen = []
        pool.spawn_n(seen.append, "ran")
        pool.waitall()
        print(json.dumps([type(pool).__name__, pool.size, seen]))
        """
    ) == ["GreenPool", 3, ["ran"]]


@exercises(
    "glance",
    "APIMapper",
    "APIMapper.routematch",
    "Request",
    "Resource",
    "Resource.dispatch",
    "Resource.get_action_args",
    "Router",
    "RejectMethodController",
    "RejectMethodController.reject",
    "JSONRequestDeserializer",
    "JSONRequestDeserializer.default",
    "JSONResponseSerializer",
    "JSONResponseSerializer.default",
)
def test_a_routed_request_reaches_its_controller_and_comes_back(glance: Any) -> None:
    class Controller:
        def update(
            self, req: webob.Request, image_id: str, body: dict[str, Any]
        ) -> Any:
            assert isinstance(req, glance.Request)
            return {"id": image_id, "name": body["name"]}

    mapper = glance.APIMapper()
    reject = glance.Resource(glance.RejectMethodController())
    mapper.connect(
        "/images/{image_id}",
        controller=glance.Resource(Controller(), None, None),
        action="update",
        conditions={"method": ["PUT"]},
    )
    mapper.connect(
        "/images/{image_id}", controller=reject, action="reject", allowed_methods="PUT"
    )
    api = glance.Router(mapper)

    done = webob.Request.blank("/images/7", method="PUT", json={"name": "x"})
    refused = webob.Request.blank("/images/7", method="DELETE")
    lost = webob.Request.blank("/nothing")

    assert done.get_response(api).json == {"id": "7", "name": "x"}
    assert refused.get_response(api).status_code == 405
    assert refused.get_response(api).headers["Allow"] == "PUT"
    assert lost.get_response(api).status_code == 404
    matched, route = mapper.routematch("")
    assert (matched, route.redirect) == ({}, True)


@exercises("glance", "Router")
def test_a_parameter_may_stand_for_the_method_while_a_route_is_sought(
    glance: Any,
) -> None:
    """As in the originals; `wsgi_api.Router` does so only when it is told to."""
    mapper = wsgi_api.APIMapper()
    mapper.connect(
        "/things",
        controller=webob.Response("deleted"),
        conditions={"method": ["DELETE"]},
    )
    query = webob.Request.blank("/things?_method=delete")
    form = webob.Request.blank("/things", POST={"_method": "DELETE"})
    plain = webob.Request.blank("/things", method="POST")
    api, core = glance.Router(mapper), wsgi_api.Router(mapper)

    assert query.get_response(api).text == "deleted"
    assert form.get_response(api).text == "deleted"
    assert plain.get_response(api).status_code == 404
    assert query.get_response(core).status_code == 404
    assert form.get_response(core).status_code == 404


@exercises("glance", "Router.factory")
def test_the_factory_of_a_router_makes_one(glance: Any) -> None:
    assert webob.Request.blank("/").get_response(
        glance.Router.factory({}, any="thing")
    ).status_code in (301, 302, 404)


@exercises(
    "glance",
    "Request.best_match_content_type",
    "Request.best_match_language",
    "Request.body_file",
    "Request.get_content_type",
    "Request.get_range_from_request",
    "Request.params",
)
def test_request(glance: Any) -> None:
    request = glance.Request.blank(
        "/?name=%C3%BC",
        headers={
            "Accept": "text/html",
            "Content-Type": "application/json; charset=utf-8",
            "Range": "bytes=1-2",
        },
        POST=b"{}",
    )

    assert request.best_match_content_type() == "application/json"
    assert request.best_match_language() is None
    assert request.get_content_type(("application/json",)) == "application/json"
    assert request.params["name"] == "ü"
    assert request.body_file.read() == b"{}"
    found = request.get_range_from_request(10)
    assert (found.start, found.end) == (1, 3)
    with pytest.raises(webob.exc.HTTPRequestRangeNotSatisfiable):
        request.get_range_from_request(1)


def test_a_wrong_content_type_is_refused(glance: Any) -> None:
    with pytest.raises(wsgi_api.errors.InvalidContentType):
        glance.Request.blank("/").get_content_type(("application/json",))


@exercises(
    "glance",
    "JSONRequestDeserializer.from_json",
    "JSONRequestDeserializer.has_body",
    "JSONRequestDeserializer.httpverb_may_have_body",
    "JSONRequestDeserializer.is_valid_encoding",
    "JSONRequestDeserializer.is_valid_method",
    "JSONRequestDeserializer.valid_transfer_encoding",
    "JSONResponseSerializer.to_json",
)
def test_bodies(glance: Any) -> None:
    reader = glance.JSONRequestDeserializer()
    request = webob.Request.blank("/", method="PATCH", body=b"[1]")
    request.headers["Transfer-Encoding"] = "Chunked"

    assert reader.is_valid_encoding(request)
    assert reader.is_valid_method(request)
    assert reader.has_body(request)
    assert reader.default(request) == {"body": [1]}
    assert reader.valid_transfer_encoding >= {"chunked", "identity"}
    assert reader.httpverb_may_have_body == {"PATCH", "POST", "PUT"}
    assert not reader.has_body(webob.Request.blank("/"))
    with pytest.raises(webob.exc.HTTPBadRequest):
        reader.from_json("{")
    assert glance.JSONResponseSerializer().to_json({"a": {1}}) == b'{"a": [1]}'


def test_a_body_of_any_size_is_read(glance: Any) -> None:
    items = ["x" * 1000] * 2000

    read = glance.JSONRequestDeserializer().from_json(json.dumps(items))

    assert read == items


@exercises("glance", "translate_exception")
def test_translate_exception_takes_the_request_first(glance: Any) -> None:
    error = webob.exc.HTTPNotFound(explanation="nothing")

    assert glance.translate_exception(glance.Request.blank("/"), error) is error
    assert glance.translate_exception(webob.Request.blank("/"), error) is error


@exercises(
    "glance",
    "Middleware",
    "Middleware.factory",
    "Middleware.process_request",
    "Middleware.process_response",
    "Debug",
    "Debug.print_generator",
)
def test_filters(glance: Any, capsys: pytest.CaptureFixture[str]) -> None:
    class Stamps(glance.Middleware):  # type: ignore[misc]  # imported anew by the fixture
        def process_response(self, response: webob.Response) -> Any:
            assert response.request is not None
            response.headers["X-Path"] = response.request.path
            return response

    app = glance.Debug(Stamps.factory({})(webob.Response(b"body")))
    response = webob.Request.blank("/there").get_response(app)

    assert (response.body, response.headers["X-Path"]) == (b"body", "/there")
    assert "X-Path = /there" in capsys.readouterr().out
    assert list(glance.Debug.print_generator([b"part"])) == [b"part"]
    assert glance.Middleware(app).process_request(None) is None
    assert glance.Middleware(app).process_response(response) is response


@exercises("glance", "initialize_glance_store", "initialize_multi_store")
@pytest.mark.parametrize("multi", [False, True])
def test_stores_are_made_by_the_real_library(
    run_program: Any, tmp_path: Path, multi: Any
) -> None:
    pytest.importorskip("glance_store")
    enabled = "enabled_backends = fast:file" if multi else ""
    section = "fast" if multi else "glance_store"
    default = "default_backend = fast" if multi else "default_store = file"
    config = tmp_path / "glance.conf"
    config.write_text(
        f"""
[DEFAULT]
{enabled}
[glance_store]
{default}
[{section}]
filesystem_store_datadir = {tmp_path}/images
[os_glance_staging_store]
filesystem_store_datadir = {tmp_path}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {tmp_path}/tasks
"""
    )

    assert run_program(
        """
        import io, json, sys
        import glance_store
        from oslo_config import cfg
        from wsgi_stack import glance as wsgi

        cfg.CONF.register_opt(cfg.DictOpt("enabled_backends"))
        cfg.CONF(["--config-file", sys.argv[1]])
        if cfg.CONF.enabled_backends:
            wsgi.initialize_multi_store()
            print(json.dumps(sorted(cfg.CONF.enabled_backends)))
        else:
            wsgi.initialize_glance_store()
            stored = glance_store.add_to_backend(
                cfg.CONF, "1", io.BytesIO(b"data"), 4, "file")
            print(json.dumps([stored[1]]))
        """,
        str(config),
    ) == (
        ["fast", "os_glance_staging_store", "os_glance_tasks_store"] if multi else [4]
    )


SERVICE = """
import json, logging, os, sys
from oslo_config import cfg
from wsgi_stack import glance as wsgi

logging.basicConfig(level=logging.INFO)
cfg.CONF.register_opt(cfg.StrOpt("greeting", default="hello"))


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([os.getpid(), cfg.CONF.greeting]).encode()]


cfg.CONF(["--config-file", sys.argv[1]])
"""
RUN = """
server = wsgi.Server(threads=10)
server.start(app, default_port=9292)
server.wait()
print("waited")
"""


@pytest.fixture
def config(tmp_path: Path) -> Any:
    path = tmp_path / "service.conf"

    def write(**options: object) -> str:
        options = {"bind_host": "127.0.0.1", "bind_port": 0, "workers": 2, **options}
        lines = [f"{name} = {value}\n" for name, value in options.items()]
        path.write_text("[DEFAULT]\n" + "".join(lines))
        return str(path)

    return write


@exercises(
    "glance",
    "Server",
    "PosixServer",
    "BaseServer",
    "BaseServer.start",
    "BaseServer.start_wsgi",
    "BaseServer.wait",
    "BaseServer.configure",
    "PosixServer.wait_on_children",
)
def test_a_service_starts_reloads_and_stops(serving: Any, config: Any) -> None:
    server = serving(SERVICE + RUN, config())
    before = server.wait_for("two workers", lambda: _both(server.worker_pids()))

    pid, greeting = json.loads(server.get("/").body)
    assert pid in before
    assert greeting == "hello"

    config(greeting="reloaded")
    server.send(signal.SIGHUP)
    server.wait_for("two others", lambda: _both(server.worker_pids() - before))
    server.wait_for("the old ones' end", lambda: not before & server.worker_pids())
    assert json.loads(server.get("/").body)[1] == "reloaded"

    assert server.stop() == 0
    assert server.output().endswith("waited\n")


def _both(pids: set[int]) -> set[int] | None:
    return pids if len(pids) == 2 else None


def test_without_workers_one_process_serves(serving: Any, config: Any) -> None:
    server = serving(SERVICE + RUN, config(workers=0))

    assert json.loads(server.get("/").body)[0] == server.pid
    assert server.stop() == 0


STEPS = """
steps = {}
server = wsgi.Server(threads=7, initialize_prefetcher=True)
server.prefetcher = lambda: steps.setdefault("prefetched", True)
server.cache_images()
steps["umask"] = os.umask(0o027)

server.application, server.default_port = app, None
server.configure()
first = server.sock.getsockname()
server.configure_socket()
steps["listens"] = first[0]
steps["pool"] = [type(server.create_pool()).__name__, server.create_pool().size]
server.start_wsgi()
one = set(server.children)
steps["workers"] = len(one)
server.run_child()
steps["one more"] = len(server.children)
server.reload()
steps["reloaded"] = not set(server.children) & one
server.hup()
seen = []
server.set_signal_handler("SIGWINCH", lambda *a: seen.append("handled"))
server.set_signal_handler("SIGNONE", lambda *a: seen.append("impossible"))
os.kill(os.getpid(), __import__("signal").SIGWINCH)
steps["signal"] = seen
server.kill_children()
steps["running"] = server.running
server.wait_on_children()
steps["left"] = len(server.children)
print(json.dumps(steps))
"""


@exercises(
    "glance",
    "BaseServer.cache_images",
    "BaseServer.configure_socket",
    "BaseServer.create_pool",
    "BaseServer.hup",
    "BaseServer.kill_children",
    "BaseServer.reload",
    "BaseServer.run_child",
    "BaseServer.set_signal_handler",
    "BaseServer.wait_on_children",
    "PosixServer.kill_children",
    "PosixServer.reload",
    "PosixServer.run_child",
)
def test_each_step_of_a_server_can_be_taken_by_itself(
    run_program: Any, config: Any
) -> None:
    assert run_program(SERVICE + STEPS, config()) == {
        "prefetched": True,
        "umask": 0o027,
        "listens": "127.0.0.1",
        "pool": ["GreenPool", 7],
        "workers": 2,
        "one more": 3,
        "reloaded": True,
        "signal": ["handled"],
        "running": False,
        "left": 0,
    }


@exercises("glance", "BaseServer.run_server")
def test_a_subclass_may_surround_run_server(serving: Any, config: Any) -> None:
    surrounded = """
class Server(wsgi.Server):
    def run_server(self):
        print("before", flush=True)
        super().run_server()
        print("after", flush=True)


server = Server(threads=10)
server.start(app, default_port=9292)
server.wait()
"""
    server = serving(SERVICE + surrounded, config(workers=1))
    assert server.get("/").status == 200
    server.stop()

    assert server.output().count("before") == 1
    assert server.output().count("after") == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_native_threads_import_nothing_green(
    serving: Any, config: Any, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drop-in overrides `run_server`, and may not need a greenlet for that."""
    for name in [name for name in os.environ if "COVERAGE" in name]:
        monkeypatch.delenv(name)  # it imports greenlet before the program begins
    program = SERVICE.replace(
        "[os.getpid(), cfg.CONF.greeting]",
        "sorted({'eventlet', 'greenlet'} & sys.modules.keys())",
    )
    file = config(workers=workers)
    server = serving(program + RUN, file)
    assert "eventlet" in json.loads(server.get("/").text)
    server.stop()

    with open(file, "a") as more:
        more.write("[wsgi_server]\nengine = threads\n")
    server = serving(program + RUN, file)
    assert json.loads(server.get("/").text) == []
    server.stop()
    assert "waited" in server.output()


def test_a_start_that_fails_is_a_runtime_error(run_program: Any, config: Any) -> None:
    refused = """
try:
    wsgi.Server().start(app, 9292)
except Exception as exc:
    print(json.dumps([type(exc).__name__, str(exc)]))
"""
    kind, message = run_program(SERVICE + refused, config(bind_host="192.0.2.1"))

    assert kind == "RuntimeError"
    assert message.startswith("cannot bind 192.0.2.1:0: ")


@exercises(
    "glance",
    "Win32Server",
    "Win32Server.configure_socket",
    "Win32Server.kill_children",
    "Win32Server.run_child",
    "Win32Server.wait_on_children",
)
def test_the_server_of_platforms_without_fork(serving: Any, config: Any) -> None:
    server = serving(SERVICE + RUN.replace("wsgi.Server", "wsgi.Win32Server"), config())
    workers = server.wait_for("two workers", lambda: _both(server.worker_pids()))

    assert json.loads(server.get("/").body)[0] in workers
    server.wait_for_log(
        r'eventlet\.wsgi\.server:127\.0\.0\.1 - - \[.*\] "GET / HTTP/1\.1" 200'
    )
    assert server.stop() == 0


@exercises(
    "glance",
    "Win32ProcessLauncher",
    "Win32ProcessLauncher.add_process",
    "Win32ProcessLauncher.wait",
)
def test_the_process_launcher_waits_for_its_processes(
    glance: Any, tmp_path: Path
) -> None:
    launcher = glance.Win32ProcessLauncher()
    mark = tmp_path / "mark"
    program = f"open({str(mark)!r}, 'w').close()"

    launcher.add_process([sys.executable, "-c", program])
    launcher.wait()

    assert mark.exists()


def test_every_name_of_the_reference_is_exercised() -> None:
    assert exercised["glance"] == set(GLANCE)
