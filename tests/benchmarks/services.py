"""Whole services on several servers: the example, Glance's list of images, Heat's of stacks.

The example runs behind its paste pipeline with oslo.middleware. Glance and Heat run on
the server that they bring, on uWSGI, and on ours with our module in place of theirs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from contenders import EVENTLET, SERVERS, THREADS, UWSGI, ours
from running import HERE, Server, Setup, Target, running

ROOT = HERE.parents[1]
BY_NAME = {server.name: server for server in SERVERS}
PREFIX = Path(sys.prefix, "etc")
IMAGES = 20

GLANCE_CONF = """
[DEFAULT]
default_log_levels = eventlet.wsgi.server=WARNING
bind_host = 127.0.0.1
workers = 1
enabled_backends = files:file
[glance_store]
default_backend = files
[files]
filesystem_store_datadir = {folder}/images
[os_glance_staging_store]
filesystem_store_datadir = {folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/tasks
[database]
connection = sqlite:///{folder}/glance.sqlite
[paste_deploy]
config_file = {prefix}/glance/glance-api-paste.ini
[oslo_policy]
policy_file = {folder}/policy.yaml
"""
HEAT_CONF = """
[DEFAULT]
default_log_levels = eventlet.wsgi.server=WARNING,heat.common.wsgi=WARNING
transport_url = fake://
[heat_api]
bind_host = 127.0.0.1
workers = 1
[database]
connection = sqlite:///{folder}/heat.sqlite
[paste_deploy]
flavor = noauth
api_paste_config = {prefix}/heat/api-paste.ini
[oslo_policy]
policy_file = {folder}/policy.yaml
"""


def _example(name: str) -> Server:
    one = BY_NAME[name]
    env = {"SERVICE": "example", "OS_IMAGES__DATA_DIR": "{folder}/data"}
    return replace(
        one,
        app="service_app:application",
        ready="/v1/images",
        env={**one.env, **env},
        path=[str(ROOT / "docs/examples/images")],
    )


EXAMPLE = tuple(
    _example(name)
    for name in (
        EVENTLET,
        THREADS,
        "gunicorn gthread",
        "uWSGI threads",
        "granian",
        "waitress",
    )
)


OWN = "its own server"


def _services(
    service: str, env: Mapping[str, str], *options: str
) -> tuple[Server, ...]:
    """An OpenStack service on ours, on the server that it brings, and on uWSGI."""
    command = [sys.executable, str(HERE / "service_app.py")]
    uwsgi = [*UWSGI, "--http11-socket", "127.0.0.1:{port}", "--threads", "{threads}"]
    programs: dict[str, tuple[str, Sequence[str], Sequence[str]]] = {
        EVENTLET: ("ours", command, ()),
        THREADS: ("ours", [*ours("threads", "--threads {threads}"), *options], ()),
        OWN: ("original", command, ()),
        "uWSGI threads": ("original", uwsgi, ["--disable-logging"]),
    }
    return tuple(
        Server(
            name,
            service,
            words,
            app="service_app:application",
            quiet=quiet,
            env={"SERVICE": service, "LAYER": layer, "HOME": "{folder}", **env},
            ready="/versions" if service == "glance" else "/",
        )
        for name, (layer, words, quiet) in programs.items()
    )


GLANCE = _services(
    "glance",
    {"OS_GLANCE_CONFIG_DIR": "{folder}", "OS_DEFAULT__BIND_PORT": "{port}"},
    *("--config-file", "{folder}/glance-api.conf"),
)
HEAT = _services("heat", {"OS_HEAT_API__BIND_PORT": "{port}"})


def prepare_example(folder: Path) -> None:
    """A catalogue of a few images."""
    with running(EXAMPLE[0], folder, Setup()) as target:
        _add_images(target, "/v1/images", {})


def prepare_glance(folder: Path) -> None:
    """Configuration, database and a few images."""
    _write_conf(folder, "glance", folder / "glance-api.conf", GLANCE_CONF)
    manage = str(Path(sys.executable).with_name("glance-manage"))
    conf = str(folder / "glance-api.conf")
    words = [manage, "--config-file", conf, "db", "sync"]
    subprocess.run(words, check=True, capture_output=True)
    with running(GLANCE[0], folder, Setup()) as target:
        formats = {"disk_format": "raw", "container_format": "bare"}
        _add_images(target, "/v2/images", formats)


def prepare_heat(folder: Path) -> None:
    """Configuration, where Heat looks for it by itself."""
    (folder / ".heat").mkdir()
    _write_conf(folder, "heat", folder / ".heat" / "heat.conf", HEAT_CONF)


def _write_conf(folder: Path, service: str, path: Path, text: str) -> None:
    path.write_text(text.format(folder=folder, prefix=PREFIX))
    # Glance and Heat have options of the same name: each needs a process of its own.
    code = (
        f"from {service} import policies as p; [print(r.name) for r in p.list_rules()]"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    # Without Keystone nobody has a role.
    rules = [f'"{name}": "@"\n' for name in printed.split()]
    (folder / "policy.yaml").write_text("".join(rules))


def _add_images(target: Target, path: str, fields: Mapping[str, str]) -> None:
    for number in range(IMAGES):
        request = urllib.request.Request(
            f"http://127.0.0.1:{target.port}{path}",
            json.dumps({"name": f"image-{number}", **fields}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            response.read()
