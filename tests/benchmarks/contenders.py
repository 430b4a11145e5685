"""The servers that are measured, how each is told what to do, and what it cannot do."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from running import HERE, Server

EVENTLET = "wsgi-server eventlet"
THREADS = "wsgi-server threads"


def _words(text: str) -> list[str]:
    return [sys.executable, *text.split()]


def ours(engine: str, options: str = "") -> Sequence[str]:
    """The command of this project's server."""
    return _words(
        "-m wsgi_server {app} --bind-host 127.0.0.1 --bind-port {port}"
        f" --workers {{workers}} --engine {engine} {options}"
    )


PEERS = str(HERE / "peers.py")
UWSGI = [
    *(sys.executable, "-c", "import pyuwsgi; pyuwsgi.run()", "--so-keepalive"),
    *("--module", "{app}", "--need-app", "--master", "--processes", "{workers}"),
    *("--listen", "1024"),
]
ONE_AT_A_TIME = "it runs one request at a time"
OWN_API = "an application reads chunked bodies through its own API"

SERVERS = (
    Server(
        EVENTLET,
        "wsgi_server",
        ours("eventlet"),
        log=["--access-log", "{log}"],
        quiet=["--access-log", ""],
        tls=["--cert-file", "{cert}"],
        trusting=["--forwarded-allow", "127.0.0.1"],
        preload=["--preload-app"],
        env={"NAP": "eventlet"},
    ),
    Server(
        THREADS,
        "wsgi_server",
        ours("threads", "--threads {threads}"),
        log=["--access-log", "{log}"],
        quiet=["--access-log", ""],
        tls=["--cert-file", "{cert}"],
        trusting=["--forwarded-allow", "127.0.0.1"],
        preload=["--preload-app"],
    ),
    Server(
        "eventlet.wsgi",
        "eventlet",
        _words(f"{PEERS} {{app}} eventlet {{port}}"),
        log=["--log", "{log}"],
        tls=["--cert", "{cert}"],
        env={"NAP": "eventlet"},
    ),
    Server(
        "gunicorn gthread",
        "gunicorn",
        # Its defaults close idle connections after two seconds and hold 1,000 at most.
        _words(
            "-m gunicorn -k gthread --threads {threads} -w {workers} -b 127.0.0.1:{port}"
            " --worker-connections 10000 --keep-alive 75 --log-level error"
            " {app}"
        ),
        log=["--access-logfile", "{log}"],
        tls=["--certfile", "{cert}", "--keyfile", "{cert}"],
        trusting=["--forwarded-allow-ips", "127.0.0.1"],
        preload=["--preload"],
    ),
    Server(
        "waitress 4",
        "waitress",
        _words(f"{PEERS} {{app}} waitress {{port}} --threads 4"),
        unable={"slow": "the scenario is about many threads"},
        once=True,
    ),
    Server(
        "waitress",
        "waitress",
        _words(f"{PEERS} {{app}} waitress {{port}} --threads {{threads}}"),
        once=True,
    ),
    Server(
        "gevent",
        "gevent",
        _words(f"{PEERS} {{app}} gevent {{port}}"),
        log=["--log", "{log}"],
        tls=["--cert", "{cert}"],
        env={"NAP": "gevent"},
        once=True,
    ),
    Server(
        "cheroot",
        "cheroot",
        _words(f"{PEERS} {{app}} cheroot {{port}} --threads {{threads}}"),
        tls=["--cert", "{cert}"],
        once=True,
    ),
    Server(
        # It closes each connection after a response, whatever it is told: wrk counts that
        # as errors and connects anew.
        "uWSGI",
        "pyuwsgi",
        [*UWSGI, "--http-socket", "127.0.0.1:{port}", "--http-keepalive"],
        log=["--logto", "{log}"],
        quiet=["--disable-logging"],
        preload=[],
        apart=["--lazy-apps"],
        unable={"upload-chunked": OWN_API, "slow": ONE_AT_A_TIME},
        once=True,
    ),
    Server(
        # This way it keeps them, and a thread with each.
        "uWSGI threads",
        "pyuwsgi",
        [*UWSGI, "--http11-socket", "127.0.0.1:{port}", "--threads", "{threads}"],
        log=["--logto", "{log}"],
        quiet=["--disable-logging"],
        preload=[],
        apart=["--lazy-apps"],
        unable={
            "upload-chunked": OWN_API,
            "stream": "it neither frames nor ends a response without a length",
        },
    ),
    Server(
        "granian",
        "granian",
        _words(
            "-m granian --interface wsgi --host 127.0.0.1 --port {port} --workers {workers}"
            " --log-level error {app}"
        ),
        log=["--access-log", "--log-level", "info"],
        tls=["--ssl-certificate", "{cert}", "--ssl-keyfile", "{cert}"],
    ),
    Server(
        "bjoern",
        "bjoern",
        _words(f"{PEERS} {{app}} bjoern {{port}}"),
        unable={
            "upload-chunked": "it does not know chunked bodies",
            "slow": ONE_AT_A_TIME,
        },
    ),
)
