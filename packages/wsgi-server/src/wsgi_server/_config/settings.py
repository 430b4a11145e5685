"""The door: oslo.config on one side, frozen and checked `Settings` on the other.

Below it nobody sees oslo.config, and no number is a sentinel: None means "no limit".
"""

from __future__ import annotations

import dataclasses
import math
import re
import shlex
import socket
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Final

from wsgi_server import _options, opts
from wsgi_server._system.process import cpus
from wsgi_server.errors import ConfigError

from .addresses import (
    Address,
    PeerSet,
    TcpAddress,
    UnixAddress,
    parse_address,
    parse_network,
)
from .values import Values

#: Requests that may run at once in a worker, by engine, when `threads` is not set.
DEFAULT_THREADS: Final[Mapping[str, int]] = {"eventlet": 1000, "threads": 32}

#: The default number of workers never exceeds this (seed: glance, bug 1748916).
MAX_DEFAULT_WORKERS: Final = 8

#: Options that are written in octal.
_OCTAL: Final = ("umask", "unix_socket_mode", "control_socket_mode")

#: Fields of a response that have a meaning of their own, or that only the server sends.
_OURS: Final = frozenset(
    {
        *(
            "connection",
            "content-length",
            "content-type",
            "date",
            "keep-alive",
            "server",
        ),
        *("proxy-authenticate", "proxy-connection", "te", "trailer", "upgrade"),
        *("transfer-encoding", "set-cookie", "location", "content-encoding", "vary"),
    }
)

#: Options that only a restart can change.
RESTART_ONLY: Final = frozenset(
    name
    for name, option in opts.BY_NAME.items()
    if _options.NEEDS_RESTART in option.traits
)

#: Options that all applications of a server share.
OF_SERVER: Final = frozenset(
    name for name, option in opts.BY_NAME.items() if _options.OF_SERVER in option.traits
)


@dataclass(frozen=True)
class Settings:
    """One configuration of the server; equal settings mean nothing to reload."""

    binds: tuple[Address, ...]
    backlog: int
    tcp_keepidle: int
    reuse_port: bool
    unix_socket_mode: int

    cert_file: str | None
    key_file: str | None
    ca_file: str | None
    tls_ciphers: str | None

    workers: int
    engine: str
    threads: int
    queue_size: int
    queue_timeout: float
    preload_app: bool
    gc_freeze: bool
    prog_name: str | None
    #: What the application finds in `sys.argv[1:]`.
    app_args: tuple[str, ...]
    pid_file: str | None
    user: str | None
    group: str | None
    umask: int

    graceful_timeout: float
    drain_idle_timeout: float
    worker_timeout: float | None
    worker_ready_timeout: float
    start_retry: float
    max_requests: int | None
    max_requests_jitter: int
    max_worker_lifetime: float | None
    max_worker_rss: int | None

    http_keepalive: bool
    keepalive_timeout: float
    max_keepalive_requests: int | None
    client_socket_timeout: float | None
    header_timeout: float
    body_timeout: float | None
    write_timeout: float | None
    request_timeout: float | None
    max_request_line: int
    max_header_line: int | None
    max_headers: int
    max_header_bytes: int
    max_request_body: int | None
    max_connections: int
    underscore_headers: str
    forwarded_allow: PeerSet
    proxy_protocol: PeerSet

    log_file: str | None
    debug: bool
    access_log: str | None
    access_log_format: str
    request_id_header: str | None
    request_id_openstack: bool
    slow_request_time: float | None
    spans: bool

    admin_bind: TcpAddress | UnixAddress | None
    admin_hosts: tuple[str, ...]
    control_socket: str | None
    control_socket_mode: int
    health_on_service: bool
    metrics_by_route: bool
    drain_delay: float
    drain_status: int

    #: Where the value of each option stands.
    sources: Mapping[str, str] = dataclasses.field(compare=False)

    #: Set by a program that has the lines of requests in its own log, not by an option.
    access_logger: Any = None

    @classmethod
    def from_conf(
        cls,
        conf: Any,
        *,
        default_port: int | None = None,
        section: str | None = None,
        **overrides: Any,
    ) -> Settings:
        """Returns a checked snapshot of `conf`.

        `conf` and `section` are as for `Values`. `default_port` stands in for a missing
        bind_port.
        `overrides` replace single values after reading. Raises `ConfigError`.
        """
        found = Values(conf, section)
        values = {
            name: overrides[name] if name in overrides else found[option]
            for name, option in opts.BY_NAME.items()
        }
        sources = {
            name: "the program" if name in overrides else found.source(option)
            for name, option in opts.BY_NAME.items()
        }
        return cls.from_values(values, sources, default_port=default_port)

    @classmethod
    def from_values(
        cls,
        given: Mapping[str, Any],
        sources: Mapping[str, str],
        *,
        default_port: int | None = None,
    ) -> Settings:
        """Returns what the values of options mean together, defaults for the missing.

        Each must be of its option's type. Raises `ConfigError`.
        """
        values = {
            name: option.meaning(given.get(name))
            for name, option in opts.BY_NAME.items()
        }
        values["sources"] = sources
        host, port = values.pop("bind_host"), values.pop("bind_port")
        texts = values.pop("bind")
        if texts:
            values["binds"] = tuple(parse_address(text) for text in texts)
        else:
            values["binds"] = (_tcp_address(host, port, default_port),)
        values["admin_bind"] = _admin_address(values["admin_bind"])
        values["admin_hosts"] = tuple(values["admin_hosts"])
        values["app_args"] = _words("app_args", values["app_args"])
        for name in _OCTAL:
            values[name] = _octal(name, values[name])
        for name in ("forwarded_allow", "proxy_protocol"):
            values[name] = _peers(name, values[name])
        if values["workers"] is None:
            values["workers"] = default_workers()
        if values["threads"] is None:
            values["threads"] = DEFAULT_THREADS[values["engine"]]
        settings = cls(**values)
        settings._check()
        return settings

    def _check(self) -> None:
        for name, option in opts.BY_NAME.items():
            value = getattr(self, name, None)
            if isinstance(value, float) and not math.isfinite(value):
                off = (
                    "; 0 sets no limit" if _options.CAN_BE_OFF in option.traits else ""
                )
                raise ConfigError(f"{name} = {value}: not a number of seconds{off}")
        if self.reuse_port and not hasattr(socket, "SO_REUSEPORT"):
            raise ConfigError("reuse_port is set: this system has no SO_REUSEPORT")
        for bind in self.binds:
            if self.binds.count(bind) > 1 and not str(bind).endswith(":0"):
                raise ConfigError(f"bind = {bind}: stands there more than once")
            if isinstance(bind, UnixAddress) and not hasattr(socket, "AF_UNIX"):
                raise ConfigError(f"bind = {bind}: this system has no Unix sockets")
        if self.key_file and not self.cert_file:
            raise ConfigError("key_file is set without cert_file: name the certificate")
        if self.ca_file and not self.cert_file:
            raise ConfigError(
                "ca_file is set without cert_file: client certificates need TLS"
            )
        for name in ("cert_file", "key_file", "ca_file"):
            path = getattr(self, name)
            if path is not None:
                _check_readable(name, path)
        if self.request_id_header is not None:
            _check_header_name("request_id_header", self.request_id_header)
        elif self.request_id_openstack:
            raise ConfigError(
                "request_id_openstack is set without request_id_header: name the field"
            )
        if self.max_requests_jitter and not self.max_requests:
            raise ConfigError(
                "max_requests_jitter is set without max_requests: it has no effect"
            )

    def shown(self, secret: Container[str]) -> dict[str, object]:
        """Each option's value and source, the values of `secret` masked."""
        found: dict[str, object] = {}
        for name in (*opts.BY_NAME, "binds"):
            if hasattr(self, name):
                value = _as_text(name, getattr(self, name))
                masked = "***" if name in secret and value is not None else value
                source = self.sources.get("bind" if name == "binds" else name, "")
                found[name] = {"value": masked, "source": source}
        return found

    def changes(self, new: Settings) -> list[tuple[str, object, object]]:
        """Returns what differs in `new`, as (name, old value, new value)."""
        return [
            (field.name, old, changed)
            for field in dataclasses.fields(self)
            if field.compare
            and (old := getattr(self, field.name))
            != (changed := getattr(new, field.name))
        ]


