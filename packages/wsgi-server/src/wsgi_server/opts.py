"""Every option of the server: name, unit, default and the reason for it.

Nothing is registered on import. `register_opts` puts them on a `ConfigOpts` or one of its
groups, `register_cli_opts` adds the command-line forms of the common ones, `list_opts` is
the entry point that `oslo-config-generator --namespace wsgi_server` reads.

Times are seconds and may be fractions; sizes are bytes. Where zero is allowed it switches
the limit off, and the help text says so. An empty value is none: what is off without a value
is switched off, everything else has its default.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from oslo_config import cfg

from ._options import (
    CAN_BE_OFF,
    COMMON,
    NEEDS_RESTART,
    OF_SERVER,
    OF_SOCKET,
    OF_WORKERS,
    Option,
    address,
    addresses,
    count,
    declare,
    file,
    host,
    names,
    networks,
    port,
    seconds,
    switch,
    text,
)

__all__ = [
    "ALL_OPTS",
    "CLI_OPTS",
    "list_opts",
    "register_cli_opts",
    "register_opts",
]

#: By the sections of the command's help, in the order of a reader's questions.
OPTIONS: Final[dict[str, Sequence[Option]]] = {
    "where to listen": (
        # The seeds' default: a service is there to be reached.
        host("bind-host", "0.0.0.0", COMMON | OF_SOCKET)(  # noqa: S104
            "Address or host name to listen on. A name with several addresses is bound "
            "on each."
        ),
        port("bind-port", None, COMMON | OF_SOCKET)(
            "TCP port to listen on; 0 lets the kernel choose one and the log tells "
            "which. Without a value the service's own default port is used."
        ),
        addresses("bind", [], COMMON | OF_SOCKET)(
            "Where to listen, instead of bind_host and bind_port; may be given several "
            "times. Forms: HOST:PORT, [V6ADDRESS]:PORT, unix:/path/to/socket, fd://N (a "
            "listening descriptor that was inherited), systemd or systemd:NAME (socket "
            "activation)."
        ),
        count("backlog", 4096, COMMON | OF_SOCKET, min=1)(
            "Connections that the kernel may hold completed but not yet accepted."
        ),
        count("tcp-keepidle", 600, OF_SOCKET, min=1, max=32767)(
            "Seconds of silence after which TCP starts to probe whether the client "
            "still exists."
        ),
        switch("reuse-port", False, COMMON)(
            "Set SO_REUSEPORT, so that another server may listen on the same address "
            "(for handing a port over between two installations)."
        ),
        text("unix-socket-mode", "0660", metavar="MODE")(
            "Permissions of Unix sockets that the server creates, in octal."
        ),
    ),
    "TLS": (
        file("cert-file", None, COMMON | CAN_BE_OFF | OF_SOCKET)(
            "PEM file with the server's certificate and its chain; turns TLS on."
        ),
        file("key-file", None, COMMON | CAN_BE_OFF | OF_SOCKET)(
            "PEM file with the certificate's private key; without it the key is looked "
            "for in cert_file."
        ),
        file("ca-file", None, COMMON | CAN_BE_OFF | OF_SOCKET)(
            "PEM file with the authorities whose client certificates are accepted; "
            "every client must then present one."
        ),
        text("tls-ciphers", None, CAN_BE_OFF, metavar="LIST")(
            "OpenSSL cipher list for TLS 1.2. Without it Python's own choice is used."
        ),
    ),
    "processes": (
        count("workers", None, COMMON | OF_SOCKET)(
            "Worker processes. Without a value: one per CPU, at most 8. 0 serves in the "
            "one process that was started, without forking."
        ),
        text(
            "engine",
            "eventlet",
            COMMON,
            choices=[
                ("eventlet", "greenlets; applications may use anything green"),
                ("threads", "native threads; eventlet is not imported"),
            ],
        )("What runs requests inside a worker."),
        count("threads", None, COMMON, min=1)(
            "Requests that may run at the same time in one worker; connections are not "
            "counted. Default: 1000 greenlets, or 32 threads."
        ),
        count("queue-size", 1024, min=1)(
            "Requests that may wait in one worker for a free place; more are answered "
            "with 503."
        ),
        seconds("queue-timeout", 30, min=0.001)(
            "How long a request may wait for a free place before it is answered with "
            "503."
        ),
        switch("preload-app", False, COMMON)(
            "Load the application once before the workers are forked. Saves memory; new "
            "code is then served only after a restart."
        ),
        switch("gc-freeze", True, COMMON)(
            "Leave what a worker has loaded out of its garbage collections, from the "
            "moment in which it serves: a full one then takes no tenth of a second any "
            "more, and workers go on sharing what was loaded before the fork."
        ),
        text("prog-name", None, COMMON | CAN_BE_OFF, metavar="NAME")(
            "Name of the program that the application finds in sys.argv[0], such as "
            "cinder-api: oslo.config looks for files of this name, and oslo.log writes "
            "one. Without a value it is derived from the application. For the command."
        ),
        text("app-args", "", metavar="ARGUMENTS")(
            "Arguments that the application finds in sys.argv, quoted as in a shell. What "
            "stands behind -- on the command line wins. For the command."
        ),
        file("pid-file", None, COMMON | CAN_BE_OFF | NEEDS_RESTART | OF_SERVER)(
            "File to write the supervisor's process id to."
        ),
        text("user", None, COMMON | CAN_BE_OFF | NEEDS_RESTART, metavar="NAME")(
            "User name or id to become once the sockets are bound (root only)."
        ),
        text("group", None, COMMON | CAN_BE_OFF | NEEDS_RESTART, metavar="NAME")(
            "Group name or id to become once the sockets are bound (root only)."
        ),
        text("umask", "027", COMMON, metavar="MODE")(
            "File creation mask of the supervisor and the workers, in octal."
        ),
    ),
    "workers that go": (
        seconds("graceful-timeout", 60, COMMON)(
            "How long a retiring worker may finish the requests it has. What still runs "
            "then is logged and cut."
        ),
        seconds("drain-idle-timeout", 2)(
            "How long a retiring worker waits for a next request on idle keep-alive "
            "connections before it closes them."
        ),
        seconds("worker-timeout", 60, COMMON | OF_WORKERS, zero="never does")(
            "A worker whose loop has not turned for so long is dumped to the log and "
            "replaced."
        ),
        seconds("worker-ready-timeout", 60, min=0.1)(
            "How long a new worker may take to load the application and accept. Where "
            "workers = 0 it counts at an upgrade alone."
        ),
        seconds("start-retry", 0, COMMON | OF_SERVER)(
            "How long a start goes on trying where no worker of an application becomes "
            "ready, because a database comes late for example. With 0 it ends at once."
        ),
        count("max-requests", 0, COMMON | OF_WORKERS, zero="never does")(
            "Requests after which a worker is replaced, one at a time and drained."
        ),
        count("max-requests-jitter", 0, OF_WORKERS)(
            "Random extra added to max_requests for each worker, so that they do not "
            "all go at once."
        ),
        seconds("max-worker-lifetime", 0, OF_WORKERS, zero="never does")(
            "Age at which a worker is replaced."
        ),
        count("max-worker-rss", 0, OF_WORKERS, zero="never does")(
            "Resident bytes at which a worker is replaced."
        ),
    ),
    "requests": (
        switch("http-keepalive", True, COMMON)(
            "Keep connections open between requests. When false every response says "
            "'Connection: close'."
        ),
        seconds("keepalive-timeout", 75, COMMON, min=0.001)(
            "How long an idle connection is kept for a next request."
        ),
        count("max-keepalive-requests", 0, zero="sets no limit")(
            "Requests after which a connection is closed."
        ),
        seconds(
            "client-socket-timeout",
            900,
            zero="sets no limit beside body_timeout and write_timeout",
        )(
            "How long a single read or write may wait for the client while a request is "
            "running."
        ),
        seconds("header-timeout", 10, min=0.001)(
            "How long a client may take to send a whole request head, and a TLS client "
            "to complete its handshake; answered with 408."
        ),
        seconds("body-timeout", 60, zero="sets no limit")(
            "How long a client may take for each 64 KiB of a request body (a minimum "
            "rate of about 1 KiB/s); answered with 408."
        ),
        seconds("write-timeout", 60, zero="sets no limit")(
            "How long a client may keep the server waiting for room in the send buffer "
            "while it takes 64 KiB of a response (a minimum rate of about 1 KiB/s); "
            "then the response is given up."
        ),
        seconds("request-timeout", 0, COMMON, zero="sets no limit")(
            "How long an application may take for one request."
        ),
        count("max-request-line", 8190, min=16)("Longest request line."),
        count("max-header-line", 16384, zero="leaves only max_header_bytes")(
            "Longest header line; raise it for large Keystone tokens."
        ),
        count("max-headers", 100, min=1)("Most header lines in one request."),
        count("max-header-bytes", 65536, min=64)(
            "Largest request head: request line and all headers together."
        ),
        count("max-request-body", 0, COMMON, zero="sets no limit")(
            "Largest request body, sized or chunked; refused with 413."
        ),
        count("max-connections", 10000, min=1)(
            "Connections one worker keeps open; beyond it the longest idle ones are "
            "closed first."
        ),
        text(
            "underscore-headers",
            "drop",
            choices=[("drop", "ignore the field"), ("refuse", "answer 400")],
        )(
            "What to do with header names that contain '_': they cannot be told from "
            "those with '-' in a WSGI environ."
        ),
        networks("forwarded-allow", [], COMMON)(
            "Networks (CIDR) of proxies whose Forwarded and X-Forwarded-* headers are "
            "believed; 'unix' stands for peers on Unix sockets. From all others these "
            "headers are removed."
        ),
        networks("proxy-protocol", [])(
            "Networks (CIDR) of balancers that begin each connection with a PROXY "
            "protocol header (version 1 or 2)."
        ),
    ),
    "logs": (
        file("log-file", None, COMMON | CAN_BE_OFF | OF_SERVER)(
            "File for the server's log; stderr without it."
        ),
        switch("debug", False, COMMON | OF_SERVER)(
            "Log more, and show tracebacks of start-up errors."
        ),
        file("access-log", "-", COMMON | CAN_BE_OFF)(
            "File for one line per request; '-' is stdout, empty switches it off. A "
            "program may have these lines in its own log while this is not set."
        ),
        text(
            "access-log-format",
            '{client} - {user} [{time}] "{request}" {status} {bytes} "{referer}" "{agent}" {seconds:.6f}',
            metavar="FORMAT",
        )(
            "Form of an access line. Fields: client, clients (with what X-Forwarded-For "
            "says before it), port, user, time, date_time (without zone), request, method, "
            "path, query, protocol, status, bytes, referer, agent, seconds, queue and ttfb "
            "(seconds of waiting for a place, and to the first byte), pid, worker, "
            "generation, host, scheme, route, error, http_request_id, request_id "
            "(OpenStack's), trace_id. Or the word json, for an object with the names of "
            "OpenTelemetry in each line; url.query behind it for the query as well, which "
            "may hold secrets."
        ),
        text("request-id-header", "X-Request-Id", CAN_BE_OFF, metavar="NAME")(
            "Header field with the id of a request. That of a client is taken where "
            "forwarded_allow trusts it, else one is made; the application finds it as "
            "wsgi_server.request_id, both logs and the response have it, the latter unless "
            "the application sets the field. Empty: no ids."
        ),
        switch("request-id-openstack", False)(
            "Give the id to oslo.middleware as well, which then logs it and hands it on to "
            "other services; that of a trusted caller is the id of the request. Needs "
            "request_id_header."
        ),
        switch("spans", False)(
            "Make a span of OpenTelemetry of each request, within which the application "
            "runs: for the SDK that the application or opentelemetry-instrument configures. "
            "Needs the extra otel."
        ),
        seconds("slow-request-time", 10, COMMON, zero="reports nothing")(
            "A request that runs for longer is reported: a warning that says where it "
            "stands, and how long it took in the end."
        ),
    ),
    "to see and to steer": (
        address("admin-bind", None, COMMON | CAN_BE_OFF | NEEDS_RESTART | OF_SERVER)(
            "Where health, metrics and the status page are answered, as HOST:PORT or "
            "unix:/path. Nothing can be changed from there. Without a value: nowhere."
        ),
        names("admin-hosts", [], NEEDS_RESTART | OF_SERVER)(
            "Names that the Host field of a request to admin_bind may have, beside "
            "addresses and localhost: a name that anybody controls could be made to point "
            "here from a page in a browser."
        ),
        file("control-socket", None, COMMON | CAN_BE_OFF | NEEDS_RESTART | OF_SERVER)(
            "Unix socket over which the server answers everything and takes orders: "
            "`wsgi-server status`, `reload`, `scale` and others. Without a value: "
            "control.sock where systemd gives the service a RuntimeDirectory=, else none."
        ),
        text("control-socket-mode", "0600", NEEDS_RESTART | OF_SERVER)(
            "Permissions of the control socket, in octal: who may give orders."
        ),
        switch("health-on-service", False, COMMON)(
            "Answer /livez, /readyz, /healthz and /startupz on the service's own addresses "
            "as well, for probes that cannot reach admin_bind: whatever the application "
            "does, without a line in the access log, and in its place where it has such "
            "paths."
        ),
        switch("metrics-by-route", False)(
            "Tell requests apart by the route of the application as well (http_route, such "
            "as /v2/images/{id}), where it says one as wsgi_server.route; wsgi_api does. A "
            "worker tells 64 kinds of requests apart, by method, status, error and this."
        ),
        seconds("drain-delay", 0, COMMON)(
            "How long a server that was told to stop goes on listening, not ready any more, "
            "so that balancers notice before it refuses their clients."
        ),
        declare(
            cfg.IntOpt,
            "drain-status",
            503,
            NEEDS_RESTART | OF_SERVER,
            choices=[
                (503, "Service Unavailable"),
                (404, "Not Found, for HAProxy's disable-on-404"),
            ],
        )("What the readiness probe answers while the server drains."),
    ),
}

BY_NAME: Final = {o.name: o for group in OPTIONS.values() for o in group}

(
    BIND_OPTS,
    TLS_OPTS,
    PROCESS_OPTS,
    SUPERVISION_OPTS,
    HTTP_OPTS,
    LOG_OPTS,
    ADMIN_OPTS,
) = (tuple(option.opt for option in group) for group in OPTIONS.values())
ALL_OPTS: Sequence[cfg.Opt] = tuple(option.opt for option in BY_NAME.values())
CLI_OPTS: Sequence[cfg.Opt] = tuple(
    o.opt for o in BY_NAME.values() if COMMON in o.traits
)


def register_opts(
    conf: cfg.ConfigOpts, group: str | cfg.OptGroup | None = None
) -> None:
    """Registers every option on `conf`, under `group` when one is given.

    Registering twice is harmless. Raises `oslo_config.cfg.DuplicateOptError` when the
    service has registered another option of the same name.
    """
    conf.register_opts(ALL_OPTS, group=group)


def register_cli_opts(conf: cfg.ConfigOpts | None = None) -> None:
    """Registers every option, the common ones with a command-line form as well.

    `conf` is `cfg.CONF` where it is left out. Must be called before the command line is
    parsed; raises `oslo_config.cfg.ArgsAlreadyParsedError` otherwise.
    """
    target = cfg.CONF if conf is None else conf
    target.register_cli_opts(CLI_OPTS)
    target.register_opts(ALL_OPTS)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Returns all options by group, as `oslo-config-generator` wants them."""
    return [(None, list(ALL_OPTS))]
