"""The loaders that the `wsgi-server` command finds through their entry points."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from wsgi_paste import errors

APP = """
[app:main]
paste.app_factory = wsgi_paste:app_factory
wsgi_paste.app_factory = service:make_app

[app:named]
use = main
name = named
"""


def load(scheme: str, uri: str, conf: cfg.ConfigOpts) -> Any:
    (found,) = entry_points(group="wsgi_server.app_loaders", name=scheme)
    return found.load()(uri, conf)


def test_config_loads_main_without_a_name(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    assert load("config", write(APP), conf).conf is conf


def test_config_loads_the_name_after_the_hash(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    assert load("config", f"{write(APP)}#named", conf).settings == {"name": "named"}


def test_a_directory_may_have_a_hash_in_its_name(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    path = write(APP + "[app:other]\nuse = main\nname = other\n", "a#b/x.ini")

    assert load("config", path, conf).settings == {}
    assert load("config", f"{path}#other", conf).settings == {"name": "other"}


@pytest.mark.parametrize("name", ["a#b.ini", "C:\\a#b.ini", "a##b#main.ini"])
def test_a_file_may_have_a_hash_in_its_name(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str], name: str
) -> None:
    path = write(APP, name)

    assert load("config", path, conf).settings == {}
    assert load("config", f"{path}#named", conf).settings == {"name": "named"}


def test_a_file_that_is_not_there_is_named_up_to_the_last_hash(
    conf: cfg.ConfigOpts,
) -> None:
    with pytest.raises(errors.UnreadableFile, match=r"^C:\\a#b\.ini: cannot read it"):
        load("config", r"C:\a#b.ini#main", conf)


def test_a_relative_path_starts_at_the_current_directory(
    service: Any,
    conf: cfg.ConfigOpts,
    write: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(Path(write(APP)).parent)

    assert load("config", "api-paste.ini#named", conf).conf is conf


def test_a_relative_path_is_looked_for_beside_the_configuration_file(
    service: Any,
    conf: cfg.ConfigOpts,
    write: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(APP, "etc/api-paste.ini")
    configuration = write("[DEFAULT]\n", "etc/service.conf")
    conf(["--config-file", configuration])
    monkeypatch.chdir(tmp_path)

    assert load("config", "api-paste.ini", conf).conf is conf


def test_the_current_directory_comes_first(
    service: Any,
    conf: cfg.ConfigOpts,
    write: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(APP + "where = beside\n", "etc/api-paste.ini")
    write(APP.replace("make_app\n", "make_app\nwhere = here\n"), "api-paste.ini")
    conf(["--config-file", write("[DEFAULT]\n", "etc/service.conf")])
    monkeypatch.chdir(tmp_path)

    assert load("config", "api-paste.ini", conf).settings == {"where": "here"}


@pytest.mark.parametrize("parsed", [False, True])
def test_a_file_that_is_nowhere_is_named_as_it_was_asked_for(
    parsed: Any, conf: cfg.ConfigOpts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if parsed:
        conf([], default_config_files=[], default_config_dirs=[])

    with pytest.raises(OSError, match="cannot read it") as caught:
        load("config", "absent-paste.ini#main", conf)

    assert str(caught.value) == (
        "absent-paste.ini: cannot read it: No such file or directory"
    )


def test_a_fault_of_the_file_is_one_line(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    path = write(APP.replace("make_app", "absent"))

    with pytest.raises(ImportError) as caught:
        load("config", path, conf)

    assert str(caught.value) == (
        f"{path}: [app:main] wsgi_paste.app_factory: cannot import service:absent: "
        "module 'service' has no attribute 'absent'"
    )


def strict(conf: cfg.ConfigOpts, *, level: Any = "1") -> Any:
    return level


@pytest.mark.parametrize(
    ("raised", "line"),
    [
        (KeyError("db"), "KeyError: 'db'"),
        (ValueError("port is\nwrong"), "ValueError: port is wrong"),
        (OSError("disk"), "OSError: disk"),
        (TypeError("level"), "TypeError: level"),
        (
            cfg.NoSuchOptError("x"),
            "NoSuchOptError: no such option x in group [DEFAULT]",
        ),
    ],
)
def test_what_a_factory_raises_gets_its_place(
    service: Any,
    conf: cfg.ConfigOpts,
    write: Callable[..., str],
    raised: Any,
    line: Any,
) -> None:
    def fail(conf: cfg.ConfigOpts, **settings: Any) -> None:
        raise raised

    service.make_app = fail
    path = write(APP)

    with pytest.raises(errors.FactoryFailed) as caught:
        load("config", path, conf)

    assert str(caught.value) == f"{path}: [app:main]: {line}"
    assert caught.value.__cause__ is raised
    assert isinstance(caught.value, ValueError)


def test_a_note_of_the_factorys_own_is_not_taken_for_the_place(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    def fail(conf: cfg.ConfigOpts, **settings: Any) -> None:
        error = ValueError("port")
        vars(error)["__notes__"] = ["look at the manual"]
        raise error

    service.make_app = fail
    path = write(APP)

    with pytest.raises(ValueError, match="port") as caught:
        load("config", path, conf)

    assert str(caught.value) == f"{path}: [app:main]: ValueError: port"


def test_a_setting_that_the_factory_does_not_know_is_named(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    service.make_app = strict
    path = write(APP.replace("make_app\n", "make_app\nvolume = 11\n"))

    with pytest.raises(ValueError, match=r"\[app:main\]: TypeError: .*'volume'"):
        load("config", path, conf)


def test_a_bug_of_the_application_keeps_its_type(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    def fail(conf: cfg.ConfigOpts, **settings: Any) -> None:
        raise ZeroDivisionError

    service.make_app = fail

    with pytest.raises(ZeroDivisionError):
        load("config", write(APP), conf)


def make_distribution(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs a distribution `service-dist`, as far as importlib.metadata looks."""
    info = directory / "service_dist-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: service-dist\nVersion: 1\n"
    )
    (info / "entry_points.txt").write_text(
        "[paste.app_factory]\nmain = wsgi_paste:app_factory\nplain = service:plain_app\n"
        "broken = service:absent\nmissing = no_such_module:app\n"
    )
    monkeypatch.syspath_prepend(str(directory))


