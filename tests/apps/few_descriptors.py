"""An application that leaves its worker a handful of descriptors."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterable
from typing import Any

_open = len(os.listdir("/proc/self/fd"))
_hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (_open + 12, _hard))


def app(
    environ: dict[str, Any], start_response: Callable[..., object]
) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"served"]
