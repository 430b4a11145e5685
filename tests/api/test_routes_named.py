"""The template of the matched route, for whoever counts by it."""

from __future__ import annotations

from typing import Any

import pytest
import webob
from wsgi_api import APIMapper, Resource, Router


class Images:
    def show(self, req: webob.Request, **_: Any) -> dict[str, Any]:
        return {"route": req.environ["wsgi_server.route"]}


def router(*templates: str, controller: Any = None) -> Router:
    mapper = APIMapper()
    for template in templates:
        mapper.connect(
            None,
            template,
            controller=controller or Resource(Images()),
            action="show",
            conditions={"method": ["GET"]},
        )
    return Router(mapper)


def asked(app: Any, path: str, script: str = "") -> str:
    request = webob.Request.blank(path)
    request.script_name = script
    route: str = request.get_response(app).json["route"]
    return route


@pytest.mark.parametrize(
    ("template", "path", "shown"),
    [
        ("/images", "/images", "/images"),
        ("/{tenant}/images/{id}", "/a/images/7", "/{tenant}/images/{id}"),
        ("/images/{id:[0-9]+}", "/images/42", "/images/{id}"),
        ("/images/:id", "/images/42", "/images/{id}"),
        ("/images/:(id)/file", "/images/42/file", "/images/{id}/file"),
    ],
)
def test_it_is_what_people_write(template: str, path: str, shown: str) -> None:
    assert asked(router(template), path) == shown


def test_where_it_is_mounted_belongs_to_it() -> None:
    assert asked(router("/images/{id}"), "/images/7", "/v2") == "/v2/images/{id}"


def test_routers_behind_routers_add_theirs() -> None:
    outer = router("/{tenant}/{path_info:.*}", controller=router("/images/{id}"))
    assert asked(outer, "/a/images/7") == "/{tenant}/images/{id}"


def test_a_request_that_is_routed_again_has_the_last_one() -> None:
    environ = webob.Request.blank("/a").environ
    app = router("/{one}", "/x/{other}")
    app.route(environ)
    environ["PATH_INFO"] = "/x/b"
    app.route(environ)
    assert environ["wsgi_server.route"] == "/x/{other}"
