"""The drop-ins where a service is installed: its exceptions, its checks, its logging.

The service is a small package that has the modules which the drop-ins look for. The real
ones are compared by `tests/upstream`.
"""

from __future__ import annotations

import signal
import textwrap
from pathlib import Path
from typing import Any

import pytest

GLANCE = {
    "glance/common/exception.py": """
        class InvalidContentType(Exception):
            def __init__(self, content_type):
                super().__init__(content_type)

        class InvalidPropertyProtectionConfiguration(Exception):
            msg = "protections are wrong"

        class WorkerCreationFailure(Exception):
            def __init__(self, reason):
                super().__init__(reason)
        """,
    "glance/common/config.py": """
        from glance.note import note

        def set_config_defaults():
            note("defaults")
        """,
    "glance/sqlite_migration.py": """
        from glance.note import note

        def migrate_if_required():
            note("migrated")
        """,
    "glance/housekeeping.py": """
        from glance.note import note

        def staging_store_path():
            return "/nowhere/staging"

        class StagingStoreCleaner:
            def __init__(self, db):
                self.db = db

            def clean_orphaned_staging_residue(self):
                note(f"cleared with {self.db}")
                raise OSError("disk")
        """,
    "glance/db.py": """
        def get_api():
            return "the database"
        """,
    "glance/note.py": """
        import os

        def note(text):
            fd = os.open("notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(fd, f"{text}\\n".encode())
            os.close(fd)
        """,
}
HEAT = {
    "heat/common/exception.py": """
        class HeatException(Exception):
            pass

        class InvalidContentType(HeatException):
            def __init__(self, content_type):
                super().__init__(content_type)

        class RequestLimitExceeded(HeatException):
            def __init__(self, message):
                super().__init__(message)

        class HTTPExceptionDisguise(Exception):
            def __init__(self, exc):
                self.exc = exc
        """,
    "heat/api/aws/exception.py": """
        import webob.exc

        class HeatAPIException(webob.exc.HTTPError):
            code = 400
        """,
}


def install(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        for parent in path.parents:
            if parent == directory:
                break
            (parent / "__init__.py").touch()


@pytest.mark.parametrize("service", ["glance", "heat"])
def test_a_folder_of_that_name_is_no_service(
    run_program: Any, tmp_path: Path, service: Any
) -> None:
    (tmp_path / service).mkdir()

    assert (
        run_program(
            f"""
            import json
            from wsgi_stack import {service} as wsgi

            print(json.dumps(wsgi.__name__))
            """
        )
        == f"wsgi_stack.{service}"
    )


def test_glances_own_exceptions_are_raised(run_program: Any, tmp_path: Path) -> None:
    install(tmp_path, GLANCE)

    assert run_program(
        """
        import json
        import webob.exc
        import eventlet.hubs
        from wsgi_stack import glance as wsgi

        def raised(call, *args):
            try:
                call(*args)
            except Exception as exc:
                return [type(exc).__module__, type(exc).__name__, str(exc)]

        class Controller:
            def default(self, req):
                from glance.common.exception import (
                    InvalidPropertyProtectionConfiguration as Wrong)
                raise Wrong

        resource = wsgi.Resource(Controller())
        told = [raised(wsgi.Request.blank("/").get_content_type, ("text/plain",))]
        response = wsgi.Request.blank("/").get_response(resource)
        told.append([response.status_code, "protections are wrong" in response.text])
        for name in ("epolls", "kqueue", "poll", "selects"):
            __import__(f"eventlet.hubs.{name}")
            getattr(eventlet.hubs, name).is_available = lambda: False
        told.append(raised(wsgi.set_eventlet_hub)[:2])
        print(json.dumps(told))
        """
    ) == [
        ["glance.common.exception", "InvalidContentType", "None"],
        [400, True],
        ["glance.common.exception", "WorkerCreationFailure"],
    ]


SERVICE = """
import logging
from oslo_config import cfg
from wsgi_stack import glance as wsgi

logging.basicConfig(level=logging.INFO)
cfg.CONF.register_opt(cfg.ListOpt("enabled_import_methods", default=["web-download"]))
cfg.CONF(["--config-file", "glance.conf"])


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served"]


server = wsgi.Server(threads=10)
server.start(app, default_port=9292)
server.wait()
"""


def test_glances_work_is_done_once_whatever_the_number_of_workers(
    serving: Any, tmp_path: Path
) -> None:
    install(tmp_path, GLANCE)
    (tmp_path / "glance.conf").write_text(
        "[DEFAULT]\nbind_host = 127.0.0.1\nbind_port = 0\nworkers = 2\n"
    )
    server = serving(SERVICE)
    notes = tmp_path / "notes"

    def both() -> Any:
        pids = server.worker_pids()
        return pids if len(pids) == 2 else None

    before = server.wait_for("two workers", both)
    server.wait_for("a cleared store", lambda: "cleared" in notes.read_text())
    assert server.get("/").text == "served"
    assert "staging directory /nowhere/staging does not exist" in server.log()
    assert "the staging store cannot be cleared" in server.log()

    server.send(signal.SIGHUP)
    server.wait_for("others", lambda: both() and not before & server.worker_pids())
    assert server.get("/").text == "served"
    assert server.stop() == 0

    assert notes.read_text().splitlines() == [
        "migrated",
        "cleared with the database",
        "defaults",
    ]


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        ("exc.HTTPNotFound()", ["HTTPExceptionDisguise", "HTTPNotFound"]),
        ("exc.HTTPFound()", ["HTTPFound", None]),
        ("exception.HeatException('x')", ["HeatException", None]),
        ("aws.HeatAPIException('x')", ["HeatAPIException", None]),
        ("KeyError('x')", ["KeyError", None]),
    ],
)
def test_heats_exceptions_reach_its_fault_filter(
    run_program: Any, tmp_path: Path, raised: Any, seen: Any
) -> None:
    install(tmp_path, HEAT)

    assert (
        run_program(
            f"""
            import json
            from heat.api.aws import exception as aws
            from heat.common import exception
            from webob import exc
            from wsgi_stack import heat as wsgi

            class Controller:
                def default(self, req):
                    raise {raised}

            resource = wsgi.Resource(Controller(), wsgi.JSONRequestDeserializer())
            try:
                resource(wsgi.Request.blank("/"))
            except Exception as caught:
                inner = getattr(caught, "exc", None)
                print(json.dumps([type(caught).__name__, inner and type(inner).__name__]))
            """
        )
        == seen
    )


