"""Every name of the reference of `heat.common.wsgi`, used as a service uses it."""

from __future__ import annotations

import datetime
import inspect
import io
import json
import logging
import os
import pathlib
import signal
import socket
import textwrap
import types
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import webob
import webob.exc
import wsgi_api.errors
import wsgi_paste
from oslo_config import cfg
from stack.seeds import HEAT, exercised, exercises

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

SIGNATURES = {
    "AppFactory": "(conf)",
    "BasePasteFactory": "(conf)",
    "FilterFactory": "(conf)",
    "DefaultMethodController.options": "(self, req, allowed_methods, *args, **kwargs)",
    "DefaultMethodController.reject": "(self, req, allowed_methods, *args, **kwargs)",
    "Middleware": "(application)",
    "Resource": "(controller, deserializer, serializer=None)",
    "Resource.dispatch": "(self, obj, action, *args, **kwargs)",
    "Server": "(name, conf, threads=1000)",
    "Server.start": "(self, application, default_port)",
    "Server.configure_socket": "(self, old_conf=None, has_changed=None)",
    "debug_filter": "(app, conf, **local_conf)",
    "get_bind_addr": "(conf, default_port=None)",
    "get_socket": "(conf, default_port)",
    "log_exception": "(err, exc_info)",
    "paste_deploy_app": "(paste_config_file, app_name, conf)",
    "setup_paste_factories": "(conf)",
    "teardown_paste_factories": "()",
    "translate_exception": "(exc, locale)",
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


def test_signatures_are_the_originals(heat: Any) -> None:
    found = {name: plain_signature(lookup(heat, name)) for name in SIGNATURES}

    assert found == SIGNATURES


def test_every_name_is_public(heat: Any) -> None:
    assert {name.partition(".")[0] for name in HEAT} <= set(heat.__all__)
    assert [name for name in HEAT if lookup(heat, name) is None] == [
        "BasePasteFactory.KEY"
    ]


API_OPTIONS = {
    "bind_host": "0.0.0.0",
    "bind_port": 8004,
    "backlog": 4096,
    "cert_file": None,
    "key_file": None,
    "workers": 0,
    "max_header_line": 16384,
    "tcp_keepidle": 600,
}
GROUPS: dict[str, dict[str, Any]] = {
    "heat_api": API_OPTIONS,
    "heat_api_cfn": {**API_OPTIONS, "bind_port": 8000, "workers": 1},
    "eventlet_opts": {"wsgi_keep_alive": True, "client_socket_timeout": 900},
}


def test_the_options_are_the_originals_and_no_others(heat: Any) -> None:
    found = {
        name: {key: info["opt"].default for key, info in group._opts.items()}
        for name, group in cfg.CONF._groups.items()
    }

    assert found == GROUPS
    assert cfg.CONF.max_json_body_size == 1048576
    assert "bind_host" not in cfg.CONF


def test_list_opts_names_every_group(heat: Any) -> None:
    expected: dict[str | None, list[str]] = {None: ["max_json_body_size"]}
    expected |= {name: list(options) for name, options in GROUPS.items()}
    found = {group: [opt.dest for opt in opts] for group, opts in heat.list_opts()}
    assert found == expected


def test_list_opts_is_an_entry_point_for_the_config_generator() -> None:
    (found,) = entry_points(group="oslo.config.opts", name="wsgi_stack.heat")

    assert found.value == "wsgi_stack.heat:list_opts"


def test_the_first_six_options_are_found_at_their_old_place(
    heat: Any, tmp_path: Path
) -> None:
    path = tmp_path / "heat.conf"
    path.write_text(
        "[DEFAULT]\nbind_host = 127.0.0.9\nbind_port = 81\nbacklog = 5\n"
        "cert_file = c\nkey_file = k\nworkers = 3\n"
    )
    cfg.CONF(["--config-file", str(path)])

    api = cfg.CONF.heat_api
    assert (api.bind_host, api.bind_port, api.backlog) == ("127.0.0.9", 81, 5)
    assert (api.cert_file, api.key_file, api.workers) == ("c", "k", 3)


def test_what_modules_of_heat_take_for_imported_is_imported(run_program: Any) -> None:
    assert run_program(
        """
        import json
        import webob
        import wsgi_stack.heat

        print(json.dumps([hasattr(webob, "dec"), hasattr(webob, "exc")]))
        """
    ) == [True, True]


@exercises("heat", "get_bind_addr")
def test_get_bind_addr_reads_the_group(heat: Any) -> None:
    assert heat.get_bind_addr(cfg.CONF.heat_api) == ("0.0.0.0", 8004)
    assert heat.get_bind_addr(cfg.CONF.heat_api_cfn, 1) == ("0.0.0.0", 8000)


@exercises("heat", "get_socket")
def test_get_socket_listens(heat: Any) -> None:
    cfg.CONF.set_override("bind_host", "127.0.0.1", group="heat_api")
    cfg.CONF.set_override("bind_port", 0, group="heat_api")

    with heat.get_socket(cfg.CONF.heat_api, None) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


def test_get_socket_raises_what_services_handle(heat: Any) -> None:
    cfg.CONF.set_override("key_file", "/nowhere/key", group="heat_api")

    with pytest.raises(RuntimeError, match="cert_file"):
        heat.get_socket(cfg.CONF.heat_api, 8004)


@exercises(
    "heat",
    "Request",
    "Resource",
    "Resource.dispatch",
    "Resource.get_action_args",
    "Router",
    "DefaultMethodController",
    "DefaultMethodController.options",
    "DefaultMethodController.reject",
    "JSONRequestDeserializer",
    "JSONRequestDeserializer.default",
)
def test_a_routed_request_reaches_its_controller_and_comes_back(heat: Any) -> None:
    class Controller:
        def update(
            self, req: webob.Request, stack_id: str, body: dict[str, Any]
        ) -> Any:
            assert isinstance(req, heat.Request)
            return {"id": stack_id, "name": body["name"]}

    mapper = wsgi_api.APIMapper()
    reader = heat.JSONRequestDeserializer()
    resource = heat.Resource(Controller(), reader, wsgi_api.JSONResponseSerializer())
    default = heat.Resource(heat.DefaultMethodController(), reader)
    for method, controller, action in (
        ("PUT", resource, "update"),
        ("OPTIONS", default, "options"),
        (None, default, "reject"),
    ):
        conditions = {"method": [method]} if method else {}
        mapper.connect(
            "/stacks/{stack_id}",
            controller=controller,
            action=action,
            conditions=conditions,
            **({} if action == "update" else {"allowed_methods": "PUT"}),
        )
    api = heat.Router(mapper)

    done = webob.Request.blank("/stacks/7", method="PUT", json={"name": "x"})
    options = webob.Request.blank("/stacks/7", method="OPTIONS")
    refused = webob.Request.blank("/stacks/7", method="DELETE")
    lost = webob.Request.blank("/nothing", method="BREW")

    assert done.get_response(api).json == {"id": "7", "name": "x"}
    assert options.get_response(api).status_code == 204
    assert options.get_response(api).headers["Allow"] == "PUT"
    assert refused.get_response(api).status_code == 405
    assert lost.get_response(api).status_code == 404


@exercises("heat", "Router")
def test_a_parameter_may_stand_for_the_method_while_a_route_is_sought(
    heat: Any,
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
    api, core = heat.Router(mapper), wsgi_api.Router(mapper)

    assert query.get_response(api).text == "deleted"
    assert form.get_response(api).text == "deleted"
    assert plain.get_response(api).status_code == 404
    assert query.get_response(core).status_code == 404
    assert form.get_response(core).status_code == 404


def test_head_goes_where_a_route_names_it_and_nowhere_else(heat: Any) -> None:
    """As in the originals; `wsgi_api.Router` gives HEAD wherever GET is."""
    mapper = wsgi_api.APIMapper()
    things = webob.Response("things")
    mapper.connect("/get", controller=things, conditions={"method": ["GET"]})
    mapper.connect("/head", controller=things, conditions={"method": ["HEAD"]})
    api, core = heat.Router(mapper), wsgi_api.Router(mapper)
    get, head = (webob.Request.blank(path, method="HEAD") for path in ("/get", "/head"))

    assert get.get_response(api).status_code == 404
    assert head.get_response(api).status_code == 200
    assert get.get_response(core).status_code == 200


@exercises(
    "heat",
    "Request.best_match_content_type",
    "Request.best_match_language",
    "Request.get_content_type",
)
def test_request(heat: Any) -> None:
    request = heat.Request.blank("/", headers={"Content-Type": "application/json"})

    assert request.best_match_content_type() == "application/json"
    assert request.best_match_language() is None
    assert request.get_content_type(("application/json",)) == "application/json"
    with pytest.raises(wsgi_api.errors.InvalidContentType):
        request.get_content_type(("text/plain",))


@exercises(
    "heat",
    "JSONRequestDeserializer.from_json",
    "JSONRequestDeserializer.has_body",
    "is_json_content_type",
)
def test_bodies(heat: Any) -> None:
    reader = heat.JSONRequestDeserializer()
    plain = webob.Request.blank("/", method="POST", body=b'{"a": 1}')
    xml = webob.Request.blank(
        "/", method="POST", body=b'{"a": 1}', content_type="application/xml"
    )

    assert heat.is_json_content_type(plain)
    assert reader.has_body(plain)
    assert reader.from_json('{"a": 1}') == {"a": 1}
    assert not heat.is_json_content_type(xml)
    assert not reader.has_body(xml)
    with pytest.raises(webob.exc.HTTPBadRequest) as caught:
        reader.from_json("{")
    # The fault filter shows the name of the class to the client.
    assert type(caught.value) is webob.exc.HTTPBadRequest


def test_the_size_of_a_body_is_bounded_by_the_option_of_the_moment(heat: Any) -> None:
    reader = heat.JSONRequestDeserializer()
    text = json.dumps(["x"] * 10)
    cfg.CONF.set_override("max_json_body_size", len(text))
    assert reader.from_json(text) == ["x"] * 10

    cfg.CONF.set_override("max_json_body_size", len(text) - 1)
    with pytest.raises(wsgi_api.errors.BodyTooLarge):
        reader.from_json(text)
    request = webob.Request.blank(
        "/", method="POST", body=b'{"a": "' + b"x" * 99 + b'"}'
    )
    with pytest.raises(wsgi_api.errors.BodyTooLarge):
        reader.default(request)


@pytest.mark.parametrize(
    ("query", "kind", "body"),
    [
        ("", "application/xml", b"<Answer><Name>x</Name></Answer>"),
        ("?ContentType=JSON", "application/json", b'{"Answer": {"Name": "x"}}'),
    ],
)
def test_the_cfn_api_answers_in_the_form_that_is_asked_for(
    heat: Any, query: str, kind: str, body: bytes
) -> None:
    class Controller:
        def show(self, req: webob.Request) -> Any:
            return {"Answer": {"Name": "x"}}

    resource = heat.Resource(Controller(), heat.JSONRequestDeserializer())
    request = webob.Request.blank(f"/{query}")
    request.environ["wsgiorg.routing_args"] = ((), {"action": "show"})
    response = request.get_response(resource)

    assert (response.content_type, response.body) == (kind, body)


@pytest.mark.parametrize(
    ("result", "query", "kind", "body"),
    [
        # What a signal comes to, by heat.api.cfn.v1.signal.
        (None, "", "text/html", b""),
        (None, "?ContentType=JSON", "application/json", b"null"),
        # A wait condition: the first key is the root, the rest is nobody's.
        (
            {"resource": "wait", "metadata": {"1": "done"}},
            "",
            "application/xml",
            b"<resource>wait</resource>",
        ),
        (
            {"resource": "wait", "metadata": {"1": "done"}},
            "?ContentType=JSON",
            "application/json",
            b'{"resource": "wait", "metadata": {"1": "done"}}',
        ),
        ("gr\u00fcn", "", "text/html", "gr\u00fcn".encode()),
        (b"\xff", "", "text/html", b"\xff"),
        (
            {
                "At": datetime.datetime(2024, 1, 31, 12, tzinfo=datetime.timezone.utc),
                "Set": frozenset("a"),
                "No": None,
            },
            "?ContentType=JSON",
            "application/json",
            b'{"At": "2024-01-31T12:00:00+00:00", "Set": "frozenset({\'a\'})", "No": null}',
        ),
        (
            {"Thing": pathlib.PurePosixPath("/x"), "Nan": float("nan")},
            "?ContentType=JSON",
            "application/json",
            b'{"Thing": "/x", "Nan": NaN}',
        ),
    ],
)
def test_what_the_cfn_api_answers_with_is_what_the_original_writes(
    heat: Any, result: Any, query: str, kind: str, body: bytes
) -> None:
    class Controller:
        def signal(self, req: webob.Request, body: object = None) -> Any:
            return result

    resource = heat.Resource(Controller(), heat.JSONRequestDeserializer())
    request = webob.Request.blank(f"/{query}", method="POST", body=b'{"Status": "S"}')
    request.content_type = "application/json"
    request.environ["wsgiorg.routing_args"] = ((), {"action": "signal"})
    response = request.get_response(resource)

    assert response.status_code == 200
    assert (response.content_type, response.body) == (kind, body)


@pytest.mark.parametrize(
    ("query", "body"), [("", b"<E/>"), ("?ContentType=JSON", None)]
)
def test_an_error_of_the_cfn_api_comes_in_json_where_that_is_asked_for(
    heat: Any, query: Any, body: Iterable[bytes]
) -> None:
    class CfnError(webob.exc.HTTPBadRequest):
        def get_unserialized_body(self) -> Any:
            return {"Error": "bad"}

    class Controller:
        def show(self, req: webob.Request) -> Any:
            return CfnError(body=b"<E/>")

    resource = heat.Resource(Controller(), heat.JSONRequestDeserializer())
    request = webob.Request.blank(f"/{query}")
    request.environ["wsgiorg.routing_args"] = ((), {"action": "show"})
    response = request.get_response(resource)

    assert response.status_code == 400
    assert response.body == (body or b'{"Error": "bad"}')


def test_an_error_that_nobody_expected_is_logged_and_raised(
    heat: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Controller:
        def show(self, req: webob.Request) -> None:
            raise ZeroDivisionError("by zero")

    resource = heat.Resource(Controller(), heat.JSONRequestDeserializer())
    request = heat.Request.blank("/")
    request.environ["wsgiorg.routing_args"] = ((), {"action": "show"})

    with pytest.raises(ZeroDivisionError):
        resource(request)
    assert "by zero" in caplog.text


@exercises("heat", "translate_exception")
def test_translate_exception_takes_the_exception_first(heat: Any) -> None:
    error = webob.exc.HTTPNotFound(explanation="nothing")

    assert heat.translate_exception(error, "de") is error
    assert heat.translate_exception(KeyError("x"), None).message == "'x'"


@exercises("heat", "log_exception")
@pytest.mark.parametrize("debug", [None, False, True])
def test_log_exception_shows_the_traceback_where_debug_is_set(
    heat: Any, caplog: pytest.LogCaptureFixture, debug: Any
) -> None:
    if debug is not None:
        cfg.CONF.register_opt(cfg.BoolOpt("debug", default=debug))
    try:
        vars(types)["lost"]
    except KeyError as exc:
        heat.log_exception(exc, (KeyError, exc, exc.__traceback__))

    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "lost" in record.getMessage()
    assert bool(record.exc_info) is bool(debug)


INI = """
[pipeline:main]
pipeline = debug stamp app

[filter:debug]
paste.filter_factory = {module}:filter_factory
heat.filter_factory = {module}:debug_filter

[filter:stamp]
paste.filter_factory = {module}:filter_factory
heat.filter_factory =
    {here}:Stamp

[app:app]
paste.app_factory = {module}:app_factory
heat.app_factory = {here}:App
colour = blue
"""


def write_ini(tmp_path: Path, module: str) -> str:
    path = tmp_path / "api-paste.ini"
    path.write_text(textwrap.dedent(INI.format(module=module, here=__name__)))
    return str(path)


class App:
    def __init__(self, conf: cfg.ConfigOpts, **local_conf: Any) -> None:
        self.conf = conf
        self.local_conf = local_conf

    def __call__(
        self, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        colour = self.local_conf["colour"]
        return webob.Response(f"{colour} {self.conf.name}")(environ, start_response)


class Stamp(wsgi_paste.Middleware):
    def __init__(
        self, app: WSGIApplication, conf: cfg.ConfigOpts, **local_conf: Any
    ) -> None:
        super().__init__(app)
        self.conf = conf

    def process_response(self, response: webob.Response) -> Any:
        response.headers["X-Conf"] = self.conf.name
        return response


@pytest.fixture
def conf() -> Any:
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt("name", default="sky"))
    conf([], default_config_files=[], default_config_dirs=[])
    return conf


@exercises(
    "heat",
    "paste_deploy_app",
    "AppFactory",
    "AppFactory.KEY",
    "FilterFactory",
    "FilterFactory.KEY",
    "BasePasteFactory",
    "BasePasteFactory.KEY",
    "debug_filter",
)
def test_an_ini_file_with_heats_names_loads(
    heat: Any, conf: cfg.ConfigOpts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_ini(tmp_path, "wsgi_stack.heat")

    app = heat.paste_deploy_app(path, "main", conf)
    response = webob.Request.blank("/").get_response(app)

    assert (response.text, response.headers["X-Conf"]) == ("blue sky", "sky")
    assert "X-Conf = sky" in capsys.readouterr().out
    assert heat.AppFactory.KEY == "heat.app_factory"
    assert heat.FilterFactory.KEY == "heat.filter_factory"
    assert heat.BasePasteFactory.KEY is None
    assert issubclass(heat.AppFactory, heat.BasePasteFactory)


@exercises("heat", "setup_paste_factories", "teardown_paste_factories")
def test_the_factories_work_between_setup_and_teardown(
    heat: Any, conf: cfg.ConfigOpts
) -> None:
    heat.setup_paste_factories(conf)
    app = heat.app_factory({}, **{"heat.app_factory": f"{__name__}:App"}, colour="red")
    heat.teardown_paste_factories()

    assert app.conf is conf
    with pytest.raises(LookupError):
        heat.app_factory({}, **{"heat.app_factory": f"{__name__}:App"})


@exercises(
    "heat",
    "Middleware",
    "Middleware.process_request",
    "Middleware.process_response",
    "Debug",
    "Debug.print_generator",
)
def test_filters(heat: Any, capsys: pytest.CaptureFixture[str]) -> None:
    class Refuses(heat.Middleware):  # type: ignore[misc]  # imported anew by the fixture
        def process_request(self, req: webob.Request) -> Any:
            return webob.exc.HTTPForbidden() if req.path == "/secret" else None

    app = heat.Debug(Refuses(webob.Response(b"open")))

    assert webob.Request.blank("/").get_response(app).body == b"open"
    assert webob.Request.blank("/secret").get_response(app).status_code == 403
    assert "status = 403 Forbidden" in capsys.readouterr().out
    assert list(heat.Debug.print_generator([b"part"], io.StringIO())) == [b"part"]
    assert heat.Middleware(app).process_response(app) is app


SERVICE = """
import json, logging, os, sys
from oslo_config import cfg
from wsgi_stack import heat as wsgi

logging.basicConfig(level=logging.INFO)
cfg.CONF.register_opt(cfg.StrOpt("greeting", default="hello"))


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([os.getpid(), cfg.CONF.greeting]).encode()]


cfg.CONF(["--config-file", sys.argv[1]])
"""
RUN = """
server = wsgi.Server("heat-api", cfg.CONF.heat_api, threads=10)
server.start(app, default_port=8004)
server.wait()
"""


@pytest.fixture
def config(tmp_path: Path) -> Any:
    path = tmp_path / "heat.conf"

    def write(greeting: str = "hello", eventlet: str = "", **options: object) -> str:
        options = {"bind_host": "127.0.0.1", "bind_port": 0, "workers": 2, **options}
        lines = [f"{name} = {value}\n" for name, value in options.items()]
        path.write_text(
            f"[DEFAULT]\ngreeting = {greeting}\n[eventlet_opts]\n{eventlet}\n"
            "[heat_api]\n" + "".join(lines)
        )
        return str(path)

    return write


@exercises("heat", "Server", "Server.start", "Server.wait")
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


def _both(pids: set[int]) -> set[int] | None:
    return pids if len(pids) == 2 else None


def test_one_worker_is_the_process_itself(serving: Any, config: Any) -> None:
    server = serving(SERVICE + RUN, config(workers=1))

    assert json.loads(server.get("/").body)[0] == server.pid
    assert server.stop() == 0


def test_no_workers_means_one_for_each_cpu(serving: Any, config: Any) -> None:
    server = serving(SERVICE + RUN, config(workers=0))
    cpus = len(os.sched_getaffinity(0))

    server.wait_for("its workers", lambda: len(server.worker_pids()) == cpus)
    assert json.loads(server.get("/").body)[0] in server.worker_pids()
    assert server.stop() == 0


def test_conf_may_be_parsed_anew_while_the_application_loads(
    serving: Any, config: Any
) -> None:
    # As heat.wsgi.api does; the options are read when they are used.
    reset = """
server = wsgi.Server("heat-api", cfg.CONF.heat_api, threads=10)
cfg.CONF.reset()
cfg.CONF(["--config-file", sys.argv[2]], project="heat")
server.start(app, default_port=8004)
server.wait()
"""
    first = config(greeting="first", workers=1)
    second = first.replace("heat.conf", "second.conf")
    os.rename(first, second)
    config(greeting="other", workers=1, bind_host="192.0.2.1")
    server = serving(SERVICE + reset, first, second)

    assert json.loads(server.get("/").body) == [server.pid, "first"]


def test_the_options_of_eventlet_opts_count(serving: Any, config: Any) -> None:
    server = serving(SERVICE + RUN, config(eventlet="wsgi_keep_alive = false"))

    assert server.get("/").headers["Connection"] == "close"


@pytest.mark.parametrize(("length", "status"), [(49_000, 200), (51_000, 414)])
def test_a_request_line_may_be_as_long_as_heats(
    serving: Any, config: Any, length: Any, status: Any
) -> None:
    server = serving(SERVICE + RUN, config())

    assert server.get("/?" + "x" * length).status == status


STEPS = """
steps = {}
server = wsgi.Server("heat-api", cfg.CONF.heat_api, threads=7)
server.application, server.default_port = app, None
server.configure_socket()
steps["listens"] = server.sock.getsockname()[0]
server.start_wsgi()
one = set(server.children)
steps["workers"] = len(one)
stashed = server.stash_conf_values()
steps["stashed"] = [stashed["bind_host"], stashed["backlog"], stashed["cert_file"]]
server.reload()
steps["reloaded"] = not set(server.children) & one
server.hup()
server.kill_children()
server.wait()
steps["left"] = len(server.children)
print(json.dumps(steps))
"""


@exercises(
    "heat",
    "Server.configure_socket",
    "Server.hup",
    "Server.kill_children",
    "Server.reload",
    "Server.stash_conf_values",
)
def test_each_step_of_a_server_can_be_taken_by_itself(
    run_program: Any, config: Any
) -> None:
    assert run_program(SERVICE + STEPS, config()) == {
        "listens": "127.0.0.1",
        "workers": 2,
        "stashed": ["127.0.0.1", 4096, None],
        "reloaded": True,
        "left": 0,
    }


@exercises("heat", "Server.run_server")
def test_a_subclass_may_surround_run_server(serving: Any, config: Any) -> None:
    surrounded = """
class Server(wsgi.Server):
    def run_server(self):
        print("before", flush=True)
        super().run_server()
        print("after", flush=True)


server = Server("heat-api", cfg.CONF.heat_api)
server.start(app, default_port=8004)
server.wait()
"""
    server = serving(SERVICE + surrounded, config(workers=2))
    assert server.get("/").status == 200
    server.stop()

    assert server.output().count("before") == 2
    assert server.output().count("after") == 2


def test_a_start_that_fails_is_a_runtime_error(run_program: Any, config: Any) -> None:
    refused = """
try:
    wsgi.Server("heat-api", cfg.CONF.heat_api).start(app, 8004)
except Exception as exc:
    print(json.dumps([type(exc).__name__, str(exc)]))
"""
    kind, message = run_program(SERVICE + refused, config(bind_host="192.0.2.1"))

    assert kind == "RuntimeError"
    assert message.startswith("cannot bind 192.0.2.1:0: ")


def test_every_name_of_the_reference_is_exercised() -> None:
    assert exercised["heat"] == set(HEAT)
