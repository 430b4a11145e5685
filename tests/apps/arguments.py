"""What a service finds when it is loaded: its name, its arguments, its files, its log."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from oslo_config import cfg

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def _found() -> dict[str, Any]:
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt("colour"))
    conf(sys.argv[1:], project=os.environ.get("PROJECT"))
    return {
        "name": sys.argv[0],
        "arguments": sys.argv[1:],
        "prog": conf.prog,
        "colour": conf.colour,
        "files": [os.path.basename(name) for name in conf.config_file],
    }


FOUND = _found()


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    later = {"later": sys.argv, "eventlet": "eventlet" in sys.modules}
    return [json.dumps({**FOUND, **later}).encode()]
