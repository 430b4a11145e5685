"""The example's API as test_servers.py puts it under one server after the other."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from oslo_config import cfg

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "images"
# A plain folder that is not installed.
sys.path.insert(0, str(EXAMPLE))

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)
    from images_api.api import API


def make() -> API:
    conf = cfg.ConfigOpts()
    # Where the data goes the environment says: OS_IMAGES__DATA_DIR.
    conf([], default_config_files=[str(EXAMPLE / "images.conf")])
    return API(conf)


application = make()


def serve_wsgiref() -> None:
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing: the pipe is for the address."""

    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


def serve_waitress() -> None:
    import waitress

    server = waitress.create_server(application, listen="127.0.0.1:0")
    port = server.effective_port
    print(f"listening on http://127.0.0.1:{port}", flush=True)
    server.run()


if __name__ == "__main__":
    {"wsgiref": serve_wsgiref, "waitress": serve_waitress}[sys.argv[1]]()
