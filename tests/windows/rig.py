"""Makes a CPython for Windows that runs under Wine: `python rig.py FOLDER WHEEL`.

Nobody publishes one as a package, but the parts are there: the `win_amd64` wheel of panda3d
holds CPython's DLLs and extension modules for programs to be shipped with, the standard
library is that of any Python of the same version, and what starts it is ten lines of C.
`FOLDER` gets `python/`, a Wine `prefix/`, and `python.sh`, which starts the one in the other.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

COMPILER: Final = "x86_64-w64-mingw32-gcc"
DUMP: Final = "x86_64-w64-mingw32-objdump"
#: Beside the interpreter, where Windows looks for them first; the others are imported.
_BESIDE: Final = re.compile(
    r"(python3|VCRUNTIME|libcrypto|libssl|libffi|sqlite3).*\.dll"
)
_IMPORTED: Final = re.compile(r".*\.pyd")
_LEFT_OUT: Final = shutil.ignore_patterns(
    "__pycache__", "site-packages", "test", "tests", "idlelib", "*.so", "config-*"
)

LAUNCHER: Final = """
#include <wchar.h>
__declspec(dllimport) int Py_Main(int, wchar_t **);
int wmain(int argc, wchar_t **argv) { return Py_Main(argc, argv); }
"""

#: What `python.exe` of a virtual environment is: it starts the real one,
#: which ends with it, and waits.
REDIRECTOR: Final = """
#include <windows.h>
#include <wchar.h>
int wmain(void)
{
    wchar_t me[MAX_PATH], *base = _wgetenv(L"RIG_BASE_PYTHON");
    STARTUPINFOW si = {sizeof si};
    PROCESS_INFORMATION pi;
    HANDLE job = CreateJobObjectW(NULL, NULL);
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    DWORD code = 103;
    GetModuleFileNameW(NULL, me, MAX_PATH);
    SetEnvironmentVariableW(L"__PYVENV_LAUNCHER__", me);
    GetStartupInfoW(&si);
    if (!base || !CreateProcessW(base, GetCommandLineW(), NULL, NULL, TRUE, 0, NULL, NULL, &si, &pi))
        return 103;
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
    AssignProcessToJobObject(job, pi.hProcess);
    SetConsoleCtrlHandler(NULL, TRUE);
    WaitForSingleObject(pi.hProcess, INFINITE);
    GetExitCodeProcess(pi.hProcess, &code);
    return code;
}
"""


def build(folder: Path, wheel: Path) -> None:
    """Makes the whole; a folder that was not finished is begun anew."""
    shutil.rmtree(folder, ignore_errors=True)
    home = folder / "python"
    (home / "DLLs").mkdir(parents=True)
    _unpack(wheel, home)
    library = Path(os.__file__).parent
    shutil.copytree(library, home / "Lib", ignore=_LEFT_OUT)
    (home / "Lib/site-packages").mkdir()
    _mend(home / "Lib/importlib/metadata/__init__.py")
    version = "{}{}".format(*sys.version_info)
    _compile(home, version)
    script = folder / "python.sh"
    script.write_text(
        "#!/bin/sh\n"
        f"export WINEPREFIX='{folder / 'prefix'}' WINEDEBUG=-all WINEARCH=win64\n"
        "export WINEDLLOVERRIDES='mscoree,mshtml=;winemenubuilder.exe='\n"
        f"exec wine '{home / 'python.exe'}' \"$@\" </dev/null\n"
    )
    script.chmod(0o755)
    check = "import ctypes, socket, ssl, sys; print(sys.version)"
    subprocess.run([script, "-c", check], check=True)


def _unpack(wheel: Path, home: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            place, _, name = member.rpartition("/")
            if place != "deploy_libs":
                continue
            if _BESIDE.fullmatch(name):
                (home / name).write_bytes(archive.read(member))
            elif _IMPORTED.fullmatch(name):
                (home / "DLLs" / name).write_bytes(archive.read(member))


def _mend(module: Path) -> None:
    """The DLL may be a newer patch release, whose import system calls this one."""
    text = module.read_text("utf-8")
    method = "    def invalidate_caches(cls)"
    if f"@classmethod\n{method}" not in text:
        text = text.replace(method, f"    @classmethod\n{method}")
    module.write_text(text, "utf-8")


def _compile(home: Path, version: str) -> None:
    dll = home / f"python{version}.dll"
    table = subprocess.run(
        [DUMP, "-p", dll], check=True, capture_output=True, text=True
    ).stdout
    names = re.findall(r"^\s+\[ *\d+\] (_?Py\w+)$", table, re.MULTILINE)
    # Extension modules of the stable ABI import from python3.dll, which only passes on.
    forwards = "".join(f"  {name}={dll.stem}.{name}\n" for name in names)
    definition = home / "python3.def"
    definition.write_text(f"LIBRARY python3.dll\nEXPORTS\n{forwards}")
    _run(COMPILER, "-shared", "-nostdlib", "-o", home / "python3.dll", definition)
    for name, source, options in (
        ("python", LAUNCHER, (dll,)),
        ("redirector", REDIRECTOR, ()),
    ):
        code = home / f"{name}.c"
        code.write_text(source)
        _run(COMPILER, "-municode", "-o", home / f"{name}.exe", code, *options)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    build(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
