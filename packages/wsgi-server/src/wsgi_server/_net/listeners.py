"""Listening sockets: bound once, kept over reloads, handed down by other processes."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import socket
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from wsgi_server._config.addresses import (
    Address,
    InheritedAddress,
    SystemdAddress,
    TcpAddress,
    UnixAddress,
)
from wsgi_server._system import forks, unpatched
from wsgi_server.errors import BindError, ConfigError

from .binding import (
    AddressInUse,
    NoSuchAddress,
    bind_tcp,
    bind_unix,
    file_at,
    resolve,
    set_tcp_options,
    try_unix,
)
from .certificate import certificate_end

if TYPE_CHECKING:
    import ssl

    from wsgi_server._config.settings import Settings

LOG = logging.getLogger(__name__)

#: Attempts at finding one port that is free on every address of a name.
_SAME_PORT_ATTEMPTS: Final = 20


@dataclass(slots=True, eq=False)
class Listener:
    """A non-blocking listening socket and what must be known of it."""

    sock: socket.socket
    #: What the configuration asked for, and which of its addresses this is.
    source: Address
    part: int = 0
    tls: ssl.SSLContext | None = None
    #: When its certificate ends, in seconds since the epoch.
    not_after: float | None = None
    #: Device and inode of a Unix socket's file.
    file: tuple[int, int] | None = None
    #: The process that removes the file; None where that is not this server's business.
    owner: int | None = dataclasses.field(default_factory=os.getpid)

    @property
    def family(self) -> int:
        """The socket's address family."""
        return self.sock.family

    @property
    def address(self) -> str:
        """For people: `127.0.0.1:8080`, `[::1]:8080` or `unix:/path`."""
        bound = self.sock.getsockname()
        if isinstance(bound, tuple):
            return str(TcpAddress(bound[0], bound[1]))
        if isinstance(bound, bytes):
            return f"unix:@{bound[1:].decode(errors='backslashreplace')}"
        return f"unix:{bound}"

    @property
    def url(self) -> str:
        """For people: where clients find it; Unix sockets have their address."""
        if self.address.startswith("unix:"):
            return self.address
        return f"{'http' if self.tls is None else 'https'}://{self.address}"

    @property
    def key(self) -> str:
        """The same for two configurations that mean this socket."""
        return f"{self.source}#{self.part}"

    def waiting(self) -> int | None:
        """Connections that wait to be accepted; None where the system does not say."""
        if self.family == socket.AF_UNIX or not hasattr(socket, "TCP_INFO"):
            return None
        try:
            # Of a listening socket Linux puts it in the place of tcpi_unacked.
            raw = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
        except OSError:
            # EBADF: this process has closed its copy, because it drains.
            return None
        return int.from_bytes(raw[24:28], sys.byteorder)

    def close(self) -> None:
        """Closes this process's copy.

        The file of a Unix socket goes with it if this very process owns it and nobody has
        put another in its place.
        """
        if self.file is not None and self.owner == os.getpid():
            try:
                if file_at(self._path) == self.file:
                    os.unlink(self._path)
            except OSError as exc:
                # A process that gave up root may not write in the file's directory.
                LOG.warning("cannot remove %s: %s", self.source, exc.strerror)
            # Its inode may be another's by the time this is called again.
            self.file = None
        self.sock.close()

    def leave_behind(self, keep: Collection[int]) -> None:
        """In a forked child: closes its copy, unless that is in `keep`."""
        if self.sock.fileno() not in keep:
            # The object keeps no number that the child's own files may be given.
            forks.close([self.sock.detach()])

    def is_lost(self) -> bool:
        """Tells whether clients cannot come: a Unix socket's file is gone, or another's."""
        # A directory that cannot be looked into says nothing.
        with contextlib.suppress(OSError):
            return self.file is not None and file_at(self._path) != self.file
        return False

    @property
    def _path(self) -> str:
        return self.source.path if isinstance(self.source, UnixAddress) else ""


