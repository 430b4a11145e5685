"""Factories that pass on a ConfigOpts, and the imports behind them."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import wsgi_paste
from oslo_config import cfg
from paste.deploy import loadwsgi
from wsgi_paste import AppFactory, BasePasteFactory, FilterFactory, errors
from wsgi_paste._imports import import_callable

SPECS = ["service:make_app", "  service:make_app  ", "\nservice:make_app\n"]
SPECS += ["service : make_app", "service.make_app", "service:Holder.make_app"]


@pytest.mark.parametrize("spec", SPECS)
def test_app_factory_calls_what_its_key_names(
    service: Any, conf: cfg.ConfigOpts, spec: Any
) -> None:
    settings = {"wsgi_paste.app_factory": spec, "name": "one"}

    app = AppFactory(conf)({"here": "/"}, **settings)

    assert app.conf is conf
    assert app.settings == {"name": "one"}


def test_filter_factory_calls_what_its_key_names_for_each_application(
    service: Any, conf: cfg.ConfigOpts
) -> None:
    settings = {"wsgi_paste.filter_factory": "service:make_filter", "level": "2"}

    make_filter: Any = FilterFactory(conf)(None, **settings)
    one, other = make_filter("app 1"), make_filter("app 2")

    assert (one.app, other.app) == ("app 1", "app 2")
    assert one.conf is conf
    assert one.settings == {"level": "2"}


def test_a_subclass_names_its_own_key(service: Any, conf: cfg.ConfigOpts) -> None:
    class Heat(AppFactory):
        KEY = "heat.app_factory"

    assert Heat(conf)({}, **{"heat.app_factory": "service:make_app"}).conf is conf


def test_the_base_class_is_abstract_and_a_subclass_without_a_key_says_so(
    conf: cfg.ConfigOpts,
) -> None:
    class Keyless(BasePasteFactory):
        def __call__(
            self, global_conf: dict[str, str] | None, **local_conf: str
        ) -> Any:
            return self._import_factory(local_conf)

    assert BasePasteFactory.KEY is None
    with pytest.raises(TypeError, match="abstract"):
        cast("type[Any]", BasePasteFactory)(conf)
    with pytest.raises(errors.MissingSetting, match=r"Keyless.KEY is not set"):
        Keyless(conf)({})


def test_a_missing_key_is_named(conf: cfg.ConfigOpts) -> None:
    with pytest.raises(LookupError) as caught:
        AppFactory(conf)({}, other="x")

    assert str(caught.value) == (
        "wsgi_paste.app_factory: this setting is missing: "
        "write wsgi_paste.app_factory = module:callable"
    )


@pytest.mark.parametrize(
    ("spec", "family", "text"),
    [
        ("no_such_module:x", ImportError, "No module named 'no_such_module'"),
        ("service:absent", ImportError, "no attribute 'absent'"),
        ("service:Holder.absent", ImportError, "no attribute 'absent'"),
        ("service", ValueError, "'service' is not of the form module:callable"),
        ("", ValueError, "is not of the form"),
        ("service:", ValueError, "is not of the form"),
        ("a b:c", ValueError, "is not of the form"),
        ("service:a:b", ValueError, "is not of the form"),
        ("service:__name__", ValueError, "is of type str, not a callable"),
    ],
)
def test_a_name_that_cannot_be_imported_is_explained(
    service: Any, spec: Any, family: Any, text: Any
) -> None:
    with pytest.raises(errors.LoadError, match=text) as caught:
        import_callable(spec, key="some.key")

    assert isinstance(caught.value, family)
    assert str(caught.value).startswith("some.key: ")


def test_a_bug_inside_an_imported_module_keeps_its_own_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_service.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ZeroDivisionError):
        import_callable("broken_service:app")


INI = """
[app:main]
paste.app_factory = wsgi_paste:app_factory
wsgi_paste.app_factory = service:make_app
filter-with = outer

[filter:outer]
paste.filter_factory = wsgi_paste:filter_factory
wsgi_paste.filter_factory = service:make_filter
"""


def test_setup_lets_paste_deploy_itself_pass_the_conf(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    path = write(INI)
    wsgi_paste.setup_paste_factories(conf)
    try:
        assert wsgi_paste.current_conf() is conf
        app = loadwsgi.loadapp(f"config:{path}")
    finally:
        wsgi_paste.teardown_paste_factories()

    assert app.conf is conf
    assert app.app.conf is conf


def test_without_setup_the_factories_say_what_to_do(
    service: Any, write: Callable[..., str]
) -> None:
    with pytest.raises(LookupError, match="paste_deploy_app"):
        loadwsgi.loadapp(f"config:{write(INI)}")


def test_setup_may_be_nested(conf: cfg.ConfigOpts) -> None:
    inner = cfg.ConfigOpts()
    wsgi_paste.setup_paste_factories(conf)
    wsgi_paste.setup_paste_factories(inner)

    assert wsgi_paste.current_conf() is inner
    wsgi_paste.teardown_paste_factories()
    assert wsgi_paste.current_conf() is conf
    wsgi_paste.teardown_paste_factories()
    with pytest.raises(LookupError):
        wsgi_paste.current_conf()


def test_teardown_without_setup_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="without setup_paste_factories"):
        contextvars.Context().run(wsgi_paste.teardown_paste_factories)


def test_another_thread_does_not_see_the_conf_of_this_one(conf: cfg.ConfigOpts) -> None:
    seen: list[object] = []

    def look() -> None:
        try:
            seen.append(wsgi_paste.current_conf())
        except LookupError as exc:
            seen.append(type(exc))

    wsgi_paste.setup_paste_factories(conf)
    try:
        # Python 3.14 lets threads inherit the context where it is asked to.
        thread = threading.Thread(target=contextvars.Context().run, args=(look,))
        thread.start()
        thread.join()
    finally:
        wsgi_paste.teardown_paste_factories()

    assert seen == [errors.MissingSetting]
