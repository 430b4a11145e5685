"""Windows' job objects: processes that end with the one that holds the job."""

from __future__ import annotations

import ctypes
import logging
from typing import Any, Final

LOG = logging.getLogger(__name__)

_EXTENDED_LIMITS: Final = 9
_KILL_ON_CLOSE: Final = 0x2000


class _Limits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = (
        ("process_time", ctypes.c_int64),
        ("job_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("smallest", ctypes.c_size_t),
        ("largest", ctypes.c_size_t),
        ("processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority", ctypes.c_uint32),
        ("scheduling", ctypes.c_uint32),
        ("io", ctypes.c_uint64 * 6),
        ("memory", ctypes.c_size_t * 4),
    )


class JobObject:
    """Ends, when this process does, every process that was added; by the system itself.

    Where there are none, or one is refused (an old Windows allows a process one job), those
    processes have to notice by themselves.
    """

    def __init__(self) -> None:
        self._kernel: Any = None
        self._job: int | None = None
        load: Any = vars(ctypes).get("WinDLL")
        if load is None:
            return
        self._kernel = load("kernel32")
        self._kernel.CreateJobObjectW.restype = ctypes.c_void_p
        job = self._kernel.CreateJobObjectW(None, None)
        limits = _Limits(flags=_KILL_ON_CLOSE)
        # The handle stays open until the process ends, whatever ends it.
        if job and self._kernel.SetInformationJobObject(
            ctypes.c_void_p(job),
            _EXTENDED_LIMITS,
            ctypes.byref(limits),
            ctypes.sizeof(limits),
        ):
            self._job = job

    def add(self, process: Any) -> bool:
        """Adds a `subprocess.Popen`; false where that is impossible."""
        if self._job is None:
            return False
        added = self._kernel.AssignProcessToJobObject(
            ctypes.c_void_p(self._job), ctypes.c_void_p(int(process._handle))
        )
        if not added:
            LOG.warning("process %d is in no job: it is to end by itself", process.pid)
        return bool(added)