def test_heats_limit_of_bodies_is_heats_exception(
    run_program: Any, tmp_path: Path
) -> None:
    install(tmp_path, HEAT)

    assert (
        run_program(
            """
        import json
        from heat.common import exception
        from oslo_config import cfg
        from wsgi_stack import heat as wsgi

        cfg.CONF.set_override("max_json_body_size", 4)
        try:
            wsgi.JSONRequestDeserializer().from_json("[1, 2]")
        except exception.RequestLimitExceeded as exc:
            print(json.dumps(str(exc)))
        """
        )
        == "JSON body size (6 bytes) exceeds maximum allowed size (4 bytes)."
    )


@pytest.mark.parametrize(
    ("service", "module"),
    [
        ("glance", "glance.common.exception"),
        ("glance", "glance.common.config"),
        ("heat", "heat.common.exception"),
        ("heat", "heat.api.aws.exception"),
    ],
)
def test_any_module_of_the_service_may_import_the_drop_in(
    run_program: Any, tmp_path: Path, service: Any, module: Any
) -> None:
    files = {"glance": GLANCE, "heat": HEAT}[service]
    path = module.replace(".", "/") + ".py"
    circular = f"from {service}.common import wsgi\n{textwrap.dedent(files[path])}"
    body = f"import sys\nfrom wsgi_stack import {service}\nsys.modules[__name__] = {service}"
    install(
        tmp_path, {**files, path: circular, f"{service}/common/wsgi.py": f"\n{body}\n"}
    )

    assert run_program(
        f"""
            import importlib, json, sys

            importlib.import_module({module!r})
            from {service}.common import wsgi
            from {service}.common.exception import InvalidContentType

            request = wsgi.Request.blank("/", content_type="text/html")
            try:
                request.get_content_type(("text/plain",))
            except InvalidContentType as exc:
                print(json.dumps([wsgi.__name__, type(exc).__module__]))
            """
    ) == [f"wsgi_stack.{service}", f"{service}.common.exception"]


@pytest.mark.parametrize("service", ["glance", "heat"])
def test_without_the_service_the_errors_are_those_of_wsgi_api(
    run_program: Any, service: Any
) -> None:
    assert (
        run_program(
            f"""
        import json
        import wsgi_api
        from wsgi_stack import {service} as wsgi

        class Own(wsgi.Resource):
            passed_on = (KeyError,)

        print(json.dumps([
            wsgi.Request.invalid_content_type is wsgi_api.Request.invalid_content_type,
            wsgi.Resource.bad_request_errors == wsgi_api.Resource.bad_request_errors,
            wsgi.Resource.passed_on == wsgi_api.Resource.passed_on,
            wsgi.Resource.undisguised == wsgi_api.Resource.undisguised,
            wsgi.Resource.disguise is None,
            Own(object(), None).passed_on == (KeyError,),
        ]))
        """
        )
        == [True] * 6
    )
