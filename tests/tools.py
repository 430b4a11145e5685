"""Programs that a few tests ask, and that nox does not install: skipped without them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

#: Where a distribution of Linux has them.
PACKAGES = {
    "curl": "curl",
    "openssl": "openssl",
    "haproxy": "haproxy",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "setpriv": "util-linux",
    "ss": "iproute2",
    "unshare": "util-linux",
}


def need(name: str) -> str:
    """The path of a program; without it the test is skipped, with the package to install."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: it is in the package {PACKAGES[name]}")
    return path


def self_signed(folder: Path, *, days: int = 2) -> tuple[Path, Path]:
    """A certificate for localhost and its key, made by openssl in `folder`."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *(need("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
            *("-days", str(days), "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


def listen_backlog(port: int) -> int:
    """The backlog of a listening socket, as the kernel has it (the Send-Q of `ss -l`)."""
    shown = subprocess.run(
        [need("ss"), "-Hltn", f"sport = :{port}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return int(shown.split()[2])
