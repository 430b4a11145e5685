"""Application URIs: what they find, and what they say when they do not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from wsgi_server._command.loader import load
from wsgi_server.errors import ExitStatus, LoadError

HELLO = """
import sys
from types import SimpleNamespace


def app(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]

def make(*words, times=1):
    def made(environ, start_response):
        return [word.encode() for word in words] * times
    return made

def factory(*, word="made"):
    return make(word)

class App:
    def __call__(self, environ, start_response):
        return [b"instance"]

space = SimpleNamespace(inner=SimpleNamespace(app=app))
number = 42

async def asgi(scope, receive, send):
    pass
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current directory, and nothing of it left in `sys.modules` or the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    (tmp_path / "hello.py").write_text(HELLO)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def call(app: Any) -> list[bytes]:
    return list(app({}, lambda *_: None))


@pytest.mark.parametrize(
    ("uri", "body"),
    [
        ("hello:app", [b"hello"]),
        ("hello:space.inner.app", [b"hello"]),
        ("hello:make('a', 'b')", [b"a", b"b"]),
        ("hello:make('a', times=2)", [b"a", b"a"]),
        ("hello:make()", []),
        ("hello:App()", [b"instance"]),
    ],
)
def test_a_uri_names_a_callable_or_a_factory(uri: str, body: list[bytes]) -> None:
    assert call(load(uri, cfg.ConfigOpts())) == body


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("hello", "write the name of the application as well, such as hello:app"),
        ("hello:", "write the name of the application as well, such as hello:app"),
        ("hello.py", "such as hello:application"),
        ("api-paste.ini", "for a paste file write config:api-paste.ini#main"),
        ("helo:app", "there is no module 'helo' in {cwd} and sys.path; did you mean"),
        ("helo:app", "did you mean hello?"),
        ("hello.sub:app", "there is no module 'hello.sub' in package hello"),
        ("hello:ap", "module hello has no attribute 'ap'; did you mean app?"),
        ("hello:space.iner", "hello.space has no attribute 'iner'; did you mean"),
        ("hello:zzzz", "module hello has no attribute 'zzzz'"),
        ("hello:number", "it is of type int, which is not callable"),
        ("hello:number()", "hello.number cannot be called"),
        ("hello:factory", "if it makes the application write 'hello:factory()'"),
        ("hello:App", "if it makes the application write 'hello:App()'"),
        ("hello:asgi", "it takes (scope, receive, send), not the environ"),
        ("hello:make(x)", "is no name, name.attribute or factory()"),
        ("hello:1 + 1", "is no name, name.attribute or factory()"),
        ("hello:app.", "is no name, name.attribute or factory()"),
        ("hello:make(times='x')()", "is no name, name.attribute or factory()"),
        ("hello:make('x', time=2)", "TypeError: make() got an unexpected keyword"),
        ("ftp-x:there", "'ftp-x' is neither a module nor a loader that is installed"),
    ],
)
def test_a_uri_that_finds_nothing_says_what_to_do(
    uri: str, message: str, here: Path
) -> None:
    with pytest.raises(LoadError) as caught:
        load(uri, cfg.ConfigOpts())
    text = str(caught.value)
    assert message.format(cwd=here) in text
    assert text.startswith("cannot load ")
    assert "\n" not in text
    assert caught.value.exit_status is ExitStatus.LOAD


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import nothing_there",
            "ModuleNotFoundError: No module named 'nothing_there'",
        ),
        ("from os import nothing", "ImportError: cannot import name 'nothing'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def app(:", "SyntaxError: "),
        ("import sys; sys.exit(3)", "sys.exit(3)"),
        ("def __getattr__(name): return nothing", "NameError: "),
    ],
)
def test_a_fault_inside_the_module_says_where_it_is(
    source: str, message: str, here: Path
) -> None:
    broken = here / "broken.py"
    broken.write_text(f"# one\n\n{source}\n")
    with pytest.raises(LoadError) as caught:
        load("broken:app", cfg.ConfigOpts())
    assert f"cannot load broken:app: {broken}:3: " in str(caught.value)
    assert message in str(caught.value)
    assert caught.value.__cause__ is not None

    broken.write_text("from hello import app\n")
    sys.modules.pop("broken", None)
    assert call(load("broken:app", cfg.ConfigOpts())) == [b"hello"]


def test_an_interrupt_is_no_load_error(here: Path) -> None:
    (here / "stop.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load("stop:app", cfg.ConfigOpts())


LOADER = """
def load(uri, conf):
    if uri == "bad value":
        raise ValueError("that is no good")
    if uri == "bug":
        raise RuntimeError("oops")
    def app(environ, start_response):
        return [uri.encode(), type(conf).__name__.encode()]
    return app
"""


def distribute(here: Path, scheme: str, target: str) -> None:
    """Installs a distribution with one loader into the current directory."""
    info = here / "loaders-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loaders\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        f"[wsgi_server.app_loaders]\n{scheme} = {target}\n"
    )
    (here / "foreign_loader.py").write_text(LOADER)


def test_a_scheme_is_an_entry_point(here: Path) -> None:
    distribute(here, "test-scheme", "foreign_loader:load")
    app = load("test-scheme:some/thing#x", cfg.ConfigOpts())
    assert call(app) == [b"some/thing#x", b"ConfigOpts"]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("test-scheme:bad value", "cannot load test-scheme:bad value: that is no good"),
        ("test-scheme:bug", "foreign_loader.py:6: RuntimeError: oops"),
    ],
)
def test_what_a_loader_raises_becomes_a_load_error(
    here: Path, uri: str, message: str
) -> None:
    distribute(here, "test-scheme", "foreign_loader:load")
    with pytest.raises(LoadError) as caught:
        load(uri, cfg.ConfigOpts())
    assert message in str(caught.value)


def test_a_loader_that_cannot_be_imported_is_a_load_error(here: Path) -> None:
    distribute(here, "test-scheme", "not_there:load")
    with pytest.raises(LoadError, match="No module named 'not_there'"):
        load("test-scheme:x", cfg.ConfigOpts())


@pytest.mark.parametrize("scheme", ["config", "egg"])
def test_a_missing_loader_says_which_package_to_install(
    scheme: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Distributions are looked for on the path; what is imported stays imported.
    monkeypatch.setattr(sys, "path", [str(here)])
    with pytest.raises(LoadError, match="pip install wsgi-paste"):
        load(f"{scheme}:x.ini#main", cfg.ConfigOpts())
