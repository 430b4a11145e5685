"""What can go wrong for the operator, and the exit status that says so.

Faults of a client are `ProtocolError` and live in the HTTP core; any other exception is
a bug. Only `RequestTimeout` is raised for one request, and in an application.
"""

from __future__ import annotations

import enum


class ExitStatus(enum.IntEnum):
    """The exit statuses of the `wsgi-server` command and of `Server.wait`."""

    OK = 0
    #: A fault nobody foresaw; the log has the traceback.
    FAILURE = 1
    #: The command line does not parse (argparse and oslo.config use 2 as well).
    USAGE = 2
    #: The first workers never became ready; the log says why.
    BOOT = 3
    #: The application cannot be found or raised while it was loaded.
    LOAD = 4
    #: A configuration file or value is wrong.
    CONFIG = 5
    #: An address cannot be bound or listened on.
    BIND = 6


class ServerError(Exception):
    """Base of the errors that end a start or a reload; the message is one clear line."""

    exit_status = ExitStatus.FAILURE


class ConfigError(ServerError):
    """An option, a combination of options, or a file they name cannot be used."""

    exit_status = ExitStatus.CONFIG


class BindError(ServerError):
    """A listening socket cannot be had."""

    exit_status = ExitStatus.BIND


class LoadError(ServerError):
    """The application cannot be loaded."""

    exit_status = ExitStatus.LOAD


class BootError(ServerError):
    """The first generation of workers never became ready."""

    exit_status = ExitStatus.BOOT


class StoreError(ConfigError):
    """glance_store is missing or refuses its configuration."""


class RequestTimeout(BaseException):
    """Raised in an application that exceeds `request_timeout`, under eventlet.

    Not an `Exception`, so that a handler's broad `except` does not swallow it.
    """
