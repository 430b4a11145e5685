"""Under which name, and with which arguments, an application finds itself started.

Services parse `sys.argv` while they are imported. What stands there decides which files
oslo.config finds (`/etc/PROJECT/PROG.conf`) and how oslo.log calls its file in `log_dir`;
neither should be ours.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import PurePath
from types import ModuleType
from typing import Any, Final

#: Where oslo.log asks for the name of the program: it takes the file of the outermost frame,
#: which is ours in every worker.
_OSLO_LOG: Final = "oslo_log.handlers"
_ASKED: Final = "_get_binary_name"


def derive(uri: str) -> str:
    """Returns the name of the program that would serve `uri` otherwise.

    `cinder-api` for `cinder.wsgi.api:application`; for a paste file its `#name`, or else
    the file's own name.
    """
    place, _, rest = uri.partition(":")
    if place in ("config", "egg"):
        path, _, name = rest.partition("#")
        return name if name not in ("", "main") else PurePath(path).stem
    parts = [part for part in place.split(".") if part != "wsgi"]
    return "-".join(parts) or place


def assume(name: str, arguments: Sequence[str]) -> None:
    """Has this process called `name`, with `arguments`, from now on."""
    # Where the scripts of this environment are: some look for files beside theirs.
    sys.argv[:] = [os.path.join(os.path.dirname(sys.executable), name), *arguments]
    if not any(isinstance(finder, _NamesOsloLog) for finder in sys.meta_path):
        sys.meta_path.insert(0, _NamesOsloLog())
    if _OSLO_LOG in sys.modules:
        _rename(sys.modules[_OSLO_LOG])


def _rename(handlers: ModuleType) -> None:
    if hasattr(handlers, _ASKED):
        setattr(handlers, _ASKED, lambda: os.path.basename(sys.argv[0]))


class _NamesOsloLog(importlib.abc.MetaPathFinder):
    """Tells oslo.log the name once it is imported, which costs nobody who has none."""

    def __init__(self) -> None:
        self._asked = False

    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _OSLO_LOG or self._asked:
            return None
        self._asked = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._asked = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _rename(module)
