"""Images as resources: what clients read and write of their metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import webob
import webob.exc
from wsgi_api import JSONRequestDeserializer, JSONResponseSerializer, Request

from . import patch
from .catalogue import Catalogue, Image, NoSuchImage, Properties
from .errors import as_http_errors
from .files import Files
from .opts import MAX_PAGE_SIZE

ROOT = "/v1/images"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
READ_ONLY = frozenset(
    {"name", "status", "size", "sha256", "created_at", "updated_at", "self", "file"}
)


def view(request: webob.Request, image: Image) -> dict[str, Any]:
    """The image as clients see it: its properties, and what the service adds."""
    link = f"{request.script_name}{ROOT}/{quote(image.name)}"
    content = image.content
    return {
        **image.properties,
        "name": image.name,
        "status": "queued" if content is None else "active",
        "size": None if content is None else content.size,
        "sha256": None if content is None else content.sha256,
        "created_at": image.created_at,
        "updated_at": image.updated_at,
        "self": link,
        "file": f"{link}/file",
    }


class ImagesController:
    """The actions on images; what they return is for the serializer."""

    def __init__(self, catalogue: Catalogue, files: Files) -> None:
        self._catalogue = catalogue
        self._files = files

    def index(
        self, req: webob.Request, limit: int, marker: str | None
    ) -> dict[str, Any]:
        """Returns one page of images, with links to the first and the next one."""
        try:
            # One more than asked for tells whether there is a next page.
            found = self._catalogue.page(limit + 1, marker)
        except NoSuchImage as exc:
            raise webob.exc.HTTPBadRequest(detail=str(exc)) from exc
        page = found[:limit]
        path = f"{req.script_name}{ROOT}"
        first = {"limit": limit}
        links = {"first": f"{path}?{urlencode(first)}"}
        if len(found) > limit:
            query = {**first, "marker": page[-1].name}
            links["next"] = f"{path}?{urlencode(query)}"
        return {"images": [view(req, image) for image in page], **links}

    def create(
        self, req: webob.Request, name: str, properties: Properties
    ) -> dict[str, Any]:
        """Adds an image that has no content yet."""
        with as_http_errors():
            return view(req, self._catalogue.add(name, properties))

    def show(self, req: webob.Request, name: str) -> dict[str, Any]:
        """Returns one image."""
        with as_http_errors():
            return view(req, self._catalogue.get(name))

    def replace(
        self, req: webob.Request, name: str, properties: Properties
    ) -> dict[str, Any]:
        """Replaces all properties of an image."""
        if properties.get("name", name) != name:
            raise webob.exc.HTTPForbidden(detail="images cannot be renamed")
        # What the service sets may stand there: clients send back what they have got.
        kept = {key: properties[key] for key in properties.keys() - READ_ONLY}
        with as_http_errors():
            return view(req, self._catalogue.change(name, lambda _: kept))

    def update(
        self, req: webob.Request, name: str, operations: list[Any]
    ) -> dict[str, Any]:
        """Applies a JSON Patch to the properties of an image."""

        def change(properties: Properties) -> Properties:
            changed = patch.apply(operations, properties)
            _refuse_read_only(changed)
            return changed

        with as_http_errors():
            return view(req, self._catalogue.change(name, change))

    def delete(self, req: webob.Request, name: str) -> None:
        """Removes an image and its content."""
        with as_http_errors():
            image = self._catalogue.remove(name)
        # Last: a file that nobody refers to harms less than a reference to no file.
        if image.content is not None:
            self._files.remove(image.content)


class ImagesDeserializer(JSONRequestDeserializer):
    """From requests to the arguments of the controller's actions."""

    def __init__(self, page_size: int) -> None:
        super().__init__(duplicate_keys="reject")
        self._page_size = page_size

    def index(self, request: webob.Request) -> dict[str, Any]:
        """Reads `limit` and `marker` of the query."""
        given = request.GET.get("limit", str(self._page_size))
        if not re.fullmatch("[0-9]{1,9}", given) or int(given) == 0:
            raise webob.exc.HTTPBadRequest(detail="limit has to be a positive number")
        limit = min(int(given), MAX_PAGE_SIZE)
        return {"limit": limit, "marker": request.GET.get("marker")}

    def create(self, request: Request) -> dict[str, Any]:
        """Reads the object that names the new image."""
        properties = self._object(request)
        name = properties.pop("name", None)
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            raise webob.exc.HTTPBadRequest(
                detail="name has to consist of letters, digits, '.', '_' and '-'"
            )
        _refuse_read_only(properties)
        return {"name": name, "properties": properties}

    def replace(self, request: Request) -> dict[str, Any]:
        """Reads the object of all the properties."""
        return {"properties": self._object(request)}

    def update(self, request: Request) -> dict[str, Any]:
        """Reads a JSON Patch."""
        request.get_content_type(("application/json-patch+json",))
        return {"operations": self.from_json(self.read_body(request))}

    def _object(self, request: Request) -> dict[str, Any]:
        request.get_content_type(("application/json",))
        data = self.from_json(self.read_body(request))
        if not isinstance(data, dict):
            raise webob.exc.HTTPBadRequest(detail="the body has to be a JSON object")
        return data


class ImagesSerializer(JSONResponseSerializer):
    """From results to responses, where more than the body differs."""

    def create(self, response: webob.Response, result: Mapping[str, Any]) -> None:
        """Answers 201 with the place of the new image."""
        response.status_int = 201
        response.location = result["self"]
        self.default(response, result)

    def delete(self, response: webob.Response, result: None) -> None:
        """Answers 204, which has neither body nor headers about one."""
        response.status_int = 204
        del response.content_type
        del response.content_length


def _refuse_read_only(properties: Properties) -> None:
    refused = sorted(READ_ONLY.intersection(properties))
    if refused:
        raise webob.exc.HTTPForbidden(
            detail=f"the service alone sets {', '.join(refused)}"
        )