class Inheritance:
    """Sockets that the process was started with: from systemd, or from a predecessor."""

    def __init__(
        self,
        systemd: Sequence[tuple[str, int]] = (),
        predecessor: Mapping[str, int] | None = None,
    ) -> None:
        #: Copied when they are taken, so that a later reload may take them again.
        self.systemd = list(systemd)
        for _, fd in self.systemd:
            # EBADF: fewer were passed than was said; whoever asks for it is told.
            with contextlib.suppress(OSError):
                os.set_inheritable(fd, False)
        #: By name of the service and `Listener.key`; emptied as they are taken.
        self.predecessor = dict(predecessor or {})

    def close(self) -> None:
        """Closes what the predecessor had and the configuration no longer asks for."""
        for fd in self.predecessor.values():
            os.close(fd)
        self.predecessor.clear()


def open_listeners(
    settings: Settings,
    tls: ssl.SSLContext | None = None,
    *,
    name: str = "",
    present: Iterable[Listener] = (),
    inheritance: Inheritance | None = None,
) -> list[Listener]:
    """Returns listeners for everything that `settings.binds` names.

    Sockets that `present` or `inheritance` (under `name`, the service's) already hold are
    used again, not opened anew; their options are left as they are (see `reconfigure`).
    Raises `AddressInUse` where another attempt may succeed, `BindError` and `ConfigError`
    where it will not; then nothing that was opened here stays open.
    """
    known = {listener.key: listener for listener in present}
    source = inheritance if inheritance is not None else Inheritance()
    found: list[Listener] = []
    opened: list[Listener] = []
    ends = None
    if tls is not None and settings.cert_file is not None:
        ends = certificate_end(settings.cert_file)
    try:
        for address in settings.binds:
            again = _present(known, address)
            fresh = [] if again else _open(name, address, settings, source)
            opened += fresh
            found += [
                dataclasses.replace(item, tls=tls, not_after=ends)
                for item in again or fresh
            ]
    except BaseException:
        for listener in opened:
            listener.close()
        raise
    return found


def borrow(sock: socket.socket, tls: ssl.SSLContext | None) -> Listener:
    """Returns a listener on a copy of a program's socket, which stays the program's.

    Both are one socket to the system: it does not block any more. Raises `ConfigError`
    for what is no listening stream socket, or has TLS around it.
    """
    if hasattr(sock, "getpeercert"):
        raise ConfigError(
            "a socket has TLS around it already: pass the plain one, and the context"
        )
    try:
        bound = sock.getsockname()
        copy = os.dup(sock.fileno())
    except OSError as exc:
        raise ConfigError(f"a socket cannot be used: {exc.strerror}") from exc
    if isinstance(bound, tuple):
        address: Address = TcpAddress(bound[0], bound[1])
    else:
        name = bound.replace(b"\0", b"@").decode() if type(bound) is bytes else bound
        address = UnixAddress(name)
    try:
        return Listener(_adopt(copy, str(address)), address, tls=tls, owner=None)
    except BaseException:
        os.close(copy)
        raise


def reconfigure(listener: Listener, settings: Settings) -> None:
    """Applies backlog, TCP options and file mode to a socket that listens already.

    Connections accepted from now on inherit the options; the rest counts at once.
    """
    set_tcp_options(listener.sock, settings)
    if listener.file is not None and isinstance(listener.source, UnixAddress):
        os.chmod(listener.source.path, settings.unix_socket_mode)
    listener.sock.listen(settings.backlog)


def _present(known: Mapping[str, Listener], address: Address) -> list[Listener]:
    """Returns all listeners for `address` that clients reach, in order."""
    parts: list[Listener] = []
    while (key := f"{address}#{len(parts)}") in known:
        part = known[key]
        if part.is_lost():
            if part.owner is not None:
                LOG.warning("the file of %s is gone; it is bound anew", address)
            # The new one may have the same inode, and is not the old one's to remove.
            part.owner = None
            return []
        parts.append(part)
    return parts


def _open(
    name: str, address: Address, settings: Settings, source: Inheritance
) -> list[Listener]:
    inherited = _take(name, address, source)
    if inherited:
        return inherited
    match address:
        case TcpAddress():
            return _open_tcp(address, settings)
        case UnixAddress():
            return [_open_unix(address, settings)]
        case InheritedAddress():
            passed = [Listener(_adopt(address.fd, str(address)), address)]
        case SystemdAddress():
            passed = _from_systemd(address, source)
    for listener in passed:
        set_tcp_options(listener.sock, settings)
    return passed


