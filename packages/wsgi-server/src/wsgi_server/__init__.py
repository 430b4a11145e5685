"""A pre-forking WSGI server: sockets, TLS, processes, pools, signals, reload.

The names here are imported when they are first used: `import wsgi_server` loads neither an
engine nor anything slow.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._config.lookup import get_bind_addr, get_num_workers
    from ._net.standalone import get_socket, ssl_wrap_socket
    from .opts import register_cli_opts
    from .pools import (
        get_asynchronous_eventlet_pool,
        get_asynchronous_pool,
        set_eventlet_hub,
    )
    from .posix import PosixServer
    from .posix import PosixServer as Server
    from .server import BaseServer
    from .stores import initialize_glance_store, initialize_multi_store
    from .win32 import Win32ProcessLauncher, Win32Server

__version__ = "0.1.0"

__all__ = [
    "BaseServer",
    "PosixServer",
    "Server",
    "Win32ProcessLauncher",
    "Win32Server",
    "get_asynchronous_eventlet_pool",
    "get_asynchronous_pool",
    "get_bind_addr",
    "get_num_workers",
    "get_socket",
    "initialize_glance_store",
    "initialize_multi_store",
    "register_cli_opts",
    "set_eventlet_hub",
    "ssl_wrap_socket",
]

_HOMES = {
    "BaseServer": "server",
    "PosixServer": "posix",
    "Server": "win32" if os.name == "nt" else "posix",
    "Win32ProcessLauncher": "win32",
    "Win32Server": "win32",
    "get_asynchronous_eventlet_pool": "pools",
    "get_asynchronous_pool": "pools",
    "get_bind_addr": "_config.lookup",
    "get_num_workers": "_config.lookup",
    "get_socket": "_net.standalone",
    "initialize_glance_store": "stores",
    "initialize_multi_store": "stores",
    "register_cli_opts": "opts",
    "set_eventlet_hub": "pools",
    "ssl_wrap_socket": "_net.standalone",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f".{_HOMES[name]}", __name__)
    if name == "Server":
        name = "Win32Server" if os.name == "nt" else "PosixServer"
    return getattr(home, name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
