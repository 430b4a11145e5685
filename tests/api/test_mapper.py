"""APIMapper: Routes' semantics, judged by Routes."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest
import routes
from hypothesis import example, given, settings
from hypothesis import strategies as st
from routes.util import RoutesException
from wsgi_api import APIMapper
from wsgi_api._routing import mapper as mapping
from wsgi_api._routing.index import _SLASH_FREE, Index


def _both(**kwargs: Any) -> tuple[APIMapper, routes.Mapper]:
    return APIMapper(register=False, **kwargs), routes.Mapper(register=False, **kwargs)


def _same(ours: APIMapper, theirs: routes.Mapper, url: str, **environ: str) -> Any:
    """Match with both, and return what they agreed on."""
    found = ours.routematch(url, environ or None)
    expected = theirs.routematch(url, environ or None)
    if expected is None:
        assert found is None
        return None
    assert found is not None
    assert found[0] == expected[0]
    assert ours.matchlist.index(found[1]) == theirs.matchlist.index(expected[1])
    return found[0]


_NAMES = st.sampled_from(["id", "name", "tenant"])
_LITERALS = st.sampled_from(["a", "b", "ab", "a.b", "new"])
_PIECES = st.one_of(
    _LITERALS,
    _NAMES.map("{{{}}}".format),
    st.sampled_from(
        [
            "{id:[0-9]+}",
            "{id:a|b}",
            "{name:.*}",
            "{name:[^/]+}",
            "{path_info:.*}",
            "{.format}",
            "x{id}",
            "{id}.{format}",
            "{id}{.format}",
            "{id:[a-z-]+}b",
            ":id",
            ":(id)",
            "*rest",
        ]
    ),
)
_PATHS = st.lists(_PIECES, max_size=4).map(lambda pieces: "/" + "/".join(pieces))
_CONDITIONS = st.sampled_from(
    [None, {"method": ["GET"]}, {"method": ["GET", "POST"]}, {"method": "DELETE"}]
)
_ROUTES = st.lists(st.tuples(_PATHS, _CONDITIONS), min_size=1, max_size=6)
_SEGMENTS = st.sampled_from(["a", "b", "ab", "a.b", "new", "1", "x1", "b.json", ""])
_URLS = st.lists(_SEGMENTS, max_size=5).map(lambda parts: "/" + "/".join(parts))
_ENDINGS = st.sampled_from(["", "", "", "/", "\n", "x\n"])
_METHODS = st.sampled_from(["GET", "POST", "DELETE", "HEAD", "LOCK", "E"])


@settings(deadline=None, derandomize=True, max_examples=400)
@given(
    paths=_ROUTES,
    minimize=st.booleans(),
    urls=st.lists(st.tuples(_URLS, _ENDINGS), min_size=1, max_size=8),
    method=_METHODS,
)
@example(
    paths=[("/{id}/a", None), ("/a/{id}", None), ("/{path_info:.*}", None)],
    minimize=False,
    urls=[("/a/a", ""), ("/b/a", ""), ("/b/b", ""), ("/a", "\n")],
    method="GET",
)
def test_any_routes_match_as_in_routes(
    paths: list[tuple[str, Any]],
    minimize: bool,
    urls: list[tuple[str, str]],
    method: str,
) -> None:
    ours, theirs = _both(explicit=not minimize)
    connected = 0
    for mapper in (ours, theirs):
        mapper.minimization = minimize
        for number, (path, conditions) in enumerate(paths):
            if (
                path.count("id") > 1
                or path.count("name") > 1
                or path.count("format") > 1
            ):
                continue  # a name twice is an error in Routes; tested below
            if path.count("tenant") > 1 or path.count("rest") > 1:
                continue
            if path.count("path_info") > 1:
                continue
            kwargs = {"conditions": dict(conditions)} if conditions else {}
            mapper.connect(path, controller=f"c{number}", action="act", **kwargs)
            connected += 1
        mapper.create_regs([])
    for url, ending in urls:
        _same(ours, theirs, url + ending, REQUEST_METHOD=method)
        _same(ours, theirs, url + ending)


def test_the_longest_literal_beginning_comes_first_then_the_order() -> None:
    ours, theirs = _both()
    for mapper in (ours, theirs):
        mapper.connect("/{anything}", controller="first")
        mapper.connect("/images", controller="second")
        mapper.connect("/images", controller="third")
    assert _same(ours, theirs, "/images") == {"controller": "second"}
    assert _same(ours, theirs, "/others") == {
        "controller": "first",
        "anything": "others",
    }


def test_conditions_on_host_and_function() -> None:
    ours, theirs = _both()
    for mapper in (ours, theirs):
        mapper.sub_domains = True
        mapper.connect("/", controller="tenant", conditions={"sub_domain": ["acme"]})
        mapper.connect("/", controller="any", conditions={"sub_domain": True})
        mapper.connect("/", controller="bare", conditions={"sub_domain": False})
        mapper.connect(
            "/f",
            controller="function",
            conditions={"function": lambda environ, match: "X" in environ},
        )
    for host in ("acme.example.org", "other.example.org", "example.org", ""):
        environ = {"HTTP_HOST": host, "REQUEST_METHOD": "GET"}
        _same(ours, theirs, "/", **environ)
        _same(ours, theirs, "/f", **environ, X="1")
        _same(ours, theirs, "/f", **environ)


def test_requirements_defaults_and_formats() -> None:
    ours, theirs = _both()
    for mapper in (ours, theirs):
        mapper.connect("/y/{year}", controller="y", requirements={"year": r"\d{4}"})
        mapper.connect("/y/{year}", controller="z", year="2000")
        mapper.connect("/f/{id}{.format}", controller="f")
        mapper.connect("/u/{user}@{host}", controller="u")
    for url in (
        "/y/2024",
        "/y/24",
        "/y/",
        "/f/1",
        "/f/1.json",
        "/f/1.2.json",
        "/u/a@b",
        "/u/a",
        "/u/a@b/c",
    ):
        _same(ours, theirs, url)


def test_prefix() -> None:
    ours, theirs = _both()
    for mapper in (ours, theirs):
        mapper.prefix = "/api"
        mapper.connect("/images/{id}", controller="c")
        mapper.connect("/", controller="root")
    for url in ("/api/images/1", "/images/1", "/api", "/api/", "/apix/images/1"):
        _same(ours, theirs, url)


def test_resources_collections_and_submappers() -> None:
    ours, theirs = _both()
    for mapper in (ours, theirs):
        mapper.resource("image", "images", member={"file": "PUT"})
        collection = mapper.collection("tasks", "task")
        collection.member.link("stop", method="POST")
        with mapper.submapper(path_prefix="/{tenant_id}", controller="stacks") as sub:
            sub.connect(
                "stacks", "/stacks", action="index", conditions={"method": "GET"}
            )
    urls = (
        "/images",
        "/images.json",
        "/images/1",
        "/images/1.json",
        "/images/1/file",
        "/images/new",
        "/images/1/edit",
        "/tasks/1/stop",
        "/tasks",
        "/t/stacks",
    )
    for url, method in itertools.product(urls, ("GET", "POST", "PUT", "DELETE")):
        _same(ours, theirs, url, REQUEST_METHOD=method)


def test_routes_added_later_count() -> None:
    mapper = APIMapper()
    mapper.connect("/a", controller="a")
    assert mapper.match("/a") == {"controller": "a"}
    assert mapper.match("/b") is None
    mapper.connect("/b", controller="b")
    assert mapper.match("/b") == {"controller": "b"}


def test_routes_added_later_keep_the_controllers() -> None:
    mapper = APIMapper(controller_scan=None)
    mapper.connect("/{controller}", action="a")
    with pytest.raises(RoutesException):
        mapper.match("/images")
    mapper.create_regs(["images"])
    mapper.connect("/x/{controller}", action="b")
    assert mapper.match("/x/images") == {"controller": "images", "action": "b"}
    assert mapper.match("/x/tasks") is None


@pytest.mark.parametrize("scan", [lambda: ["images"], ["images"]])
def test_controllers_are_scanned(scan: Any) -> None:
    ours, theirs = _both(controller_scan=scan)
    for mapper in (ours, theirs):
        mapper.connect("/{controller}/{action}")
    assert _same(ours, theirs, "/images/show") == {
        "controller": "images",
        "action": "show",
    }
    assert _same(ours, theirs, "/tasks/show") is None


def test_controllers_are_scanned_in_a_directory() -> None:
    seen = []

    def scan(directory: str) -> list[str]:
        seen.append(directory)
        return ["images"]

    mapper = APIMapper(controller_scan=scan, directory="somewhere", always_scan=True)
    mapper.connect("/{controller}")
    assert mapper.match("/images") == {"controller": "images"}
    assert mapper.match("/images") == {"controller": "images"}
    assert seen[-2:] == ["somewhere", "somewhere"]


@pytest.mark.parametrize("path", ["/{id}/{id}", "/{not-a-name}"])
def test_what_routes_refuses_is_refused(path: str) -> None:
    for mapper in _both():
        mapper.connect(path, controller="c")
        with pytest.raises(Exception, match=r"redefinition|bad character"):
            mapper.match("/1/2")


def test_an_empty_path_matches_its_route() -> None:
    mapper = APIMapper()
    mapper.connect("", controller="empty")
    assert mapper.routematch("")[0] == {"controller": "empty"}
    assert mapper.routematch("/") is None


def test_the_path_can_come_from_the_environ() -> None:
    mapper = APIMapper()
    mapper.connect("/a", controller="a")
    found = mapper.routematch(environ={"PATH_INFO": "/a", "REQUEST_METHOD": "GET"})
    assert found[0] == {"controller": "a"}
    with pytest.raises(RoutesException):
        mapper.routematch()


@pytest.mark.parametrize("prefix", [None, "/a", "/api"])
def test_debug_tells_what_was_tried(prefix: str | None) -> None:
    ours, theirs = _both()
    for mapper in (ours, theirs):
        mapper.debug = True
        mapper.prefix = prefix
        mapper.connect("/a/{id}", controller="a", conditions={"method": ["GET"]})
        mapper.connect("/{name}", controller="b")
    for url, method in (
        ("/a/1", "GET"),
        ("/a/1", "PUT"),
        ("/b", "GET"),
        ("/a/b/c", "GET"),
    ):
        environ = {"REQUEST_METHOD": method}
        found, expected = ours.routematch(url, environ), theirs.routematch(url, environ)
        assert found[0] == expected[0]
        assert [tried["regexp"] for tried in found[2]] == [
            tried["regexp"] for tried in expected[2]
        ]


def test_allowed_methods() -> None:
    mapper = APIMapper()
    mapper.connect("/images", controller="a", conditions={"method": ["POST", "GET"]})
    mapper.connect("/images/{id}", controller="b", conditions={"method": "DELETE"})
    mapper.connect("/any", controller="c")
    assert mapper.allowed_methods("/images") == ["GET", "POST"]
    assert mapper.allowed_methods("/images/1", {"HTTP_HOST": "x"}) == ["DELETE"]
    assert mapper.allowed_methods("/any") == ["DELETE", "GET", "POST"]
    assert mapper.allowed_methods("/nothing") == []
    assert APIMapper().allowed_methods("/") == []


def test_arguments_are_fresh_for_every_match() -> None:
    mapper = APIMapper()
    mapper.connect("/a", controller="a")
    mapper.routematch("/a")[0]["controller"] = "changed"
    assert mapper.routematch("/a")[0] == {"controller": "a"}


def test_threads_may_match_first_together() -> None:
    mapper = APIMapper()
    for number in range(50):
        mapper.connect(f"/r{number}/{{id}}{{.format}}", controller=f"c{number}")
    start = threading.Barrier(8)
    found: list[Any] = []

    def match() -> None:
        start.wait()
        found.append([mapper.match(f"/r{n}/1.json")["controller"] for n in range(50)])

    threads = [threading.Thread(target=match) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[f"c{number}" for number in range(50)]] * 8


def test_a_route_connected_while_the_index_is_built_counts_from_the_next_match(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mapper = APIMapper()
    mapper.connect("/a", controller="a")

    def index(routes: Any) -> Index:
        built = Index(routes)
        monkeypatch.undo()
        mapper.connect("/late", controller="late")
        return built

    monkeypatch.setattr(mapping, "Index", index)
    assert mapper.match("/a") == {"controller": "a"}
    assert mapper.match("/late") == {"controller": "late"}


def test_a_scan_for_controllers_may_connect_routes() -> None:
    mapper = APIMapper(always_scan=True, controller_scan=lambda: scan())

    def scan() -> list[str]:
        mapper.connect("/scanned", controller="c")
        return ["images"]

    mapper.connect("/{controller}/{action}")
    assert mapper.match("/images/show") == {"controller": "images", "action": "show"}
    assert mapper.match("/scanned") == {"controller": "c"}


class _Lock:
    """A lock that comes free when another thread has done its work under it."""

    def __init__(self, work: Any) -> None:
        self._lock = threading.RLock()
        self._work = work

    def __enter__(self) -> None:
        work, self._work = self._work, None
        if work:
            work()
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self._lock.release()

    def acquire(self) -> None:
        self.__enter__()

    def release(self) -> None:
        self.__exit__()


def test_connecting_waits_for_an_index_that_is_being_built() -> None:
    mapper = APIMapper()
    mapper.connect("/a", controller="a")
    known = []
    mapper.__dict__["create_regs_lock"] = _Lock(
        lambda: known.append(len(mapper.matchlist))
    )
    mapper.connect("/b", controller="b")
    assert known == [1]
    assert mapper.match("/b") == {"controller": "b"}


def test_an_index_that_another_thread_has_built_is_not_built_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = []

    def index(routes: Any) -> Index:
        built.append(Index(routes))
        return built[-1]

    monkeypatch.setattr(mapping, "Index", index)
    mapper = APIMapper()
    mapper.connect("/a", controller="a")
    mapper.__dict__["create_regs_lock"] = _Lock(lambda: mapper.match("/a"))
    assert mapper.match("/a") == {"controller": "a"}
    assert len(built) == 1


def test_a_new_index_leaves_the_expressions_of_routes_that_other_threads_match() -> (
    None
):
    mapper = APIMapper()
    mapper.sub_domains = True
    mapper.connect("/a/{id}", controller="a")
    mapper.match("/a/1")
    expression = mapper.matchlist[0].regmatch
    mapper.connect("/b", controller="b")
    assert mapper.match("/b")
    assert expression is not None
    assert mapper.matchlist[0].regmatch is expression


@pytest.mark.parametrize(
    ("requirement", "free"),
    [
        (r"\d+", True),
        (r"[0-9a-f-]+", True),
        (r"[A-Za-z0-9_.]{1,64}", True),
        (r"(?:a|b)c?", True),
        (r".*", False),
        (r"[^.]+", False),
        (r"\D", False),
        (r"[!-~]", False),
        (r"[+-9]", False),
        (r"a/b", False),
        (r"[^/]+", False),
        (r"\x2f", False),
        (r"(?!x)y", False),
    ],
)
def test_requirements_that_cannot_match_a_slash_are_known(
    requirement: str, free: bool
) -> None:
    assert (_SLASH_FREE.fullmatch(requirement) is not None) is free


@pytest.mark.parametrize("prefix", ["", "/{tenant_id}", "/{tenant_id:[0-9a-f]+}"])
def test_the_number_of_routes_does_not_matter_to_what_is_tried(prefix: str) -> None:
    mapper = APIMapper()
    for number in range(300):
        mapper.connect(f"{prefix}/r{number}/{{id}}", controller=f"c{number}")
    at = prefix and "/0a"
    assert mapper.match(f"{at}/r299/1")["controller"] == "c299"
    candidates, _ = mapper._current_index().find(f"{at}/r299/1", "GET")
    assert len(candidates) == 1


def test_url_generation_is_that_of_routes() -> None:
    ours, theirs = _both()
    for mapper in (ours, theirs):
        mapper.connect("image", "/images/{id}", controller="c", action="show")
    for mapper in (ours, theirs):
        url = routes.URLGenerator(mapper, {"HTTP_HOST": "h", "SCRIPT_NAME": "/s"})
        assert url("image", id=1) == "/s/images/1"
        assert url(controller="c", action="show", id="é") == "/s/images/%C3%A9"
