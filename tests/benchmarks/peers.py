"""Starts a server that has no command of its own, with limits wide enough to be measured."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

BACKLOG = 1024
#: waitress and cheroot turn away, or close, idle connections beyond a smaller number.
CONNECTIONS = 10000


def serve_eventlet(args: argparse.Namespace) -> None:
    import eventlet
    import eventlet.wsgi

    sock = eventlet.listen(("127.0.0.1", args.port), backlog=BACKLOG)
    if args.cert:
        sock = eventlet.wrap_ssl(sock, certfile=args.cert, server_side=True)
    # Its pool counts connections, and stops at 1,000.
    eventlet.wsgi.server(
        sock,
        args.app,
        log=args.log,
        log_output=args.log is not None,
        max_size=CONNECTIONS,
        debug=False,
    )


def serve_gevent(args: argparse.Namespace) -> None:
    from gevent.pywsgi import WSGIServer

    tls = {"certfile": args.cert, "keyfile": args.cert} if args.cert else {}
    WSGIServer(
        ("127.0.0.1", args.port), args.app, log=args.log, backlog=BACKLOG, **tls
    ).serve_forever()


def serve_waitress(args: argparse.Namespace) -> None:
    import waitress

    waitress.serve(
        args.app,
        host="127.0.0.1",
        port=args.port,
        threads=args.threads,
        connection_limit=CONNECTIONS,
        # select() ends at descriptor 1,023.
        asyncore_use_poll=True,
        _quiet=True,
    )


def serve_cheroot(args: argparse.Namespace) -> None:
    from cheroot.ssl.builtin import BuiltinSSLAdapter
    from cheroot.wsgi import Server

    server = Server(
        ("127.0.0.1", args.port),
        args.app,
        numthreads=args.threads,
        request_queue_size=BACKLOG,
    )
    server.keep_alive_conn_limit = CONNECTIONS
    server.timeout = 75
    if args.cert:
        server.ssl_adapter = BuiltinSSLAdapter(args.cert, args.cert)
    server.start()


def serve_bjoern(args: argparse.Namespace) -> None:
    import bjoern

    bjoern.run(args.app, "127.0.0.1", args.port)


SERVE: dict[str, Callable[[argparse.Namespace], None]] = {
    "eventlet": serve_eventlet,
    "gevent": serve_gevent,
    "waitress": serve_waitress,
    "cheroot": serve_cheroot,
    "bjoern": serve_bjoern,
}


def _load(name: str) -> WSGIApplication:
    module, _, attribute = name.partition(":")
    app: WSGIApplication = getattr(importlib.import_module(module), attribute)
    return app


def main() -> None:
    """Serves until it is terminated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("app", type=_load, help="MODULE:NAME")
    parser.add_argument("name", choices=SERVE)
    parser.add_argument("port", type=int)
    parser.add_argument("--log", type=argparse.FileType("a"))
    parser.add_argument("--cert")
    parser.add_argument("--threads", type=int, default=64)
    args = parser.parse_args()
    SERVE[args.name](args)


if __name__ == "__main__":
    main()