def _take(name: str, address: Address, source: Inheritance) -> list[Listener]:
    """Returns what a predecessor had; it keeps files and options until it goes."""
    taken: list[Listener] = []
    while (
        fd := source.predecessor.pop(f"{name} {address}#{len(taken)}", None)
    ) is not None:
        sock = _adopt(fd, str(address))
        file = None
        if isinstance(address, UnixAddress) and not address.is_abstract:
            file = file_at(address.path)
            if file is None:
                # Nobody reaches it any more: it is bound anew.
                sock.close()
                continue
        taken.append(Listener(sock, address, len(taken), file=file, owner=None))
    return taken


def try_addresses(settings: Settings) -> list[str]:
    """Binds every address for a moment, without listening, or says why that shows nothing.

    Raises what `open_listeners` would, but for an address that is in use: the server that
    uses it may be the one that is to be started anew with these settings.
    """
    untried = []
    for address in settings.binds:
        try:
            match address:
                case TcpAddress():
                    for listener in _open_tcp(address, settings, listening=False):
                        listener.close()
                case UnixAddress():
                    try_unix(address)
                case _:
                    untried.append(f"{address}, which is passed to a server")
        except AddressInUse:
            untried.append(f"{address}, which is in use")
    return untried


def _open_tcp(
    address: TcpAddress, settings: Settings, *, listening: bool = True
) -> list[Listener]:
    targets = resolve(address)
    for attempt in range(_SAME_PORT_ATTEMPTS):
        try:
            return _bind_all(address, targets, settings, listening=listening)
        except AddressInUse:
            # Port 0 on a name with several addresses: the port that the kernel chose for
            # the first was taken on another.
            if address.port or len(targets) == 1 or attempt == _SAME_PORT_ATTEMPTS - 1:
                raise
    raise AssertionError("the loop returns or raises")


def _bind_all(
    address: TcpAddress,
    targets: list[tuple[int, tuple[Any, ...]]],
    settings: Settings,
    *,
    listening: bool,
) -> list[Listener]:
    opened: list[Listener] = []
    absent: BindError | None = None
    port = address.port
    try:
        for family, target in targets:
            shown = TcpAddress(target[0], port)
            where = (target[0], port, *target[2:])
            try:
                sock = bind_tcp(family, where, shown, settings, listening=listening)
            except NoSuchAddress as exc:
                # A name may list ::1 on a machine without IPv6: the others will do.
                absent = exc
                continue
            opened.append(Listener(sock, address, len(opened)))
            port = sock.getsockname()[1]
    except BaseException:
        for listener in opened:
            listener.close()
        raise
    if not opened and absent is not None:
        raise absent
    return opened


def _open_unix(address: UnixAddress, settings: Settings) -> Listener:
    sock = bind_unix(address, settings)
    file = None if address.is_abstract else file_at(address.path)
    return Listener(sock, address, file=file)


def _from_systemd(address: SystemdAddress, source: Inheritance) -> list[Listener]:
    fds = [
        fd
        for name, fd in source.systemd
        if address.name is None or name == address.name
    ]
    if not fds:
        raise BindError(
            f"bind = {address}: no such socket was passed by systemd "
            "(start the socket unit, or check FileDescriptorName)"
        )
    taken: list[Listener] = []
    for fd in fds:
        given = _adopt(fd, str(address))
        taken.append(Listener(given.dup(), address, len(taken)))
        given.detach()
    return taken


def _adopt(fd: int, shown: str) -> socket.socket:
    """Returns a socket around an inherited descriptor that must listen already."""
    try:
        sock: socket.socket = unpatched.Socket(fileno=fd)
    except OSError as exc:
        raise BindError(f"bind = {shown}: descriptor {fd}: {exc.strerror}") from exc
    try:
        listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as exc:
        sock.detach()
        raise BindError(f"bind = {shown}: descriptor {fd}: {exc.strerror}") from exc
    if not listening or sock.type != socket.SOCK_STREAM:
        sock.detach()
        raise ConfigError(
            f"bind = {shown}: descriptor {fd} is not a listening stream socket"
        )
    sock.setblocking(False)
    os.set_inheritable(fd, False)
    return sock
