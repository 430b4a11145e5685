"""The routes of the service, and what is behind them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsgi_api import APIMapper, DefaultMethodController, Router

from .catalogue import Catalogue
from .content import ContentController, ContentDeserializer, ContentSerializer
from .errors import ImagesResource, Nothing, Unread
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

    def __init__(self, conf: cfg.ConfigOpts, **settings: str) -> None:
        register_opts(conf)
        directory = Path(conf.images.data_dir).expanduser()
        files = Files(directory, conf.images.max_image_size)
        catalogue = Catalogue(directory / "catalogue.sqlite3")
        images = ImagesResource(
            ImagesController(catalogue, files),
            ImagesDeserializer(conf.images.page_size),
            ImagesSerializer(),
        )
        content = ImagesResource(
            ContentController(catalogue, files),
            ContentDeserializer(files.limit),
            ContentSerializer(),
        )
        mapper = APIMapper()
        one = f"{ROOT}/{{name}}"
        _connect(mapper, ROOT, images, GET="index", HEAD="index", POST="create")
        _connect(
            mapper,
            one,
            images,
            GET="show",
            HEAD="show",
            PUT="replace",
            PATCH="update",
            DELETE="delete",
        )
        _connect(
            mapper,
            f"{one}/file",
            content,
            GET="download",
            HEAD="download",
            PUT="upload",
        )
        # Last, so that it gets what nothing above has.
        mapper.connect("/{path:.*}", controller=_NOTHING, action="default")
        super().__init__(mapper)


_OTHER_METHODS = ImagesResource(DefaultMethodController(), Unread())
_NOTHING = ImagesResource(Nothing(), Unread())


def _connect(
    mapper: APIMapper, path: str, resource: ImagesResource, **actions: str
) -> None:
    """Connect each method of a path to its action, and the others to a refusal."""
    names = {"name": NAME}
    for method, action in actions.items():
        mapper.connect(
            path,
            controller=resource,
            action=action,
            requirements=names,
            conditions={"method": [method]},
        )
    others: dict[str, Any] = {
        "controller": _OTHER_METHODS,
        "allowed_methods": ", ".join([*actions, "OPTIONS"]),
        "requirements": names,
    }
    options = {"method": ["OPTIONS"]}
    mapper.connect(path, action="options", conditions=options, **others)
    mapper.connect(path, action="reject", **others)
