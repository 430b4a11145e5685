"""How an option is declared: once, with all that the server knows of it.

`opts` declares them; settings, help and documentation are derived from that.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from oslo_config import cfg
from oslo_config import types as cfg_types


class Trait(enum.Flag):
    """What the server knows of an option beside what oslo.config is told of it."""

    #: It has a command-line form.
    COMMON = enum.auto()
    #: Zero, or an empty text, switches off what it sets: None in the settings.
    CAN_BE_OFF = enum.auto()
    #: It says nothing to a process without workers.
    OF_WORKERS = enum.auto()
    #: Only a restart can change it.
    NEEDS_RESTART = enum.auto()
    #: A listening socket, or who serves it, depends on it.
    OF_SOCKET = enum.auto()
    #: It is one for all applications that a server serves.
    OF_SERVER = enum.auto()


COMMON, CAN_BE_OFF, OF_WORKERS, NEEDS_RESTART, OF_SOCKET, OF_SERVER = Trait
PLAIN: Final = Trait(0)


@dataclass(frozen=True)
class Option:
    """An option: oslo.config's, what stands for a value in the help, and its traits."""

    opt: cfg.Opt
    metavar: str | None
    traits: Trait

    @property
    def name(self) -> str:
        """Its name in files and in the settings, with underscores."""
        return str(self.opt.dest)

    def parse(self, text: str) -> Any:
        """Returns the value that a text means; None for no value. Raises `ValueError`."""
        return self.opt.type(text) if text or keeps_empty(self.opt) else None

    def meaning(self, value: Any) -> Any:
        """Returns `value`, the default where that says nothing; None for "off"."""
        can_be_off = CAN_BE_OFF in self.traits
        if value is None or (value == "" and not can_be_off):
            value = self.opt.default
        return None if can_be_off and not value else value


def keeps_empty(opt: cfg.Opt) -> bool:
    """Tells whether an empty text is one of its values: to the others it says nothing."""
    return isinstance(opt.type, cfg_types.String) and not opt.type.choices


def declare(
    kind: Callable[..., cfg.Opt],
    name: str,
    default: Any = None,
    traits: Trait = PLAIN,
    *,
    metavar: str | None = None,
    zero: str = "",
    **keywords: Any,
) -> Callable[[str], Option]:
    """Returns what makes the option from its help text.

    `zero` ends the sentence that says what 0 does, where it switches the option off.
    """
    if zero:
        traits |= CAN_BE_OFF
    if "choices" in keywords:
        metavar = "|".join(str(name) for name, _ in keywords["choices"])

    def described(text: str) -> Option:
        if zero:
            text = f"{text} 0 {zero}."
        if OF_WORKERS in traits:
            text = f"{text} Without effect where workers = 0."
        return Option(
            kind(name, default=default, help=text, **keywords), metavar, traits
        )

    return described


seconds = functools.partial(declare, cfg.FloatOpt, metavar="SECONDS", min=0)
count = functools.partial(declare, cfg.IntOpt, metavar="N", min=0)
text = functools.partial(declare, cfg.StrOpt)
file = functools.partial(declare, cfg.StrOpt, metavar="FILE")
switch = functools.partial(declare, cfg.BoolOpt)
networks = functools.partial(
    declare, cfg.ListOpt, metavar="LIST", item_type=cfg_types.String()
)
host = functools.partial(declare, cfg.HostAddressOpt, metavar="HOST")
port = functools.partial(declare, cfg.PortOpt, metavar="PORT")
address = functools.partial(declare, cfg.StrOpt, metavar="ADDRESS")
addresses = functools.partial(declare, cfg.MultiStrOpt, metavar="ADDRESS")
names = functools.partial(
    declare, cfg.ListOpt, metavar="LIST", item_type=cfg_types.String()
)
