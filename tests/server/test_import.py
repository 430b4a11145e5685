"""`import wsgi_server` is light, and has every name that the seeds promise."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import pytest
import wsgi_server

#: The server half of both API references.
SEEDS = {
    "BaseServer": [
        *("cache_images", "configure", "configure_socket", "create_pool", "hup"),
        *("kill_children", "reload", "run_child", "run_server", "set_signal_handler"),
        *("start", "start_wsgi", "stash_conf_values", "wait", "wait_on_children"),
    ],
    "PosixServer": ["kill_children", "reload", "run_child", "wait_on_children"],
    "Server": ["configure_socket", "hup", "kill_children", "reload", "start", "wait"],
    "Win32ProcessLauncher": ["add_process", "wait"],
    "Win32Server": [
        "configure_socket",
        "kill_children",
        "run_child",
        "wait_on_children",
    ],
    "get_asynchronous_eventlet_pool": [],
    "get_bind_addr": [],
    "get_num_workers": [],
    "get_socket": [],
    "initialize_glance_store": [],
    "initialize_multi_store": [],
    "register_cli_opts": [],
    "set_eventlet_hub": [],
    "ssl_wrap_socket": [],
}


def run(program: str) -> str:
    """What a program prints in a fresh interpreter whose warnings are errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        # Measuring coverage imports greenlet, and more, before the program begins.
        env={key: os.environ[key] for key in os.environ if "COVERAGE" not in key},
    ).stdout.strip()


def test_importing_the_package_loads_nothing_slow() -> None:
    heavy = "{'eventlet', 'greenlet', 'ssl', 'asyncio', 'glance_store', 'oslo_config'}"
    program = f"import wsgi_server, sys; print(sorted({heavy} & sys.modules.keys()))"
    assert run(program) == "[]"


@pytest.mark.parametrize(
    "module", ["wsgi_server.cli", "wsgi_server.server", "wsgi_server.opts"]
)
def test_no_module_but_an_engine_needs_eventlet(module: str) -> None:
    heavy = "{'eventlet', 'greenlet', 'glance_store'}"
    program = f"import {module}, sys; print(sorted({heavy} & sys.modules.keys()))"
    assert run(program) == "[]"


def test_win32_server_needs_no_module_that_windows_lacks() -> None:
    absent = "('fcntl', 'grp', 'pwd', 'resource', 'syslog', 'termios')"
    program = f"import sys; sys.modules.update(dict.fromkeys({absent}))"
    assert run(f"{program}\nimport wsgi_server.win32 as m; print(m.Win32Server)")


def test_the_package_has_the_names_of_the_seeds_and_few_others() -> None:
    assert sorted(wsgi_server.__all__) == sorted([*SEEDS, "get_asynchronous_pool"])
    assert set(SEEDS) <= set(dir(wsgi_server))


@pytest.mark.parametrize("name", SEEDS)
def test_each_name_is_there_and_documented(name: str) -> None:
    found = getattr(wsgi_server, name)
    assert inspect.getdoc(found)
    for method in SEEDS[name]:
        assert inspect.getdoc(getattr(found, method))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        wsgi_server.nothing  # noqa: B018
