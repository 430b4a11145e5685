"""What oslo.middleware makes of the ids of a request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from oslo_middleware.request_id import RequestId


def show(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """What it has put into the environ."""
    shown = {
        name: value
        for name, value in environ.items()
        if name.startswith("openstack.") and isinstance(value, str)
    }
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(shown).encode()]


app = RequestId(show)
