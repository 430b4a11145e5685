"""The standard library as it was before anybody monkey-patched it.

The supervisor forks, polls and waits for processes. A program that embeds the server may
have run `eventlet.monkey_patch()` before: its `select` has no `poll`, its `os.waitpid`
sleeps in a loop, and none of it survives a fork.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def original(name: str) -> Any:
    """The module `name`, unpatched; the ordinary one where eventlet is not loaded."""
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is None:
        return importlib.import_module(name)
    return patcher.original(name)


def threads_are_green() -> bool:
    """Whether somebody has made `threading` eventlet's."""
    patcher = sys.modules.get("eventlet.patcher")
    return patcher is not None and bool(patcher.is_monkey_patched("thread"))
