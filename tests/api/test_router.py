"""Router: routing arguments, path shifting, redirects, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import routes
import webob
from wsgi_api import (
    APIMapper,
    DefaultMethodController,
    RejectMethodController,
    Request,
    Resource,
    Router,
)

Call = Callable[..., webob.Response]


class Echo:
    """A WSGI application that answers with what the router left for it."""

    def __init__(self) -> None:
        self.environ: dict[str, Any] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.environ = environ
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"echo"]


@pytest.fixture(params=[APIMapper, routes.Mapper])
def mapper(request: pytest.FixtureRequest) -> Any:
    return request.param()


def test_a_request_goes_to_the_application_of_its_route(
    mapper: Any, call: Call
) -> None:
    echo = Echo()
    mapper.connect("show", "/images/{id}", controller=echo, action="show")
    router = Router(mapper)
    assert call(router, "/images/17").body == b"echo"
    url, arguments = echo.environ["wsgiorg.routing_args"]
    assert arguments == {"controller": echo, "action": "show", "id": "17"}
    assert echo.environ["routes.route"].name == "show"
    assert echo.environ["routes.url"] is url
    assert url("show", id=3) == "/images/3"


def test_methods_choose_among_the_routes_of_a_path(mapper: Any, call: Call) -> None:
    reader, writer = Echo(), Echo()
    mapper.connect("/images", controller=reader, conditions={"method": ["GET"]})
    mapper.connect("/images", controller=writer, conditions={"method": ["POST"]})
    router = Router(mapper)
    call(router, "/images", "POST", body=b"x")
    assert not reader.environ
    assert writer.environ["REQUEST_METHOD"] == "POST"


def test_head_goes_where_get_goes(mapper: Any, call: Call) -> None:
    """RFC 9110 9.1 and 9.3.2."""
    reader, writer, either = Echo(), Echo(), Echo()
    mapper.connect("/images", controller=reader, conditions={"method": ["GET"]})
    mapper.connect("/images", controller=writer, conditions={"method": ["POST"]})
    mapper.connect("/any", controller=either)
    mapper.connect("/no", controller=writer, conditions={"method": ["POST"]})
    assert call(Router(mapper), "/images", "HEAD").status_int == 200
    assert reader.environ["REQUEST_METHOD"] == "HEAD"
    assert call(Router(mapper), "/any", "HEAD").status_int == 200
    assert either.environ["REQUEST_METHOD"] == "HEAD"
    assert call(Router(mapper), "/no", "HEAD").status_int == 404
    assert call(Router(mapper), "/nothing", "HEAD").status_int == 404
    assert not writer.environ
    off = Router(mapper, head_as_get=False)
    assert call(off, "/images", "HEAD").status_int == 404
    assert call(off, "/any", "HEAD").status_int == 200


def test_a_route_that_names_head_gets_it(mapper: Any, call: Call) -> None:
    reader, header = Echo(), Echo()
    mapper.connect("/images", controller=reader, conditions={"method": "GET"})
    mapper.connect("/images", controller=header, conditions={"method": ["HEAD"]})
    call(Router(mapper), "/images", "HEAD")
    assert header.environ
    assert not reader.environ


def test_head_passes_a_refusal_of_all_other_methods(mapper: Any, call: Call) -> None:
    class Images:
        def show(self, req: Request, image_id: str) -> Any:
            return {"id": image_id}

    mapper.connect(
        "/{image_id}",
        controller=Resource(Images()),
        action="show",
        conditions={"method": ["GET"]},
    )
    reject = Resource(RejectMethodController())
    mapper.connect(
        "/{image_id}", controller=reject, action="reject", allowed_methods="GET"
    )
    app = Router(mapper)
    assert call(app, "/one", "DELETE").status_int == 405
    got, head = call(app, "/one"), call(app, "/one", "HEAD")
    assert (head.status_int, head.body) == (200, b"")
    assert head.headerlist == got.headerlist
    assert call(Router(mapper, head_as_get=False), "/one", "HEAD").status_int == 405


def test_head_follows_a_method_override(mapper: Any, call: Call) -> None:
    reader = Echo()
    mapper.connect("/images", controller=reader, conditions={"method": ["GET"]})
    app = Router(mapper, use_method_override=True)
    assert call(app, "/images?_method=head", "POST").status_int == 200
    assert reader.environ["REQUEST_METHOD"] == "POST"
    assert call(app, "/images?_method=delete", "HEAD").status_int == 404


def test_no_route_is_404_and_no_such_method_501(mapper: Any, call: Call) -> None:
    router = Router(mapper)
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"):
        assert call(router, "/nothing", method).status_int == 404
    assert call(router, "/nothing", "OPTIONS").status_int == 501


def test_a_router_without_a_list_of_methods_answers_404(
    mapper: Any, call: Call
) -> None:
    class Heat(Router):
        implemented_methods = None
        redirect_empty_path = False

    assert call(Heat(mapper), "/nothing", "OPTIONS").status_int == 404
    assert call(Heat(mapper), "").status_int == 404


def test_an_empty_path_is_sent_on(mapper: Any, call: Call) -> None:
    response = call(Router(mapper), "")
    assert response.status_int == 302
    assert response.headers["Location"] == "/"


def test_a_redirect_keeps_its_arguments_and_code(mapper: Any, call: Call) -> None:
    mapper.redirect("/old/{id}", "/new/{id}", _redirect_code="301 Moved Permanently")
    response = call(Router(mapper), "/old/17")
    assert response.status == "301 Moved Permanently"
    assert response.headers["Location"] == "/new/17"


def test_path_info_moves_the_rest_of_the_path(mapper: Any, call: Call) -> None:
    echo = Echo()
    mapper.connect("/v2/{path_info:.*}", controller=echo)
    call(Router(mapper), "/v2/images/17", environ={"SCRIPT_NAME": "/image"})
    assert echo.environ["SCRIPT_NAME"] == "/image/v2"
    assert echo.environ["PATH_INFO"] == "/images/17"
    call(Router(mapper), "/v2/")
    assert (echo.environ["SCRIPT_NAME"], echo.environ["PATH_INFO"]) == ("/v2", "/")


def test_a_newline_at_the_end_of_a_path_goes_with_the_rest(call: Call) -> None:
    echo = Echo()
    mapper = APIMapper()
    mapper.connect("/v2/{path_info:.*}", controller=echo)
    call(Router(mapper), "/v2/images%0A")
    assert echo.environ["SCRIPT_NAME"] == "/v2"
    assert echo.environ["PATH_INFO"] == "/images\n"


def test_path_info_in_the_middle_leaves_the_whole_path_behind(call: Call) -> None:
    echo = Echo()
    mapper = APIMapper()
    mapper.connect("/a/{path_info}/b", controller=echo)
    call(Router(mapper), "/a/x/b")
    assert (echo.environ["SCRIPT_NAME"], echo.environ["PATH_INFO"]) == ("/a/x/b", "/x")


def test_text_in_paths_is_decoded_for_actions_and_left_for_environ(call: Call) -> None:
    echo = Echo()
    mapper = APIMapper()
    mapper.connect("/{name}/{path_info:.*}", controller=echo)
    call(Router(mapper), "/%C3%A9/%C3%BC/x")
    assert echo.environ["wsgiorg.routing_args"][1]["name"] == "é"
    assert echo.environ["PATH_INFO"] == "/ü/x".encode().decode("latin-1")
    assert echo.environ["SCRIPT_NAME"] == "/é".encode().decode("latin-1")


def test_a_path_that_is_not_utf8_is_400(call: Call) -> None:
    mapper = APIMapper()
    mapper.connect("/{name}", controller=Echo())
    answer = call(Router(mapper), "/%ff", headers={"Accept-Language": "de"})
    assert answer.status_int == 400
    assert "Pfad" in answer.text


def test_a_router_may_match_the_bytes_of_a_path(call: Call) -> None:
    class Bytes(Router):
        decode_path = False

    echo = Echo()
    mapper = APIMapper()
    mapper.connect("/{name}/{path_info:.*}", controller=echo)
    call(Bytes(mapper), "/%ff/%fe")
    assert echo.environ["wsgiorg.routing_args"][1]["name"] == "\xff"
    assert echo.environ["PATH_INFO"] == "/\xfe"


def test_routers_can_stand_behind_one_another(call: Call) -> None:
    echo = Echo()
    inner = APIMapper()
    inner.connect("/images", controller=echo)
    outer = APIMapper()
    outer.connect("/v2{path_info:.*}", controller=Router(inner))
    assert call(Router(outer), "/v2/images").status_int == 200
    assert call(Router(outer), "/v2/nothing").status_int == 404


def test_method_override_is_off_by_default(mapper: Any, call: Call) -> None:
    echo = Echo()
    mapper.connect("/images", controller=echo, conditions={"method": ["DELETE"]})
    assert call(Router(mapper), "/images?_method=delete").status_int == 404


@pytest.mark.parametrize(
    ("path", "method", "form", "status"),
    [
        ("/images?_method=delete", "GET", None, 200),
        ("/images?_method=put", "GET", None, 404),
        ("/images?_method=", "DELETE", None, 200),
        ("/images?_method=%ff", "DELETE", None, 200),
        ("/images", "DELETE", None, 200),
        ("/images", "POST", {"_method": "DELETE"}, 200),
        ("/images", "POST", {"other": "DELETE"}, 404),
    ],
)
def test_method_override(
    mapper: Any, call: Call, path: str, method: str, form: Any, status: int
) -> None:
    echo = Echo()
    mapper.connect("/images", controller=echo, conditions={"method": ["DELETE"]})
    router = Router(mapper, use_method_override=True)
    body = {"POST": form} if form else {}
    response = call(router, path, method, **body)
    assert response.status_int == status
    if status == 200:
        # The override decides about the route only.
        assert echo.environ["REQUEST_METHOD"] == method


_PART = b'--x\r\nContent-Disposition: form-data; name="_method"'
_MULTIPART = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (_MULTIPART, _PART + b'; filename="f"\r\n\r\nDELETE\r\n--x--\r\n'),
        (
            _MULTIPART,
            _PART
            + b"\r\nContent-Type: text/plain; charset=nonsense\r\n\r\nDELETE\r\n--x--\r\n",
        ),
        ("application/x-www-form-urlencoded; charset=latin-1", b"_method=DELETE"),
        ("application/x-www-form-urlencoded", b"_method=DELETE&a=" + b"a" * 65520),
    ],
    ids=["a file", "an unknown charset", "another charset", "65537 bytes"],
)
def test_forms_that_cannot_override_the_method(
    mapper: Any, call: Call, content_type: str, body: bytes
) -> None:
    echo = Echo()
    mapper.connect("/images", controller=echo, conditions={"method": ["DELETE"]})
    mapper.connect("/images", controller=echo, conditions={"method": ["POST"]})
    router = Router(mapper, use_method_override=True)

    def routed(content_type: str, body: bytes) -> Any:
        environ = {"CONTENT_TYPE": content_type}
        call(router, "/images", "POST", body=body, environ=environ)
        return echo.environ["routes.route"].conditions["method"]

    assert routed(content_type, body) == ["POST"]
    plain = _PART + b"\r\n\r\nDELETE\r\n--x--\r\n"
    assert routed(_MULTIPART, plain) == ["DELETE"]
    largest = b"_method=DELETE&a=" + b"a" * 65519
    assert routed("application/x-www-form-urlencoded", largest) == ["DELETE"]


def test_factory_makes_a_router_with_a_mapper() -> None:
    router = Router.factory({"debug": "true"}, local="conf")
    assert isinstance(router, Router)
    assert isinstance(router.map, APIMapper)


def test_called_with_a_request_it_returns_the_application(mapper: Any) -> None:
    echo = Echo()
    mapper.connect("/images", controller=echo)
    assert Router(mapper)(webob.Request.blank("/images")) is echo


def test_reject_refuses_with_allow(mapper: Any, call: Call) -> None:
    mapper.connect(
        "/images",
        controller=Resource(RejectMethodController()),
        action="reject",
        allowed_methods="GET, POST",
    )
    response = call(Router(mapper), "/images", "OPTIONS")
    assert response.status_int == 405
    assert response.headers["Allow"] == "GET, POST"


def test_options_tells_the_methods(mapper: Any, call: Call) -> None:
    resource = Resource(DefaultMethodController())
    mapper.connect(
        "/stacks",
        controller=resource,
        action="options",
        allowed_methods="GET,POST",
        conditions={"method": "OPTIONS"},
    )
    mapper.connect(
        "/stacks", controller=resource, action="reject", allowed_methods="GET,POST"
    )
    router = Router(mapper)
    options = call(router, "/stacks", "OPTIONS")
    assert (options.status_int, options.headers["Allow"]) == (204, "GET,POST")
    refused = call(router, "/stacks", "DELETE")
    assert (refused.status_int, refused.headers["Allow"]) == (405, "GET,POST")


def test_requests_that_are_not_ours_are_routed_too(mapper: Any) -> None:
    router = Router(mapper)
    request = Request.blank("/nothing")
    assert request.get_response(router).status_int == 404
