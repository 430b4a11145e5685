"""Who the workers are: user, group and file creation mask.

The supervisor keeps what it was started with: a reload must be able to bind a low port
again and to read a renewed key. It runs no application code (unless `preload_app`); the
workers, which do, give their privileges up before they load it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsgi_server.errors import ConfigError

from .platform import HAS_USERS

# grp and pwd are imported where they are used: Windows has neither, and binds all the same.
if TYPE_CHECKING:
    import pwd


@dataclass(frozen=True, slots=True)
class Identity:
    """A user and group to become; None leaves that half alone."""

    uid: int | None = None
    gid: int | None = None
    #: For the supplementary groups.
    name: str | None = None

    def assume(self) -> None:
        """Becomes it, for good. Raises `ConfigError` when the system refuses."""
        try:
            if self.gid is not None and self.gid != os.getegid():
                os.setgid(self.gid)
            if self.uid is not None and self.uid != os.geteuid():
                if self.name is None:
                    os.setgroups([] if self.gid is None else [self.gid])
                else:
                    os.initgroups(self.name, os.getgid())
                os.setuid(self.uid)
        except OSError as exc:
            halves = {"user": self.uid, "group": self.gid}
            wanted = [
                f"{what} {one}" for what, one in halves.items() if one is not None
            ]
            raise ConfigError(
                f"cannot become {', '.join(wanted)}: {exc.strerror}"
            ) from exc

    def own(self, path: str) -> None:
        """Gives the file at `path` to it. Raises `OSError`."""
        if self.uid is not None or self.gid is not None:
            os.chown(
                path,
                -1 if self.uid is None else self.uid,
                -1 if self.gid is None else self.gid,
            )


def resolve(user: str | None, group: str | None) -> Identity:
    """The identity that the options name.

    A user without a group brings its own primary group. Raises `ConfigError` for an
    unknown name, for a user whose group nobody knows, and for anything but the present
    user and groups unless run by root.
    """
    uid = gid = None
    name = None
    if not HAS_USERS:
        wanted = [("user", user), ("group", group)]
        for option, value in wanted:
            if value is not None:
                raise ConfigError(
                    f"{option} = {value}: on this system a process keeps the account that "
                    "it was started with"
                )
        return Identity()
    if user is not None:
        account = _account(user)
        if account is None:
            if not user.isdecimal():
                raise ConfigError(f"user = {user}: no such user")
            uid = int(user)
        else:
            uid, gid, name = account.pw_uid, account.pw_gid, account.pw_name
    if group is not None:
        gid = _gid(group)
    if os.geteuid() != 0:
        if uid not in (None, os.geteuid()):
            raise ConfigError(f"user = {user}: only root can become another user")
        if gid is not None and gid not in _own_groups():
            named = (
                f"user = {user}: group {gid}" if group is None else f"group = {group}"
            )
            raise ConfigError(f"{named}: only root can become another group")
    elif uid and gid is None:
        raise ConfigError(
            f"user = {user}: no account says which group is its own (set group as well)"
        )
    return Identity(uid, gid, name)


def _own_groups() -> set[int]:
    """Those that a process may become without root; supplementary ones are not."""
    # macOS has no getresgid.
    saved = os.getresgid() if hasattr(os, "getresgid") else ()
    return {os.getgid(), os.getegid(), *saved}


def _account(user: str) -> pwd.struct_passwd | None:
    import pwd

    try:
        return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        return None


def _gid(group: str) -> int:
    if group.isdecimal():
        return int(group)
    import grp

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(f"group = {group}: no such group") from None
