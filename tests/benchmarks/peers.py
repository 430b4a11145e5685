"""Starts a server that has no command of its own: NAME PORT [LOG|-] [CERT|-] [THREADS]."""

from __future__ import annotations

import sys

from app import application


def main() -> None:
    """Serves until it is terminated."""
    name, port = sys.argv[1], int(sys.argv[2])
    log, cert, threads = [*sys.argv[3:], *"---"][:3]
    stream = None if log == "-" else open(log, "a")  # noqa: SIM115  for good
    if name == "eventlet":
        import eventlet
        import eventlet.wsgi

        sock = eventlet.listen(("127.0.0.1", port), backlog=1024)
        if cert != "-":
            sock = eventlet.wrap_ssl(sock, certfile=cert, server_side=True)
        eventlet.wsgi.server(
            sock, application, log=stream, log_output=stream is not None, debug=False
        )
    elif name == "gevent":
        from gevent.pywsgi import WSGIServer

        WSGIServer(
            ("127.0.0.1", port), application, log=stream, backlog=1024
        ).serve_forever()
    elif name == "waitress":
        import waitress

        waitress.serve(
            application,
            host="127.0.0.1",
            port=port,
            threads=int(threads),
            connection_limit=2000,
            _quiet=True,
        )
    elif name == "cheroot":
        from cheroot.wsgi import Server

        Server(
            ("127.0.0.1", port), application, numthreads=64, request_queue_size=1024
        ).start()
    elif name == "bjoern":
        import bjoern

        bjoern.run(application, "127.0.0.1", port)
    else:
        raise SystemExit(f"unknown server {name}")


if __name__ == "__main__":
    main()
