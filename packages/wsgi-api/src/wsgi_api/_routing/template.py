"""The template of a route, for whoever counts or logs requests by it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: Where servers and middleware find it: OpenTelemetry's ``http.route``.
ROUTE: Final = "wsgi_server.route"

#: What a route leaves to the application that it leads to.
_REST: Final = "{path_info}"
#: A part of a template with its regular expression, and the older form of a part.
_PART: Final = re.compile(r"\{(\w+)(?::[^{}]*)?\}|:\(?(\w+)\)?")


@lru_cache(maxsize=4096)
def template(path: str) -> str:
    """Returns the path of a route as people write it: ``/images/{id}``.

    :param path: as the mapper was given it, with regular expressions or colons
    """
    return _PART.sub(lambda part: f"{{{part[1] or part[2]}}}", path)


def note_route(environ: WSGIEnvironment, route: Any) -> None:
    """Notes the template of a matched route in ``environ``.

    It begins with where the application is mounted, or with what the router that leads
    here has noted (OpenTelemetry: the route includes the application's root).
    """
    path = template(route.routepath)
    before = environ.get(ROUTE)
    if before is None:
        before = environ.get("SCRIPT_NAME", "")
    elif not before.endswith(_REST):
        # Asked again about the same request, as by a router that falls back to another.
        before = ""
    environ[ROUTE] = before.removesuffix(_REST).removesuffix("/") + (
        path if path.startswith("/") else f"/{path}"
    )
