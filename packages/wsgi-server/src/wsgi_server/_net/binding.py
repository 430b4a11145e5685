"""Sockets at an address, and what is to be said where the system refuses one."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
import sys
from typing import TYPE_CHECKING, Any

from wsgi_server._config.addresses import Address, TcpAddress, UnixAddress
from wsgi_server._system import privileges, unpatched
from wsgi_server.errors import BindError

if TYPE_CHECKING:
    from wsgi_server._config.settings import Settings

LOG = logging.getLogger(__name__)


class AddressInUse(BindError):
    """Somebody else listens there; worth another attempt a little later."""


class NoSuchAddress(BindError):
    """The machine has no such address, or none of that family."""


def resolve(address: TcpAddress) -> list[tuple[int, tuple[Any, ...]]]:
    """Families and socket addresses of a host name. Raises `BindError`."""
    try:
        infos = unpatched.getaddrinfo(
            address.host,
            address.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise BindError(
            f"cannot bind {address}: {reason} (is the host name right?)"
        ) from exc
    return list(dict.fromkeys((info[0], info[4]) for info in infos))


def bind_tcp(
    family: int,
    where: tuple[Any, ...],
    shown: TcpAddress,
    settings: Settings,
    *,
    listening: bool = True,
) -> socket.socket:
    """Returns a socket at `where`, which no client reaches unless it is `listening`.

    Raises `NoSuchAddress`, `AddressInUse` and other `BindError`s.
    """
    try:
        sock: socket.socket = unpatched.Socket(family, socket.SOCK_STREAM)
    except OSError as exc:
        raise NoSuchAddress(f"cannot bind {shown}: {exc.strerror}") from exc
    try:
        if sys.platform == "win32":
            # SO_REUSEADDR would let another server take the port from a running one there.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6 and (
            where[0] != "::" or _binds_any_v4(settings, where[1])
        ):
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        set_tcp_options(sock, settings)
        sock.bind(where)
        if listening:
            sock.listen(settings.backlog)
        sock.setblocking(False)
    except OSError as exc:
        sock.close()
        raise bind_error(shown, exc) from exc
    return sock


def _binds_any_v4(settings: Settings, port: int) -> bool:
    """Tells whether 0.0.0.0 is bound as well, so that :: must not take IPv4 for itself."""
    return TcpAddress("0.0.0.0", port) in settings.binds  # noqa: S104  compared


def set_tcp_options(sock: socket.socket, settings: Settings) -> None:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # Linux hands all of these down from the listening socket to the accepted ones,
    # which saves a system call each per connection.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    keepidle = getattr(socket, "TCP_KEEPIDLE", None)
    if keepidle is not None:
        sock.setsockopt(socket.IPPROTO_TCP, keepidle, settings.tcp_keepidle)


def bind_error(shown: Address, exc: OSError) -> BindError:
    reason = (exc.strerror or str(exc)).lower()
    taken = sys.platform == "win32" and exc.errno == errno.EACCES
    if exc.errno == errno.EADDRINUSE or taken:
        return AddressInUse(
            f"cannot bind {shown}: {reason} (another server listens there)"
        )
    if exc.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return NoSuchAddress(
            f"cannot bind {shown}: {reason} (this machine has no such address)"
        )
    if exc.errno == errno.EACCES and isinstance(shown, TcpAddress):
        hint = " (ports below 1024 need privileges)" if shown.port < 1024 else ""
        return BindError(f"cannot bind {shown}: {reason}{hint}")
    return BindError(f"cannot bind {shown}: {reason}")


def bind_unix(address: UnixAddress, settings: Settings) -> socket.socket:
    """Returns a socket that listens at the path, with mode and owner as `settings` say.

    Takes the place of one that nobody listens on. Raises `BindError` and `ConfigError`.
    """
    path = address.path
    if address.is_abstract:
        path = f"\0{path[1:]}"
    elif _is_stale(address):
        LOG.info("removing %s, which nobody listens on", address)
        os.unlink(path)
    sock: socket.socket = unpatched.Socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        if not address.is_abstract:
            # Nobody can connect before listen(), so the mode is right from the start.
            os.chmod(path, settings.unix_socket_mode)
            privileges.resolve(settings.user, settings.group).own(path)
        sock.listen(settings.backlog)
        sock.setblocking(False)
    except OSError as exc:
        sock.close()
        raise bind_error(address, exc) from exc
    return sock


def file_at(path: str) -> tuple[int, int] | None:
    """Returns device and inode of what is there, None for nothing. Raises `OSError`."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def try_unix(address: UnixAddress) -> None:
    """Raises what `bind_unix` would, as far as that shows without binding."""
    if not _is_stale(address) and not address.is_abstract:
        folder = os.path.dirname(os.path.abspath(address.path))
        if not os.access(folder, os.W_OK | os.X_OK):
            number = errno.EACCES if os.path.isdir(folder) else errno.ENOENT
            raise bind_error(address, OSError(number, os.strerror(number)))


def _is_stale(address: UnixAddress) -> bool:
    """Tells whether nobody listens on a socket's file; raises for one in use."""
    path = address.path
    if address.is_abstract:
        path = f"\0{path[1:]}"
    elif os.path.lexists(path) and not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise BindError(
            f"cannot bind {address}: a file that is no socket is in the way"
        )
    with unpatched.Socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A full backlog answers EAGAIN at once instead of holding us up.
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return not address.is_abstract
        except (FileNotFoundError, NotADirectoryError):
            return False
        except BlockingIOError:
            # EAGAIN: somebody listens, and is busy.
            LOG.debug("%s is in use", address)
        except OSError as exc:
            raise bind_error(address, exc) from exc
    raise AddressInUse(
        f"cannot bind {address}: address already in use (another server listens there)"
    )
