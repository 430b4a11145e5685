"""paste_deploy_app: every form of section, every fault, several loads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import webob
from oslo_config import cfg
from wsgi_paste import errors, paste_deploy_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: What comes back is what the factories of a test have made, of whatever class.
load: Callable[..., Any] = paste_deploy_app

APP = """
[app:main]
paste.app_factory = wsgi_paste:app_factory
wsgi_paste.app_factory = service:make_app
"""


def body_of(app: WSGIApplication) -> str:
    return webob.Request.blank("/").get_response(app).text


def test_applications_and_filters_get_the_conf(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    path = write(
        """
        [pipeline:main]
        pipeline = audit app

        [filter:audit]
        paste.filter_factory = wsgi_paste:filter_factory
        wsgi_paste.filter_factory = service:make_filter
        level = 3

        [app:app]
        paste.app_factory = wsgi_paste:app_factory
        wsgi_paste.app_factory =
            service:make_app
        name = images
        """
    )

    audit = load(path, "main", conf)

    assert audit.conf is audit.app.conf is conf
    assert audit.settings == {"level": "3"}
    assert body_of(audit) == "images"


def test_no_name_means_main(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    assert load(write(APP), None, conf).conf is conf


def test_a_path_object_is_taken(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    assert load(Path(write(APP)), "main", conf).conf is conf


def test_a_relative_path_starts_at_the_current_directory(
    service: Any,
    conf: cfg.ConfigOpts,
    write: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(Path(write(APP)).parent)

    assert load("api-paste.ini", "main", conf).conf is conf


@pytest.mark.parametrize("name", ["50% off", "a#b", "%41", "ü ü", "a%20b"])
def test_any_directory_name_will_do(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str], name: str
) -> None:
    path = write(APP + "where = %(here)s\n", f"{name}/api-paste.ini")

    app = load(path, "main", conf)

    assert app.settings == {"where": str(Path(path).parent)}


def test_percent_signs_are_doubled_and_settings_refer_to_each_other(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    path = write(
        "[DEFAULT]\nport = 80%%\n" + APP + "rate = 50%%\nport_text = <%(port)s>\n"
    )

    assert load(path, "main", conf).settings == {
        "rate": "50%",
        "port_text": "<80%>",
    }


def test_set_get_and_use_of_another_section(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    path = write(
        """
        [DEFAULT]
        colour = blue

        [app:main]
        use = base
        set colour = red
        name = derived

        [app:base]
        paste.app_factory = service:plain_app
        name = base
        get tint = colour
        require = wsgi-paste PasteDeploy
        """
    )

    app = load(path, "main", conf)

    assert app.conf["colour"] == "red"
    assert app.settings == {"name": "derived", "tint": "red"}


def test_use_of_another_file_passes_settings_on(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    write(
        """
        [DEFAULT]
        colour = blue

        [app:base]
        paste.app_factory = service:plain_app
        where = %(here)s
        colour_text = %(colour)s %(percent)s
        """,
        "other dir/other.ini",
    )
    path = write(
        """
        [DEFAULT]
        colour = red
        percent = 50%%

        [app:main]
        use = config:other%%20dir/other.ini#base
        """
    )

    app = load(path, "main", conf)

    assert app.settings == {
        "where": str(Path(path).parent / "other dir"),
        "colour_text": "blue 50%",
    }


def test_another_file_without_a_name_means_its_main(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    write(APP, "other.ini")
    path = write("[app:main]\nuse = config:other.ini\n")

    assert load(path, "main", conf).conf is conf


def test_call_names_a_factory_in_place(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    path = write(
        """
        [app:main]
        use = call:service:plain_app
        filter-with = outer

        [filter:outer]
        use = call:service:plain_filter
        """
    )

    assert body_of(load(path, "main", conf).app) == "app"


def test_egg_names_an_entry_point(
    service: Any,
    conf: cfg.ConfigOpts,
    write: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(
        """
        [pipeline:main]
        pipeline = egg:wsgi-paste#debug app

        [app:app]
        use = call:service:plain_app
        """
    )

    assert body_of(load(path, "main", conf)) == "app"
    assert "RESPONSE HEADERS" in capsys.readouterr().out


def test_the_factories_are_entry_points_too(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    path = write(
        """
        [pipeline:main]
        pipeline = audit app

        [filter:audit]
        use = egg:wsgi-paste
        wsgi_paste.filter_factory = service:make_filter
        level = 3

        [app:app]
        use = egg:wsgi-paste
        wsgi_paste.app_factory = service:make_app
        """
    )

    audit = load(path, "main", conf)

    assert audit.conf is audit.app.conf is conf
    assert audit.settings == {"level": "3"}


def test_a_name_may_be_a_uri(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    write(APP, "other.ini")

    assert load(write(""), "config:other.ini", conf).conf is conf


def test_filter_app_and_filter_app_factory(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    service.wrap = lambda app, global_conf, **settings: (app, settings)
    path = write(
        """
        [filter-app:main]
        paste.filter_app_factory = service:wrap
        next = app
        level = 1

        [app:app]
        use = call:service:plain_app
        """
    )

    app, settings = load(path, "main", conf)

    assert body_of(app) == "app"
    assert settings == {"level": "1"}


def test_a_filter_filters_a_filter(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    path = write(
        """
        [pipeline:main]
        pipeline = inner app

        [filter:inner]
        use = call:service:plain_filter
        name = inner
        filter-with = outer

        [filter:outer]
        use = call:service:plain_filter
        name = outer

        [app:app]
        use = call:service:plain_app
        """
    )

    outer = load(path, "main", conf)

    assert outer.settings == {"name": "outer"}
    assert outer.app.settings == {"name": "inner"}


def test_composites_load_what_they_name(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    path = write(
        """
        [composite:main]
        paste.composite_factory = service:urlmap
        / = versions
        /v2 = images

        [app:versions]
        use = call:service:plain_app
        name = versions

        [pipeline:images]
        pipeline = egg:wsgi-paste#debug v2

        [app:v2]
        paste.app_factory = wsgi_paste:app_factory
        wsgi_paste.app_factory = service:make_app
        name = v2
        """
    )

    app = load(path, "main", conf)

    assert webob.Request.blank("/").get_response(app).text == "versions"
    assert webob.Request.blank("/v2/x").get_response(app).text == "v2"


def test_a_composite_may_use_call_and_old_spelling(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    path = write(
        """
        [composit:main]
        use = call:service:urlmap
        / = app

        [application:app]
        use = call:service:plain_app
        """
    )

    assert body_of(load(path, "main", conf)) == "app"


def test_the_file_is_read_again_by_every_load(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    assert body_of(load(write(APP + "name = 1\n"), None, conf)) == "1"
    assert body_of(load(write(APP + "name = 2\n"), None, conf)) == "2"


def test_an_application_may_load_another_with_its_own_conf(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    inner_conf = cfg.ConfigOpts()
    inner_path = write(APP, "inner.ini")

    def nesting(conf: cfg.ConfigOpts, **settings: Any) -> Any:
        inner = load(inner_path, "main", inner_conf)
        return inner, conf

    service.nesting = nesting
    path = write(
        """
        [pipeline:main]
        pipeline = late app

        [app:app]
        paste.app_factory = wsgi_paste:app_factory
        wsgi_paste.app_factory = service:nesting

        [filter:late]
        paste.filter_factory = wsgi_paste:filter_factory
        wsgi_paste.filter_factory = service:make_filter
        """
    )

    late = load(path, "main", conf)

    inner, outer_conf = late.app
    assert inner.conf is inner_conf
    assert outer_conf is late.conf is conf


def test_loads_in_several_threads_do_not_mix_their_confs(
    service: Any, write: Callable[..., str]
) -> None:
    threads = 8
    path = write(APP)
    inside = threading.Barrier(threads, timeout=30)

    def meeting(conf: cfg.ConfigOpts, **settings: Any) -> Any:
        # All are in the middle of loading at the same time.
        inside.wait()
        return conf

    service.make_app = meeting
    confs = [cfg.ConfigOpts() for _ in range(threads)]
    loaded: dict[int, object] = {}

    def load_one(number: int) -> None:
        loaded[number] = load(path, "main", confs[number])

    workers = [threading.Thread(target=load_one, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [loaded[number] for number in range(threads)] == confs


FAULTS = {
    "no such application": (
        "[app:other]\n",
        LookupError,
        "{file}: there is no section [app:main] or [composite:main] or [pipeline:main]"
        " or [filter-app:main]; the file has [app:other]",
    ),
    "an empty file": (
        "",
        LookupError,
        "{file}: there is no section [app:main] or [composite:main] or [pipeline:main]"
        " or [filter-app:main]; the file has no section",
    ),
    "an ambiguous name": (
        "[app:main]\n[pipeline:main]\n",
        LookupError,
        "{file}: 'main' is ambiguous: [app:main], [pipeline:main]",
    ),
    "a missing filter": (
        "[pipeline:main]\npipeline = audit app\n[app:app]\nuse = call:service:plain_app\n",
        LookupError,
        "{file}: [pipeline:main] pipeline: there is no section [filter:audit]; "
        "the file has [pipeline:main], [app:app]",
    ),
    "a missing filter-with": (
        "[app:main]\nuse = call:service:plain_app\nfilter-with = audit\n",
        LookupError,
        "{file}: [app:main] filter-with: there is no section [filter:audit]; "
        "the file has [app:main]",
    ),
    "a missing application in a composite": (
        "[composite:main]\nuse = call:service:urlmap\n/v2 = images\n",
        LookupError,
        "{file}: [composite:main] /v2: there is no section [app:images] or "
        "[composite:images] or [pipeline:images] or [filter-app:images]; "
        "the file has [composite:main]",
    ),
    "nothing to load": (
        "[app:main]\nname = x\n",
        LookupError,
        "{file}: [app:main]: nothing says what to load: write use = or "
        "paste.app_factory = or paste.composite_factory = or paste.composit_factory =",
    ),
    "two things to load": (
        "[app:main]\npaste.app_factory = a:b\npaste.composite_factory = a:c\n",
        LookupError,
        "{file}: [app:main]: only one of paste.app_factory and "
        "paste.composite_factory may be given",
    ),
    "a module that is not there": (
        "[app:main]\npaste.app_factory = no_such.module:app\n",
        ImportError,
        "{file}: [app:main] paste.app_factory: cannot import no_such.module:app: "
        "No module named 'no_such'",
    ),
    "an attribute that is not there": (
        "[app:main]\npaste.app_factory = service:absent\n",
        ImportError,
        "{file}: [app:main] paste.app_factory: cannot import service:absent: "
        "module 'service' has no attribute 'absent'",
    ),
    "a name without a colon": (
        "[app:main]\npaste.app_factory = service\n",
        ValueError,
        "{file}: [app:main] paste.app_factory: 'service' is not of the form "
        "module:callable",
    ),
    "a key without its value": (
        "[app:main]\npaste.app_factory = wsgi_paste:app_factory\n",
        LookupError,
        "{file}: [app:main] wsgi_paste.app_factory: this setting is missing: write "
        "wsgi_paste.app_factory = module:callable",
    ),
    "a key that names nothing": (
        APP.replace("make_app", "absent"),
        ImportError,
        "{file}: [app:main] wsgi_paste.app_factory: cannot import service:absent: "
        "module 'service' has no attribute 'absent'",
    ),
    "use of a missing section": (
        "[app:main]\nuse = base\n",
        LookupError,
        "{file}: [app:main] use: there is no section [app:base] or [composite:base] or "
        "[pipeline:base] or [filter-app:base]; the file has [app:main]",
    ),
    "use of an unknown scheme": (
        "[app:main]\nuse = service:plain_app\n",
        ValueError,
        "{file}: [app:main] use: 'service:plain_app' has an unknown scheme (known: "
        "config, egg, call; a callable is written call:service:plain_app)",
    ),
    "call of nothing": (
        "[app:main]\nuse = call:service:absent\n",
        ImportError,
        "{file}: [app:main] use: cannot import service:absent: "
        "module 'service' has no attribute 'absent'",
    ),
    "an egg that is not installed": (
        "[app:main]\nuse = egg:no-such-distribution\n",
        ImportError,
        "{file}: [app:main] use: cannot import egg:no-such-distribution#main: "
        "no-such-distribution is not installed",
    ),
    "an egg without that entry point": (
        "[app:main]\nuse = egg:wsgi-paste#absent\n",
        LookupError,
        "{file}: [app:main] use: cannot find egg:wsgi-paste#absent: "
        "wsgi-paste offers main under paste.app_factory, paste.composite_factory, "
        "paste.composit_factory",
    ),
    "another file that is not there": (
        "[app:main]\nuse = config:other.ini\n",
        OSError,
        "{file}: [app:main] use: {dir}/other.ini: cannot read it: "
        "No such file or directory",
    ),
    "a section missing from another file": (
        "[app:main]\nuse = config:present.ini#x\n",
        LookupError,
        "{file}: [app:main] use: {dir}/present.ini: there is no section [app:x] or "
        "[composite:x] or [pipeline:x] or [filter-app:x]; the file has [app:y]",
    ),
    "a section that uses itself": (
        "[app:main]\nuse = other\n[app:other]\nuse = main\n",
        ValueError,
        "{file}: [app:main]: refers to itself: [app:main] -> [app:other] -> [app:main]",
    ),
    "a composite that contains itself": (
        "[composite:main]\nuse = call:service:urlmap\n/ = main\n",
        ValueError,
        "{file}: [composite:main]: refers to itself: [composite:main] -> "
        "[composite:main]",
    ),
    "a single percent sign": (
        APP + "rate = 50% off\n",
        ValueError,
        "{file}: [app:main] rate: a % must be written %%, or be part of %(name)s with a "
        "known name",
    ),
    "a name that is not known": (
        APP + "rate = %(speed)s\n",
        ValueError,
        "{file}: [app:main] rate: a % must be written %%, or be part of %(name)s with a "
        "known name",
    ),
    "get of a missing global": (
        APP + "get rate = speed\n",
        LookupError,
        "{file}: [app:main] get rate: there is no speed in [DEFAULT]",
    ),
    "a required distribution that is not installed": (
        APP + "require = no-such-distribution\n",
        ImportError,
        "{file}: [app:main] require: No package metadata was found for "
        "no-such-distribution",
    ),
    "a pipeline without members": (
        "[pipeline:main]\npipeline =\n",
        ValueError,
        "{file}: [pipeline:main] pipeline: name at least an application",
    ),
    "a pipeline without a pipeline": (
        "[pipeline:main]\n",
        LookupError,
        "{file}: [pipeline:main] pipeline: this setting is missing",
    ),
    "a pipeline with settings": (
        "[pipeline:main]\npipeline = app\nlevel = 3\n",
        ValueError,
        "{file}: [pipeline:main] level: a pipeline takes no settings of its own",
    ),
    "a filter-app without next": (
        "[filter-app:main]\nuse = call:service:plain_filter\n",
        LookupError,
        "{file}: [filter-app:main] next: this setting is missing",
    ),
    "text before the first section": (
        "name = x\n[app:main]\n",
        ValueError,
        "{file}: line 1: a [section] must come before 'name = x'",
    ),
    "a line that is no setting": (
        "[app:main]\nwhat is this\n",
        ValueError,
        "{file}: line 2: neither a [section] nor a setting: 'what is this'",
    ),
    "a section twice": (
        "[app:main]\n[app:main]\n",
        ValueError,
        "{file}: line 2: [app:main] stands here a second time",
    ),
    "a setting twice": (
        "[app:main]\nuse = x\nuse = y\n",
        ValueError,
        "{file}: line 3: [app:main] use is set a second time",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_that_names_file_section_and_key(
    fault: Any, service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    text, family, message = FAULTS[fault]
    write("[app:y]\n", "present.ini")
    path = write(text)

    with pytest.raises(errors.LoadError) as caught:
        load(path, "main", conf)

    assert isinstance(caught.value, family)
    expected = message.replace("{file}", path).replace("{dir}", str(Path(path).parent))
    assert str(caught.value) == expected


def test_a_file_that_is_not_there_is_named(
    conf: cfg.ConfigOpts, tmp_path: Path
) -> None:
    path = str(tmp_path / "absent.ini")

    with pytest.raises(OSError, match="No such file") as caught:
        load(path, "main", conf)

    assert str(caught.value) == f"{path}: cannot read it: No such file or directory"


def test_a_file_that_is_no_text_is_named(conf: cfg.ConfigOpts, tmp_path: Path) -> None:
    path = tmp_path / "binary.ini"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ValueError, match="not UTF-8 text") as caught:
        load(str(path), "main", conf)

    assert str(caught.value).startswith(f"{path}: ")


def test_a_factorys_own_exception_passes_through_with_a_note(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    class Trouble(Exception):
        pass

    def fail(conf: cfg.ConfigOpts, **settings: Any) -> None:
        raise Trouble("no database")

    service.make_app = fail
    path = write(APP)

    with pytest.raises(Trouble, match="no database") as caught:
        load(path, "main", conf)

    assert caught.value.__dict__["__notes__"] == [f"while loading {path}: [app:main]"]


def test_the_note_of_the_innermost_section_comes_first(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    def fail(conf: cfg.ConfigOpts, **settings: Any) -> None:
        raise ZeroDivisionError

    service.make_app = fail
    path = write("[pipeline:outer]\npipeline = main\n" + APP)

    with pytest.raises(ZeroDivisionError) as caught:
        load(path, "outer", conf)

    assert caught.value.__dict__["__notes__"] == [
        f"while loading {path}: [app:main]",
        f"while loading {path}: [pipeline:outer]",
    ]


def test_a_filter_that_cannot_be_made_is_noted_before_its_pipeline(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    def strict(app: WSGIApplication, conf: cfg.ConfigOpts) -> Any:
        return app

    service.strict = strict
    path = write(
        "[pipeline:outer]\npipeline = audit main\n"
        "[filter:audit]\npaste.filter_factory = wsgi_paste:filter_factory\n"
        "wsgi_paste.filter_factory = service:strict\nlevel = 3\n" + APP
    )

    with pytest.raises(TypeError, match="'level'") as caught:
        load(path, "outer", conf)

    assert caught.value.__dict__["__notes__"] == [
        f"while loading {path}: [filter:audit]",
        f"while loading {path}: [pipeline:outer]",
    ]


def test_files_in_different_folders_that_refer_to_each_other_are_found_out(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    path = write("[app:main]\nuse = config:sub/b.ini\n")
    write("[app:main]\nuse = config:../api-paste.ini\n", "sub/b.ini")

    with pytest.raises(ValueError, match=r"refers to itself: \[app:main\] -> "):
        load(path, "main", conf)


def test_a_failed_load_leaves_no_conf_behind(
    service: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    path = write(APP.replace("make_app", "absent"))
    with pytest.raises(ImportError):
        load(path, "main", conf)

    other = cfg.ConfigOpts()
    assert load(write(APP), "main", other).conf is other
