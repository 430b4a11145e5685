"""What a `conf` says of the server's options, with everything that its values name put in.

A service registers the options that it wants to have on its own `ConfigOpts`; it may own
names that ours would clash with. All others can stand in a section of ours in the same
files: its operators set them there, and the service never hears of them.

oslo.config raises the same error for an option that nobody registered and for a `$name` in
a value that nobody registered. So no error is taken for absence here: whether an option is
registered is asked. This module and `snapshot` are those that touch the inside of a
`ConfigOpts`.
"""

from __future__ import annotations

import copy
import re
from typing import Any, Final

from oslo_config import cfg

from wsgi_server import _options, opts
from wsgi_server.errors import ConfigError

#: The section for the options that a service does not have.
SECTION: Final = "wsgi_server"

#: Where a value stands that nobody in particular has set.
_BY_DEFAULT: Final = (cfg.Locations.opt_default, cfg.Locations.set_default)

#: How oslo.config says where a value stands.
_LOCATION: Final = re.compile(r"LocationInfo\(location=.*?, detail='(.*?)'\)")


class Values:
    """The values of our options in `conf`, or else in the section of ours.

    `conf` is a `ConfigOpts`, one of its groups, or an object that has options of `cfg.CONF`
    as attributes; `cfg.CONF` where it is None. What stands in `section` of its files wins
    over what stands elsewhere in them.
    """

    def __init__(self, conf: Any = None, section: str | None = None) -> None:
        self._conf = cfg.CONF if conf is None else conf
        self._view = View(root(self._conf))
        self._view.register_missing(opts.ALL_OPTS, SECTION)
        self._section = section
        if section is not None:
            self._view.register_missing(opts.ALL_OPTS, section)
        #: The group in which options are looked for first.
        self._group = None
        if isinstance(conf, cfg.ConfigOpts.GroupAttr):
            self._group = conf._group.name

    def __getitem__(self, option: _options.Option) -> Any:
        """Returns the value; the default where it is empty. Raises `ConfigError`."""
        try:
            if not isinstance(self._conf, cfg.ConfigOpts | cfg.ConfigOpts.GroupAttr):
                return self._attribute(option)
            return self._view.read(option, self._place(option))
        except RecursionError:
            raise ConfigError(f"option {option.name}: its value names itself") from None
        except (cfg.Error, ValueError) as exc:
            plain = _LOCATION.sub(r"\1", str(exc))
            raise ConfigError(f"option {option.name}: {plain}") from exc

    def is_set(self, option: _options.Option) -> bool:
        """Tells whether somebody says what it is: a file, the command line, the program."""
        group: str | None = SECTION
        if isinstance(self._conf, cfg.ConfigOpts | cfg.ConfigOpts.GroupAttr):
            group = self._place(option)
        elif option.name in dir(type(self._conf)):
            return True
        return self._view.is_set(option.name, group)

    def source(self, option: _options.Option) -> str:
        """Where the value stands, for people."""
        if not self.is_set(option):
            return "default"
        own = isinstance(self._conf, cfg.ConfigOpts | cfg.ConfigOpts.GroupAttr)
        where = self._view.get_location(
            option.name, self._place(option) if own else SECTION
        )
        if where is None:
            return "the program"
        kind = where.location.name.replace("_", " ")
        return str(where.detail or {"set override": "command line"}.get(kind, kind))

    def _place(self, option: _options.Option) -> str | None:
        """The group of `conf` in which the value stands."""
        if self._section is not None and self._view.is_set(option.name, self._section):
            where = self._view.get_location(option.name, self._group)
            if where is None or where.location is not cfg.Locations.set_override:
                return self._section
        return self._group if self._view.has(option.name, self._group) else SECTION

    def _attribute(self, option: _options.Option) -> Any:
        try:
            return getattr(self._conf, option.name)
        except cfg.NoSuchOptError as exc:
            if not _says_absent(exc, option.name):
                raise ConfigError(
                    f"option {option.name}: {exc.__context__ or exc}"
                ) from exc
        return self._view.read(option, SECTION)