def test_egg_loads_an_entry_point(
    service: Any, conf: cfg.ConfigOpts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_distribution(tmp_path, monkeypatch)

    assert load("egg", "service-dist#plain", conf).settings == {}


def test_egg_without_a_name_means_main_and_has_the_conf(
    service: Any, conf: cfg.ConfigOpts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_distribution(tmp_path, monkeypatch)

    with pytest.raises(LookupError, match=r"wsgi_paste\.app_factory: this setting"):
        load("egg", "service-dist", conf)


@pytest.mark.parametrize(
    ("uri", "family", "message"),
    [
        (
            "service-dist#missing",
            ImportError,
            "cannot import no_such_module:app: No module named 'no_such_module'",
        ),
        (
            "service-dist#broken",
            ImportError,
            "cannot import service:absent: module 'service' has no attribute 'absent'",
        ),
        (
            "no-such-dist#x",
            ImportError,
            "cannot import egg:no-such-dist#x: no-such-dist is not installed",
        ),
        (
            "service-dist#absent",
            LookupError,
            "cannot find egg:service-dist#absent: service-dist offers broken, main, "
            "missing, plain under paste.app_factory, paste.composite_factory, "
            "paste.composit_factory",
        ),
    ],
)
def test_an_egg_that_cannot_be_loaded_is_explained(
    service: Any,
    conf: cfg.ConfigOpts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uri: Any,
    family: Any,
    message: Any,
) -> None:
    make_distribution(tmp_path, monkeypatch)

    with pytest.raises(errors.LoadError) as caught:
        load("egg", uri, conf)

    assert isinstance(caught.value, family)
    assert str(caught.value) == message