def default_workers() -> int:
    """Returns one for each CPU that this process may use, at most 8."""
    return min(cpus(), MAX_DEFAULT_WORKERS)


def _tcp_address(host: str, port: int | None, default_port: int | None) -> TcpAddress:
    if port is None:
        port = default_port
    if port is None:
        raise ConfigError("bind_port is not set and the service has no default port")
    return TcpAddress(host, port)


def _words(name: str, text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as exc:
        raise ConfigError(f"{name} = {text}: {exc} (quote as in a shell)") from exc


def _admin_address(text: str | None) -> TcpAddress | UnixAddress | None:
    if text is None:
        return None
    try:
        address = parse_address(text)
    except ConfigError:
        address = None
    if isinstance(address, TcpAddress | UnixAddress):
        return address
    raise ConfigError(f"admin_bind = {text}: use HOST:PORT or unix:/path")


def _as_text(name: str, value: object) -> object:
    if name in _OCTAL and isinstance(value, int):
        return f"{value:04o}"
    if isinstance(value, tuple):
        return [str(item) for item in value]
    plain = value is None or isinstance(value, str | int | float)
    return value if plain else str(value)


def _octal(name: str, value: str | int) -> int:
    if isinstance(value, int):
        return value
    if re.fullmatch(r"(0o)?[0-7]{1,4}", value) is None:
        raise ConfigError(f"{name} = {value}: not an octal number such as 027")
    return int(value, 8)


def _peers(name: str, entries: list[str]) -> PeerSet:
    networks = []
    for entry in entries:
        if entry == "unix":
            continue
        try:
            networks.append(parse_network(entry))
        except ValueError as exc:
            raise ConfigError(f"{name}: {exc} (use CIDR such as 10.0.0.0/8)") from exc
    return PeerSet(tuple(networks), unix="unix" in entries)


def _check_header_name(name: str, value: str) -> None:
    if re.fullmatch("[A-Za-z0-9-]{1,64}", value) is None:
        raise ConfigError(f"{name} = {value}: use letters, digits and -")
    if value.lower() in _OURS:
        raise ConfigError(f"{name} = {value}: this field says something else")


def _check_readable(name: str, path: str) -> None:
    try:
        with open(path, "rb"):
            return
    except OSError as exc:
        raise ConfigError(f"{name}: cannot read {path}: {exc.strerror}") from exc
