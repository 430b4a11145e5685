"""An importable module `service` for ini files to name, and files to name it in."""

from __future__ import annotations

import sys
import textwrap
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from oslo_config import cfg

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

Write = Callable[..., str]


@pytest.fixture
def conf() -> cfg.ConfigOpts:
    return cfg.ConfigOpts()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an ini file into the test's directory and returns its path."""

    def write_ini(text: str, name: str = "api-paste.ini") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return str(path)

    return write_ini


class App:
    """An application that remembers what it was made of, and answers with its name."""

    def __init__(self, conf: object, settings: dict[str, str]) -> None:
        self.conf = conf
        self.settings = settings

    def __call__(
        self, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [self.settings.get("name", "app").encode()]


class Filter:
    def __init__(
        self, app: WSGIApplication, conf: object, settings: dict[str, str]
    ) -> None:
        self.app = app
        self.conf = conf
        self.settings = settings

    def __call__(
        self, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        return self.app(environ, start_response)


def urlmap(
    loader: Any, global_conf: dict[str, str], **local_conf: str
) -> WSGIApplication:
    """What the services' own composite factories do."""
    apps: dict[str, WSGIApplication] = {
        path: loader.get_app(name, global_conf) for path, name in local_conf.items()
    }

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        best = max((p for p in apps if environ["PATH_INFO"].startswith(p)), key=len)
        return apps[best](environ, start_response)

    return app


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module `service`; a test may put further attributes on it."""
    module: Any = types.ModuleType("service")

    def make_app(conf: cfg.ConfigOpts, **settings: Any) -> WSGIApplication:
        return App(conf, settings)

    def make_filter(app: WSGIApplication, conf: cfg.ConfigOpts, **settings: Any) -> Any:
        return Filter(app, conf, settings)

    def plain_app(global_conf: dict[str, str], **settings: Any) -> Any:
        return App(global_conf, settings)

    def plain_filter(global_conf: dict[str, str], **settings: Any) -> Any:
        return lambda app: Filter(app, global_conf, settings)

    module.make_app = make_app
    module.make_filter = make_filter
    module.plain_app = plain_app
    module.plain_filter = plain_filter
    module.urlmap = urlmap
    module.Holder = types.SimpleNamespace(make_app=make_app)
    monkeypatch.setitem(sys.modules, "service", module)
    return module
