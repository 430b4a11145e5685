"""What importing a drop-in does to the program that imports it: nothing but options."""

from __future__ import annotations

from typing import Any

import pytest

LOOK = """
import json, os, signal, sys, threading
import eventlet
if {patched}:
    eventlet.monkey_patch()
from eventlet import hubs, patcher

import oslo_config.cfg, logging, socket, webob


def look():
    umask = os.umask(0)
    os.umask(umask)
    return {{
        "handlers": [str(signal.getsignal(n)) for n in sorted(signal.valid_signals())],
        "wakeup": signal.set_wakeup_fd(-1),
        "threads": [thread.name for thread in threading.enumerate()],
        "umask": umask,
        "hub": str(getattr(hubs._threadlocal, "hub", None)),
        "patched": sorted(k for k, on in patcher.already_patched.items() if on),
        "logging": [logging.root.level, len(logging.root.handlers)],
        "socket": str(socket.socket),
        "argv": sys.argv,
        "path": sys.path,
        "environ": dict(os.environ),
        "descriptors": sorted(os.listdir("/proc/self/fd")),
    }}


before = look()
import wsgi_stack.{service}
after = look()
print(json.dumps([sorted(before), [k for k in before if before[k] != after[k]]]))
"""


@pytest.mark.parametrize("patched", [False, True], ids=["plain", "patched"])
@pytest.mark.parametrize("service", ["glance", "heat"])
def test_importing_changes_nothing_of_the_process(
    run_program: Any, service: Any, patched: Any
) -> None:
    looked_at, changed = run_program(LOOK.format(service=service, patched=patched))

    assert len(looked_at) == 12
    assert changed == []


@pytest.mark.parametrize("service", ["glance", "heat"])
def test_importing_loads_no_engine(run_program: Any, service: Any) -> None:
    assert (
        run_program(
            f"""
        import json, sys
        import wsgi_stack.{service}

        engines = {{"eventlet", "greenlet", "wsgi_server._engines.eventlet",
                    "wsgi_server._engines.threads"}}
        print(json.dumps(sorted(engines & set(sys.modules))))
        """
        )
        == []
    )