def _says_absent(exc: BaseException | None, name: str) -> bool:
    """Tells whether the option itself is missing, and not something that its value names.

    A `ConfigOpts` raises this error in place of any other that it meets.
    """
    while isinstance(exc, cfg.NoSuchOptError) and exc.opt_name == name:
        exc = exc.__context__
        if not isinstance(exc, cfg.Error | RecursionError):
            return True
    return False


class View(cfg.ConfigOpts):
    """`conf` as it is, with more options on it of which `conf` never hears.

    A `$name` in a value stands for the option of that name, or else for what the files or
    the environment say under it.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        super().__init__()
        # What is read here may not be what `conf` would read.
        fresh = {name: value for name, value in vars(self).items() if "cache" in name}
        vars(self).update(vars(conf), **fresh)
        self._opts = dict(conf._opts)
        self._groups = {name: copy.copy(group) for name, group in conf._groups.items()}
        for group in self._groups.values():
            group._opts = dict(group._opts)

    def has(self, name: str, group: str | None = None) -> bool:
        """Tells whether there is such an option, wherever it was registered."""
        if group is None:
            return name in self._opts
        return group in self._groups and name in self._groups[group]._opts

    def is_set(self, name: str, group: str | None = None) -> bool:
        """Tells whether somebody says what that option, which is there, is."""
        where = self.get_location(name, group)
        return where is not None and where.location not in _BY_DEFAULT

    def sections(self) -> dict[str, set[str]]:
        """The sections of the files, and the names that each of them sets."""
        found: dict[str, set[str]] = {}
        for parsed in getattr(self._namespace, "_parsed", ()):
            for section, values in parsed.items():
                names = {name.replace("-", "_") for name in values}
                found.setdefault(section, set()).update(names)
        return found

    def register_missing(self, options: Any, group: str | None = None) -> None:
        """Registers those of `options` that are not there."""
        for opt in options:
            if not self.has(opt.dest, group):
                self.register_opt(opt, group)

    def forget(self, name: str, group: str | None) -> None:
        """Takes an option out again: `unregister_opt` is for the time before parsing."""
        del (self._opts if group is None else self._groups[group]._opts)[name]

    def read(self, option: _options.Option, group: str | None) -> Any:
        """Returns the value in that group, where it is empty its registrant's default."""
        # By name it is not known to every version of oslo.config.
        where = None if group is None else self._get_group(group)
        value = self._get(option.name, where)
        if value is None or (value == "" and _options.CAN_BE_OFF not in option.traits):
            info = self._get_opt_info(option.name, where)
            value = info.get("default", info["opt"].default)
            value = self._convert_value(self._substitute(value, where), info["opt"])
        return value

    def _convert_value(self, value: Any, opt: cfg.Opt) -> Any:
        """Makes no value of an empty one, whatever the type would make of it."""
        if opt.multi:
            value = [item for item in value or () if item != ""]
        elif value is None or (value == "" and not _options.keeps_empty(opt)):
            return None
        return super()._convert_value(value, opt)

    class StrSubWrapper(cfg.ConfigOpts.StrSubWrapper):
        """What the names in a value stand for."""

        def __getitem__(self, key: str) -> Any:
            group, _, name = key.rpartition(".")
            own = (
                self.group.name if isinstance(self.group, cfg.OptGroup) else self.group
            )
            places: list[str | None] = [group] if group else [own, None]
            if not any(self.conf.has(name, place) for place in places):
                self._define(key, name, places)
            return super().__getitem__(key)

        def _define(self, key: str, name: str, places: list[str | None]) -> None:
            """Registers an option for what the files or the environment say."""
            opt = cfg.StrOpt(name)
            for place in places:
                self.conf.register_opt(opt, place)
                if self.conf.get_location(name, place) is not None:
                    return
                self.conf.forget(name, place)
            raise cfg.Error(
                f"${key} in its value is defined nowhere (a dollar sign is written $$)"
            )


def root(conf: Any) -> cfg.ConfigOpts:
    """Returns the `ConfigOpts` behind `conf`: itself, a group's, or else `cfg.CONF`."""
    if isinstance(conf, cfg.ConfigOpts):
        return conf
    if isinstance(conf, cfg.ConfigOpts.GroupAttr):
        return conf._conf
    return cfg.CONF
