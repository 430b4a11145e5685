"""Beside PasteDeploy itself: what it serves we serve, and what we accept serves.

Each file is loaded by PasteDeploy and by us, asked once, and checked by the outline that
`wsgi-paste check` prints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from oslo_config import cfg
from paste.deploy import loadwsgi
from started import Started
from wsgi_paste import errors, paste_deploy_app
from wsgi_paste._outline import Outline

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

BASE = """
[app:a]
paste.app_factory = service:shown_app
x = 1

[filter:f]
paste.filter_factory = service:shown_filter
y = 2

[filter:g]
paste.filter_app_factory = service:shown_filter_app
"""

#: A section of each kind, without its title.
KINDS = {
    "app": "paste.app_factory = service:shown_app\n",
    "application": "paste.app_factory = service:shown_app\n",
    "composite": "paste.composite_factory = service:shown_composite\nsub = a\n",
    "composit": "paste.composit_factory = service:shown_composite\nsub = a\n",
    "pipeline": "pipeline = g a\n",
    "filter-app": "paste.filter_factory = service:shown_filter\nnext = a\n",
}

#: The same for filters.
FILTERS = {
    "filter_factory": "paste.filter_factory = service:shown_filter\n",
    "filter_app_factory": "paste.filter_app_factory = service:shown_filter_app\n",
    "use": "use = f\ny = 3\n",
    "call": "use = call:service:shown_filter\n",
}

CASES = {
    "two spellings of app": BASE
    + "[application:main]\nuse = a\nq = 2\n[app:main]\nuse = a\nq = 1\n",
    "two spellings of composite": BASE
    + "[composit:main]\nuse = call:service:shown_composite\nsub = g\n"
    "[composite:main]\nuse = call:service:shown_composite\nsub = a\n",
    "a hidden section with a fault": BASE
    + "[app:main]\nuse = a\n[application:main]\nuse = absent\n",
    "two kinds": BASE + "[app:main]\nuse = a\n[pipeline:main]\npipeline = a\n",
    "one spelling twice": BASE + "[app:main]\nuse = a\n[app: main]\nuse = a\n",
    "a title with blanks": BASE + "[app: main ]\nuse = a\n",
    "names with blanks": BASE + "[app:my app]\nuse = a\n[filter:my f]\nuse = f\n"
    "[app:main]\nuse = my app\nfilter-with = my f\n",
    "a next with blanks": BASE
    + "[app:my app]\nuse = a\n[filter-app:main]\nuse = f\nnext = my app\n",
    "a composite with blanks": BASE
    + "[app:my app]\nuse = a\n[composite:main]\npaste.composite_factory = "
    "service:shown_composite\nsub = my app\n",
    "a get of what the user sets": "[app:b]\npaste.app_factory = service:shown_app\n"
    "get l = g\n[app:main]\nuse = b\nset g = 3\n",
    "a get of what nobody sets": "[app:main]\npaste.app_factory = service:shown_app\n"
    "get l = g\n",
    "a set that is inherited": "[DEFAULT]\ng = 1\n"
    + BASE
    + "[pipeline:main]\npipeline = f a\nset g = 3\n",
    "a default that a section overrides": "[DEFAULT]\nx = 7\n"
    + BASE
    + "[app:main]\nuse = a\n",
    "a use in [DEFAULT]": "[DEFAULT]\nuse = a\n" + BASE + "[app:main]\n",
    "two protocols of one kind": BASE
    + "[filter:z]\npaste.filter_factory = service:shown_filter\n"
    "paste.filter_app_factory = service:shown_filter_app\n"
    "[pipeline:main]\npipeline = z a\n",
    "two protocols of two kinds": BASE
    + "[app:main]\npaste.app_factory = service:shown_app\n"
    "paste.composite_factory = service:shown_composite\nsub = a\n",
    "use beside a protocol": BASE
    + "[app:main]\nuse = a\npaste.app_factory = service:absent\n",
    "an entry point's extras": "[app:main]\n"
    "paste.app_factory = service:shown_app [extra]\n",
    "no callable": "[app:main]\npaste.app_factory = service:__name__\n",
    "a filter as application": BASE + "[pipeline:main]\npipeline = f f\n",
    "an application as filter": BASE + "[pipeline:main]\npipeline = a a\n",
    "an empty pipeline": "[pipeline:main]\npipeline =\n",
    "an unknown scheme": "[app:main]\nuse = http:x\n",
    "a call without a colon": "[app:main]\nuse = call:service\n",
    "a server with a filter": BASE + "[app:main]\nuse = a\n"
    "[server:main]\npaste.server_factory = service:shown_app\nfilter-with = absent\n",
    "an egg": BASE + "[filter:z]\nuse = egg:wsgi-paste#debug\n"
    "[pipeline:main]\npipeline = z a\n",
    "an egg's missing entry": "[app:main]\nuse = egg:wsgi-paste#absent\n",
    "an egg's entry of another kind": "[app:main]\nuse = egg:wsgi-paste#debug\n",
    "another file": "[app:main]\nuse = config:other.ini#a\nx = 3\nset g = 4\n",
    "a filter of another file": BASE
    + "[pipeline:main]\npipeline = config:other.ini#f config:other.ini#p\n",
    "a name with a hash": "[app:main]\nuse = config:other.ini#w#z\n",
    "a folder in Windows' way": "[app:main]\nuse = config:sub\\other.ini#a\n",
    "a quoted path": "[app:main]\nuse = config:a%%20b.ini#a\n",
    "a quoted hash": "[app:main]\nuse = config:a%%23b.ini#a\n",
    "a scheme in capitals": "[app:main]\nuse = CONFIG:other.ini#a\n",
    "a file that is not there": "[app:main]\nuse = config:absent.ini\n",
}
for kind, body in KINDS.items():
    main = f"{BASE}[{kind}:main]\n{body}"
    other = f"{BASE}[{kind}:m]\n{body}"
    CASES |= {
        f"{kind}, filter-with": f"{main}filter-with = f\nset z = 9\n",
        f"{kind}, filter-with of an egg": f"{main}filter-with = egg:wsgi-paste#debug\n",
        f"{kind}, unknown filter-with": f"{main}filter-with = absent\n",
        f"{kind}, a filter-with that has one": f"{main}filter-with = h\n"
        "[filter:h]\nuse = g\nfilter-with = f\n",
        f"{kind}, used": f"{other}[app:main]\nuse = m\nx = 5\n",
        f"{kind}, used, filter-with": f"{other}[app:main]\nuse = m\nfilter-with = f\n",
        f"{kind}, used, filter-with twice": f"{other}filter-with = g\n"
        "[app:main]\nuse = m\nfilter-with = f\n",
        f"{kind}, used by a composite": f"{other}[composite:main]\nuse = m\nsub = a\n",
        f"{kind}, in a pipeline": f"{other}[pipeline:main]\npipeline = f m\n",
        f"{kind}, next": f"{other}[filter-app:main]\nuse = f\nnext = m\n",
        f"{kind}, a setting more": f"{main}extra = 1\n",
        f"{kind}, get": f"[DEFAULT]\nv = 7\n{main}get w = v\n",
        f"{kind}, get of its own set": f"{main}set v = 4\nget w = v\n",
        f"{kind}, require": f"{main}require = PasteDeploy\n",
        f"{kind}, require what is not there": f"{main}require = no-such-thing\n",
    }
for name, body in FILTERS.items():
    h = f"{BASE}[filter:h]\n{body}"
    main = f"{BASE}[filter-app:main]\n{body}next = a\n"
    CASES |= {
        f"filter by {name}": f"{h}[pipeline:main]\npipeline = h a\n",
        f"filter by {name}, filter-with": f"{h}filter-with = g\n"
        "[pipeline:main]\npipeline = h a\n",
        f"filter by {name}, used, filter-with twice": f"{h}filter-with = g\n"
        "[filter:k]\nuse = h\nfilter-with = f\n[pipeline:main]\npipeline = k a\n",
        f"filter by {name}, for an application": f"{h}[app:main]\nuse = a\n"
        "filter-with = h\n",
        f"filter by {name}, in a filter-app": main,
        f"filter by {name}, in a filter-app, filter-with": f"{main}filter-with = g\n",
    }
CALLS = {
    "a filter of a pipeline": "[pipeline:main]\npipeline = call:service:shown_filter a\n",
    "the end of a pipeline": "[pipeline:main]\npipeline = f call:service:shown_app\n",
    "a filter-with": "[app:main]\nuse = a\nfilter-with = call:service:shown_filter\n",
    "a filter-app": "[filter-app:main]\nuse = call:service:shown_filter\nnext = a\n",
    "a next": "[filter-app:main]\nuse = f\nnext = call:service:shown_app\n",
    "a composite": "[composite:main]\nuse = call:service:shown_composite\nsub = a\n",
    "what a composite asks for": "[composite:main]\npaste.composite_factory = "
    "service:shown_composite\nsub = call:service:shown_app\n",
    "a dotted name": "[app:main]\nuse = call:service:Holder.make_app\n",
}
CASES |= {f"call in {where}": BASE + text for where, text in CALLS.items()}


@pytest.fixture
def shown(service: Any, write: Callable[..., str]) -> None:
    """The factories of the files; what they make says in its answer what it got."""

    def said(
        kind: str,
        global_conf: dict[str, str],
        settings: dict[str, str],
        inner: Iterable[bytes] = (),
    ) -> list[bytes]:
        known = {k: v for k, v in global_conf.items() if k not in ("here", "__file__")}
        head = f"{kind} {sorted(known.items())} {sorted(settings.items())}"
        return [head.encode(), b"(", *inner, b")"]

    def shown_app(global_conf: dict[str, str], **settings: Any) -> Any:
        def app(
            environ: dict[str, Any], start_response: StartResponse
        ) -> Iterable[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return said("app", global_conf, settings)

        return app

    def shown_filter_app(
        app: WSGIApplication, global_conf: dict[str, str], **settings: Any
    ) -> Any:
        return lambda environ, start_response: said(
            "filter", global_conf, settings, app(environ, start_response)
        )

    def shown_filter(global_conf: dict[str, str], **settings: Any) -> Any:
        return lambda app: shown_filter_app(app, global_conf, **settings)

    def shown_composite(
        loader: Any, global_conf: dict[str, str], sub: Any, **settings: Any
    ) -> Any:
        app = loader.get_app(sub, global_conf=global_conf)
        return shown_filter_app(app, global_conf, **settings)

    def nameless_composite(loader: Any, global_conf: dict[str, str]) -> Any:
        return loader.get_app(global_conf=global_conf)

    service.shown_app = shown_app
    service.shown_filter = shown_filter
    service.shown_filter_app = shown_filter_app
    service.shown_composite = shown_composite
    service.nameless_composite = nameless_composite
    service.Holder.make_app = shown_app
    write(f"{BASE}[pipeline:p]\npipeline = g a\n[app:w#z]\nuse = a\n", "other.ini")
    for name in ("sub/other.ini", "a b.ini", "a#b.ini"):
        write(BASE, name)


def answer(app: WSGIApplication) -> bytes:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    return b"".join(app(environ, Started()))


def answer_of_pastedeploy(path: str, name: str = "main") -> bytes | None:
    try:
        return answer(loadwsgi.loadapp(f"config:{path}", name))
    except Exception:  # noqa: BLE001  it has one of any kind for each fault
        return None


def answer_of_ours(path: str, conf: cfg.ConfigOpts, name: str = "main") -> bytes | None:
    try:
        app = paste_deploy_app(path, name, conf)
    except errors.LoadError:
        return None
    return answer(app)


@pytest.mark.parametrize("case", CASES)
def test_what_pastedeploy_serves_is_served_and_what_is_accepted_serves(
    shown: Any, conf: cfg.ConfigOpts, write: Callable[..., str], case: Any
) -> None:
    path = write(CASES[case])

    theirs = answer_of_pastedeploy(path)
    ours = answer_of_ours(path, conf)
    faults = Outline(path).faults(imports=True)

    assert theirs in (ours, None)
    assert (ours is None) == bool(faults), faults


@pytest.mark.parametrize(
    ("case", "filters"),
    [
        *[(f"{kind}, filter-with", 1) for kind in ("app", "application")],
        *[(f"{kind}, filter-with", 2) for kind in ("composite", "composit")],
        *[(f"{kind}, filter-with", 2) for kind in ("pipeline", "filter-app")],
        ("pipeline, used, filter-with twice", 3),
        ("filter-app, a filter-with that has one", 3),
        ("filter by call, in a filter-app, filter-with", 2),
        *[(f"call in {where}", 1) for where in CALLS if where != "a dotted name"],
        ("call in a dotted name", 0),
    ],
)
def test_sections_that_pastedeploy_makes_wrongly_or_not_at_all_serve(
    shown: Any, conf: cfg.ConfigOpts, write: Callable[..., str], case: Any, filters: Any
) -> None:
    told = answer_of_ours(write(CASES[case]), conf)

    assert told is not None
    assert (told.count(b"filter "), told.count(b"app ")) == (filters, 1)


@pytest.mark.parametrize("name", ["#main", "#a", ""])
def test_a_file_with_a_hash_in_its_name_may_be_used(
    shown: Any, conf: cfg.ConfigOpts, write: Callable[..., str], name: str
) -> None:
    write(f"{BASE}[app:main]\nuse = a\n", "a#b.ini")
    path = write(f"[app:main]\nuse = config:a#b.ini{name}\n")

    assert answer_of_ours(path, conf) == b"app [] [('x', '1')]()"
    assert Outline(path).faults(imports=True) == []


@pytest.mark.parametrize(
    ("title", "serves"),
    [("app", True), ("application", True), ("composite", True), ("pipeline", False)],
)
def test_a_factory_may_ask_for_the_section_without_a_name(
    shown: Any, conf: cfg.ConfigOpts, write: Callable[..., str], title: Any, serves: Any
) -> None:
    path = write(
        f"{BASE}[composite:m]\npaste.composite_factory = service:nameless_composite\n"
        f"[{title}]\n{KINDS[title]}"
    )

    theirs = answer_of_pastedeploy(path, "m")
    faults = Outline(path).faults(imports=True)

    assert answer_of_ours(path, conf, "m") == theirs
    assert (theirs is not None, faults == []) == (serves, serves)


def test_the_spelling_that_counts_is_the_one_that_is_drawn(
    shown: Any, write: Callable[..., str]
) -> None:
    outline = Outline(write(CASES["two spellings of app"]))

    assert [root.title for root in outline.roots()] == ["app:main"]


def test_one_entry_point_of_two_kinds_is_ambiguous(
    shown: Any,
    conf: cfg.ConfigOpts,
    write: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # PasteDeploy refuses the same with a LookupError.
    folder = Path(tmp_path, "double-1.0.dist-info")
    folder.mkdir()
    folder.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: double\n")
    folder.joinpath("entry_points.txt").write_text(
        "[paste.app_factory]\nmain = service:shown_app\n"
        "[paste.composite_factory]\nmain = service:shown_composite\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    path = write("[app:main]\nuse = egg:double\n")

    with pytest.raises(LookupError, match=r"egg:double#main is ambiguous.*composite"):
        paste_deploy_app(path, None, conf)
    with pytest.raises(LookupError):
        loadwsgi.loadapp(f"config:{path}")


@pytest.mark.parametrize(
    "uses", ["paste.app_factory = wsgi_paste:app_factory", "use = egg:wsgi-paste"]
)
def test_check_misses_the_setting_that_a_factory_of_ours_needs(
    shown: Any, write: Callable[..., str], uses: Any
) -> None:
    path = write(f"[app:main]\n{uses}\n")

    [fault] = Outline(path).faults(imports=True)

    assert str(fault) == (
        f"{path}: [app:main] wsgi_paste.app_factory: this setting is missing: "
        "write wsgi_paste.app_factory = module:callable"
    )


def test_the_user_of_a_section_may_name_what_a_factory_of_ours_makes(
    shown: Any, conf: cfg.ConfigOpts, write: Callable[..., str]
) -> None:
    path = write(
        """
        [app:base]
        use = egg:wsgi-paste

        [app:main]
        use = base
        wsgi_paste.app_factory = service:make_app
        """
    )

    assert Outline(path).faults(imports=True) == []
    loaded: Any = paste_deploy_app(path, None, conf)
    assert loaded.conf is conf
