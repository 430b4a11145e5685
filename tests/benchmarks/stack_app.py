"""The same JSON API on four frameworks; `FRAMEWORK` in the environment says on which.

`GET /v2/{tenant}/images/{id}` shows an image, `POST /v2/{tenant}/images` reads a JSON
object and answers 201. All of them take the JSON of the standard library, and what is
otherwise their default.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from api_requests import IMAGE

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def shown(tenant: str, image_id: str) -> dict[str, Any]:
    return {**IMAGE, "id": image_id, "owner": tenant}


def added(tenant: str, image: dict[str, Any]) -> dict[str, Any]:
    return {"id": image["id"], "owner": tenant, "status": "queued"}


def on_wsgi_api() -> WSGIApplication:
    import wsgi_api

    class Images:
        def show(self, req: Any, tenant: str, image_id: str) -> dict[str, Any]:
            return shown(tenant, image_id)

        def create(self, req: Any, tenant: str, body: dict[str, Any]) -> dict[str, Any]:
            return added(tenant, body)

    class Serializer(wsgi_api.JSONResponseSerializer):
        def create(self, response: Any, result: dict[str, Any]) -> None:
            response.status_int = 201
            self.default(response, result)

    images = wsgi_api.Resource(Images(), serializer=Serializer())
    mapper = wsgi_api.APIMapper()
    for method, path, action in (
        ("GET", "/v2/{tenant}/images/{image_id}", "show"),
        ("POST", "/v2/{tenant}/images", "create"),
    ):
        mapper.connect(
            path, controller=images, action=action, conditions={"method": [method]}
        )
    return wsgi_api.Router(mapper)


def on_falcon() -> WSGIApplication:
    import falcon

    class Image:
        def on_get(self, req: Any, resp: Any, tenant: str, image_id: str) -> None:
            resp.media = shown(tenant, image_id)

    class Images:
        def on_post(self, req: Any, resp: Any, tenant: str) -> None:
            resp.media = added(tenant, req.media)
            resp.status = falcon.HTTP_201

    app: Any = falcon.App()
    app.add_route("/v2/{tenant}/images/{image_id}", Image())
    app.add_route("/v2/{tenant}/images", Images())
    made: WSGIApplication = app
    return made


def on_flask() -> WSGIApplication:
    import flask

    app = flask.Flask(__name__)

    def show(tenant: str, image_id: str) -> dict[str, Any]:
        return shown(tenant, image_id)

    def create(tenant: str) -> tuple[dict[str, Any], int]:
        return added(tenant, flask.request.get_json()), 201

    one = "/v2/<tenant>/images/<image_id>"
    app.add_url_rule(one, view_func=show)
    app.add_url_rule("/v2/<tenant>/images", view_func=create, methods=["POST"])
    made: WSGIApplication = app
    return made


def on_pyramid() -> WSGIApplication:
    from pyramid.config import Configurator

    def show(request: Any) -> dict[str, Any]:
        return shown(**request.matchdict)

    def create(request: Any) -> dict[str, Any]:
        request.response.status_int = 201
        return added(request.matchdict["tenant"], request.json_body)

    with Configurator() as config:
        for view, path, method in (
            (show, "/v2/{tenant}/images/{image_id}", "GET"),
            (create, "/v2/{tenant}/images", "POST"),
        ):
            config.add_route(view.__name__, path, request_method=method)
            config.add_view(view, route_name=view.__name__, renderer="json")
        made: WSGIApplication = config.make_wsgi_app()
    return made


FRAMEWORKS: dict[str, Callable[[], WSGIApplication]] = {
    "wsgi_api": on_wsgi_api,
    "falcon": on_falcon,
    "flask": on_flask,
    "pyramid": on_pyramid,
}
application = FRAMEWORKS[os.environ["FRAMEWORK"]]()
