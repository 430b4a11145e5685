"""Every option of the server: name, unit, default and the reason for it.

Nothing is registered on import. `register_opts` puts them on a `ConfigOpts` or one of its
groups, `register_cli_opts` adds the command-line forms of the common ones, `list_opts` is
the entry point that `oslo-config-generator --namespace wsgi_server` reads.

Times are seconds and may be fractions; sizes are bytes. Where zero is allowed it switches
the limit off, and the help text says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from oslo_config import cfg
from oslo_config import types as cfg_types

__all__ = [
    "ALL_OPTS",
    "CLI_OPTS",
    "list_opts",
    "register_cli_opts",
    "register_opts",
]


def _seconds(name: str, default: float, text: str, *, minimum: float = 0) -> cfg.Opt:
    return cfg.FloatOpt(name, default=default, min=minimum, help=text)


def _count(name: str, default: int | None, text: str, *, minimum: int = 0) -> cfg.Opt:
    return cfg.IntOpt(name, default=default, min=minimum, help=text)


BIND_OPTS: Sequence[cfg.Opt] = (
    cfg.HostAddressOpt(
        "bind-host",
        default="0.0.0.0",  # noqa: S104  the seeds' default: a service is there to be reached
        help="Address or host name to listen on. A name with several addresses is "
        "bound on each.",
    ),
    cfg.PortOpt(
        "bind-port",
        help="TCP port to listen on; 0 lets the kernel choose one and the log tells "
        "which. Without a value the service's own default port is used.",
    ),
    cfg.MultiStrOpt(
        "bind",
        default=[],
        help="Where to listen, instead of bind_host and bind_port; may be given several "
        "times. Forms: HOST:PORT, [V6ADDRESS]:PORT, unix:/path/to/socket, fd://N (a "
        "listening descriptor that was inherited), systemd or systemd:NAME (socket "
        "activation).",
    ),
    cfg.IntOpt(
        "backlog",
        default=4096,
        min=1,
        help="Connections that the kernel may hold completed but not yet accepted.",
    ),
    cfg.IntOpt(
        "tcp-keepidle",
        default=600,
        min=1,
        max=32767,  # Linux takes no more
        help="Seconds of silence after which TCP starts to probe whether the client "
        "still exists.",
    ),
    cfg.BoolOpt(
        "reuse-port",
        default=False,
        help="Set SO_REUSEPORT, so that another server may listen on the same address "
        "(for handing a port over between two installations).",
    ),
    cfg.StrOpt(
        "unix-socket-mode",
        default="0660",
        help="Permissions of Unix sockets that the server creates, in octal.",
    ),
)

TLS_OPTS: Sequence[cfg.Opt] = (
    cfg.StrOpt(
        "cert-file",
        help="PEM file with the server's certificate and its chain; turns TLS on.",
    ),
    cfg.StrOpt(
        "key-file",
        help="PEM file with the certificate's private key; without it the key is "
        "looked for in cert_file.",
    ),
    cfg.StrOpt(
        "ca-file",
        help="PEM file with the authorities whose client certificates are accepted; "
        "every client must then present one.",
    ),
    cfg.StrOpt(
        "tls-ciphers",
        help="OpenSSL cipher list for TLS 1.2. Without it Python's own choice is used.",
    ),
)

PROCESS_OPTS: Sequence[cfg.Opt] = (
    cfg.IntOpt(
        "workers",
        min=0,
        help="Worker processes. Without a value: one per CPU, at most 8. 0 serves in "
        "the one process that was started, without forking.",
    ),
    cfg.StrOpt(
        "engine",
        default="eventlet",
        choices=[
            ("eventlet", "greenlets; applications may use anything green"),
            ("threads", "native threads; eventlet is not imported"),
        ],
        help="What runs requests inside a worker.",
    ),
    cfg.IntOpt(
        "threads",
        min=1,
        help="Requests that may run at the same time in one worker; connections are "
        "not counted. Default: 1000 greenlets, or 32 threads.",
    ),
    _count(
        "queue-size",
        1024,
        "Requests that may wait in one worker for a free place; more are answered with "
        "503.",
        minimum=1,
    ),
    _seconds(
        "queue-timeout",
        30,
        "How long a request may wait for a free place before it is answered with 503.",
        minimum=0.001,
    ),
    cfg.BoolOpt(
        "preload-app",
        default=False,
        help="Load the application once before the workers are forked. Saves memory; "
        "new code is then served only after a restart.",
    ),
    cfg.StrOpt("pid-file", help="File to write the supervisor's process id to."),
    cfg.StrOpt(
        "user", help="User name or id to become once the sockets are bound (root only)."
    ),
    cfg.StrOpt(
        "group",
        help="Group name or id to become once the sockets are bound (root only).",
    ),
    cfg.StrOpt(
        "umask",
        default="027",
        help="File creation mask of the supervisor and the workers, in octal.",
    ),
)

SUPERVISION_OPTS: Sequence[cfg.Opt] = (
    _seconds(
        "graceful-timeout",
        60,
        "How long a retiring worker may finish the requests it has. What still runs "
        "then is logged and cut.",
    ),
    _seconds(
        "drain-idle-timeout",
        2,
        "How long a retiring worker waits for a next request on idle keep-alive "
        "connections before it closes them.",
    ),
    _seconds(
        "worker-timeout",
        60,
        "A worker whose loop has not turned for so long is dumped to the log and "
        "replaced. 0 never does. Without effect where workers = 0.",
    ),
    _seconds(
        "worker-ready-timeout",
        60,
        "How long a new worker may take to load the application and accept. Where "
        "workers = 0 it counts at an upgrade alone.",
        minimum=0.1,
    ),
    _count(
        "max-requests",
        0,
        "Requests after which a worker is replaced, one at a time and drained. 0 never "
        "does. Without effect where workers = 0.",
    ),
    _count(
        "max-requests-jitter",
        0,
        "Random extra added to max_requests for each worker, so that they do not all "
        "go at once. Without effect where workers = 0.",
    ),
    _seconds(
        "max-worker-lifetime",
        0,
        "Age at which a worker is replaced. 0 never does. Without effect where "
        "workers = 0.",
    ),
    _count(
        "max-worker-rss",
        0,
        "Resident bytes at which a worker is replaced. 0 never does. Without effect "
        "where workers = 0.",
    ),
)

HTTP_OPTS: Sequence[cfg.Opt] = (
    cfg.BoolOpt(
        "http-keepalive",
        default=True,
        help="Keep connections open between requests. When false every response says "
        "'Connection: close'.",
    ),
    _seconds(
        "keepalive-timeout",
        75,
        "How long an idle connection is kept for a next request.",
        minimum=0.001,
    ),
    _count(
        "max-keepalive-requests",
        0,
        "Requests after which a connection is closed. 0 sets no limit.",
    ),
    _seconds(
        "client-socket-timeout",
        900,
        "How long a single read or write may wait for the client while a request is "
        "running. 0 sets no limit beside body_timeout and write_timeout.",
    ),
    _seconds(
        "header-timeout",
        10,
        "How long a client may take to send a whole request head, and a TLS client to "
        "complete its handshake; answered with 408.",
        minimum=0.001,
    ),
    _seconds(
        "body-timeout",
        60,
        "How long a client may take for each 64 KiB of a request body (a minimum rate "
        "of about 1 KiB/s); answered with 408. 0 sets no limit.",
    ),
    _seconds(
        "write-timeout",
        60,
        "How long a client may leave the send buffer full before the response is "
        "given up. 0 sets no limit.",
    ),
    _seconds(
        "request-timeout",
        0,
        "How long an application may take for one request. 0 sets no limit.",
    ),
    _count("max-request-line", 8190, "Longest request line.", minimum=16),
    _count(
        "max-header-line",
        16384,
        "Longest header line; raise it for large Keystone tokens. 0 leaves only "
        "max_header_bytes.",
    ),
    _count("max-headers", 100, "Most header lines in one request.", minimum=1),
    _count(
        "max-header-bytes",
        65536,
        "Largest request head: request line and all headers together.",
        minimum=64,
    ),
    _count(
        "max-request-body",
        0,
        "Largest request body, sized or chunked; refused with 413. 0 sets no limit.",
    ),
    _count(
        "max-connections",
        10000,
        "Connections one worker keeps open; beyond it the longest idle ones are "
        "closed first.",
        minimum=1,
    ),
    cfg.StrOpt(
        "underscore-headers",
        default="drop",
        choices=[
            ("drop", "ignore the field"),
            ("refuse", "answer 400"),
        ],
        help="What to do with header names that contain '_': they cannot be told from "
        "those with '-' in a WSGI environ.",
    ),
    cfg.ListOpt(
        "forwarded-allow",
        default=[],
        item_type=cfg_types.String(),
        help="Networks (CIDR) of proxies whose Forwarded and X-Forwarded-* headers are "
        "believed; 'unix' stands for peers on Unix sockets. From all others these "
        "headers are removed.",
    ),
    cfg.ListOpt(
        "proxy-protocol",
        default=[],
        item_type=cfg_types.String(),
        help="Networks (CIDR) of balancers that begin each connection with a PROXY "
        "protocol header (version 1 or 2).",
    ),
)

LOG_OPTS: Sequence[cfg.Opt] = (
    cfg.StrOpt("log-file", help="File for the server's log; stderr without it."),
    cfg.BoolOpt(
        "debug",
        default=False,
        help="Log more, and show tracebacks of start-up errors.",
    ),
    cfg.StrOpt(
        "access-log",
        default="-",
        help="File for one line per request; '-' is stdout, empty switches it off.",
    ),
    cfg.StrOpt(
        "access-log-format",
        default='{client} - {user} [{time}] "{request}" {status} {bytes} "{referer}" '
        '"{agent}" {seconds:.6f}',
        help="Form of an access line. Fields: client, port, user, time, request, "
        "method, path, query, protocol, status, bytes, referer, agent, seconds, pid, "
        "worker, host, scheme, request_id.",
    ),
)

ALL_OPTS: Sequence[cfg.Opt] = (
    *BIND_OPTS,
    *TLS_OPTS,
    *PROCESS_OPTS,
    *SUPERVISION_OPTS,
    *HTTP_OPTS,
    *LOG_OPTS,
)

_COMMON = frozenset(
    {
        "bind-host",
        "bind-port",
        "bind",
        "backlog",
        "reuse-port",
        "cert-file",
        "key-file",
        "ca-file",
        "workers",
        "engine",
        "threads",
        "preload-app",
        "pid-file",
        "user",
        "group",
        "umask",
        "graceful-timeout",
        "worker-timeout",
        "max-requests",
        "http-keepalive",
        "keepalive-timeout",
        "request-timeout",
        "max-request-body",
        "forwarded-allow",
        "log-file",
        "debug",
        "access-log",
    }
)
CLI_OPTS: Sequence[cfg.Opt] = tuple(opt for opt in ALL_OPTS if opt.name in _COMMON)


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
    """All options by group, as `oslo-config-generator` wants them."""
    return [(None, list(ALL_OPTS))]
