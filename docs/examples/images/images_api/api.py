"""The routes of the service, and what is behind them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wsgi_api import APIMapper, Resource, Router

from .catalogue import Catalogue
from .content import ContentController, ContentDeserializer, ContentSerializer
from .files import Files
from .images import (
    NAME,
    ROOT,
    ImagesController,
    ImagesDeserializer,
    ImagesSerializer,
)
from .opts import register_opts

if TYPE_CHECKING:
    from oslo_config import cfg


class API(Router):
    """The image registry as one WSGI application, made from its configuration.

    Makes the data directory. Raises `OSError` or `sqlite3.Error` when it cannot be used.
    """

    # The API speaks nothing but JSON, so its errors do not ask what Accept prefers.
    error_format = "json"
    method_not_allowed = True
    # Where there is nothing, there is nothing for any method.
    implemented_methods = None

    def __init__(self, conf: cfg.ConfigOpts, **settings: str) -> None:
        register_opts(conf)
        directory = Path(conf.images.data_dir).expanduser()
        files = Files(directory, conf.images.max_image_size)
        catalogue = Catalogue(directory / "catalogue.sqlite3")
        images = Resource(
            ImagesController(catalogue, files),
            ImagesDeserializer(conf.images.page_size),
            ImagesSerializer(),
            error_format="json",
        )
        content = Resource(
            ContentController(catalogue, files),
            ContentDeserializer(files.limit),
            ContentSerializer(),
            error_format="json",
        )
        image = f"{ROOT}/{{name}}"
        mapper = APIMapper()
        for method, path, resource, action in (
            ("GET", ROOT, images, "index"),
            ("POST", ROOT, images, "create"),
            ("GET", image, images, "show"),
            ("PUT", image, images, "replace"),
            ("PATCH", image, images, "update"),
            ("DELETE", image, images, "delete"),
            ("GET", f"{image}/file", content, "download"),
            ("PUT", f"{image}/file", content, "upload"),
        ):
            mapper.connect(
                path,
                controller=resource,
                action=action,
                conditions={"method": [method]},
                requirements={"name": NAME},
            )
        super().__init__(mapper)
