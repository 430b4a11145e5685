"""The service that a drop-in works for, where it is installed.

A service catches the exceptions that it defines; look-alikes would pass its handlers and
reach the client as 500. So the drop-ins take the service's own classes, and without the
service the ones of wsgi_api.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any


def installed(name: str) -> Any:
    """The module `name`, or None when its distribution is not installed.

    An error inside the module is the service's own and propagates.
    """
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        return None
    return importlib.import_module(name)
