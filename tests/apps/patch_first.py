"""Any application as an eventlet service has it: the process is patched first.

The third form of the fixture `engine` loads applications through here; see `live.FORMS`.
"""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

from typing import Any  # noqa: E402

from wsgi_server._command import loader  # noqa: E402


def load(uri: str) -> Any:
    """The application that `uri` (`module:name`) names; imported when all is patched."""
    return loader.load(uri, None)
