"""The real Glance, started on our server as the guide says, and its own SDK.

`nox -s services` runs this, where Glance and openstacksdk are installed: the paste file is
the one that Glance brings, images are files and the database is SQLite.
"""

from __future__ import annotations

import hashlib
import io
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import live
import openstack
import pages
import pytest
import requests
from glance import policies
from server.process.support import Load
from upstream.conftest import LOADING, PREFIX, Launch, Run

pytestmark = [
    pytest.mark.timeout(600),
    # What the SDK has to say to its maintainers.
    pytest.mark.filterwarnings("ignore:::openstack"),
]

GUIDE = "docs/stack/from-glance.md"
CONF = """
[DEFAULT]
bind_host = 127.0.0.1
bind_port = 0
workers = 2
use_stderr = true
enabled_backends = files:file
[glance_store]
default_backend = files
[files]
filesystem_store_datadir = {here}/images
[os_glance_staging_store]
filesystem_store_datadir = {here}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {here}/tasks
[database]
connection = sqlite:///{here}/glance.sqlite
[paste_deploy]
config_file = {prefix}/etc/glance/glance-api-paste.ini
[oslo_policy]
policy_file = {here}/policy.yaml
[wsgi_server]
access_log = {here}/access.log
"""
#: The image: some MiB that no one can guess, always the same.
CONTENT = random.Random(0).randbytes(6 << 20)
HALF = len(CONTENT) // 2

Glance = Callable[[str], live.LiveServer]


@pytest.fixture
def conf(tmp_path: Path, run: Run) -> Path:
    """Glance's configuration, with its database made by `glance-manage`."""
    path = tmp_path / "glance-api.conf"
    path.write_text(CONF.format(here=tmp_path, prefix=PREFIX))
    # Without Keystone nobody has a role.
    rules = [f'"{rule.name}": "@"\n' for rule in policies.list_rules()]
    (tmp_path / "policy.yaml").write_text("".join(rules))
    done = run("glance-manage", "--config-file", str(path), "db", "sync")
    assert done.returncode == 0, done.stderr
    return path


def write(conf: Path, old: str, new: str) -> None:
    """Changes one line of the configuration."""
    text = conf.read_text()
    assert old in text
    conf.write_text(text.replace(old, new))


@pytest.fixture
def command(tmp_path: Path) -> tuple[str, ...]:
    """What the guide starts in place of `glance-api`."""
    (tmp_path / "glance-api").write_text(pages.block(GUIDE, "glance.cmd.api"))
    return "python", "glance-api"


@pytest.fixture
def glance(
    tmp_path: Path, conf: Path, command: tuple[str, ...], launch: Launch
) -> Glance:
    """A function that starts Glance on an engine."""

    def start(engine: str) -> live.LiveServer:
        if engine == "eventlet":
            return launch(*command, "--config-file", str(conf))
        application = pages.block(GUIDE, "glance.wsgi.api")
        (tmp_path / "glance_on_threads.py").write_text(application)
        return launch(
            *("wsgi-server", "glance_on_threads:application", "--engine", engine),
            *("--config-file", str(conf)),
            env={"OS_GLANCE_CONFIG_DIR": str(tmp_path)},
        )

    return start


def client(server: live.LiveServer) -> Any:
    """The image API of the SDK."""
    connection = openstack.connection.Connection(
        auth_type="none", endpoint=server.url, image_endpoint_override=server.url
    )
    return connection.image


def reload(server: live.LiveServer, generation: int) -> None:
    """HUP, and wait until other workers serve."""
    server.send(signal.SIGHUP)
    server.wait_for_log(f"generation {generation} serves", LOADING)


@pytest.mark.parametrize("engine", live.ENGINES)
def test_an_image_goes_all_its_ways_and_a_reload_loses_no_request(
    glance: Glance, engine: str, tmp_path: Path
) -> None:
    server = glance(engine)
    images = client(server)

    stored = images.create_image(
        "stored",
        data=io.BytesIO(CONTENT),
        disk_format="raw",
        container_format="bare",
    )
    stored = images.get_image(stored.id)
    assert (stored.status, stored.size) == ("active", len(CONTENT))
    assert stored.hash_value == hashlib.sha512(CONTENT).hexdigest()
    assert images.download_image(stored).content == CONTENT

    first = server.worker_pids()
    slow = images.create_image("slow", disk_format="raw", container_format="bare")
    download = images.download_image(stored, stream=True)
    received = [next(download.iter_content(HALF))]

    def pieces() -> Iterator[bytes]:
        yield CONTENT[:HALF]
        reload(server, 2)
        yield CONTENT[HALF:]

    load = Load()
    load.add("list", lists(server))
    with load:
        server.wait_for("the first lists", lambda: load.done > 2)
        # Its first half is sent to a worker that has retired when the second one comes.
        uploaded = images.put(
            f"/images/{slow.id}/file",
            data=pieces(),
            headers={"Content-Type": "application/octet-stream"},
        )
        done = load.done
        server.wait_for("lists by the new workers", lambda: load.done > done + 2)
        received += download.iter_content(65536)
        server.wait_for(
            "the old workers' end", lambda: not first & server.worker_pids()
        )
        reload(server, 3)
    assert load.failures == []
    assert uploaded.status_code == 204
    assert b"".join(received) == CONTENT

    slow = images.get_image(slow.id)
    assert (slow.status, slow.checksum) == ("active", stored.checksum)
    images.update_image(slow, name="renamed", min_disk=2)
    assert sorted(image.name for image in images.images()) == ["renamed", "stored"]
    assert images.get_image(slow.id).min_disk == 2

    for image in (stored, slow):
        images.delete_image(image)
    assert list(images.images()) == []
    assert list((tmp_path / "images").iterdir()) == []
    assert server.stop() == 0


def lists(server: live.LiveServer) -> Callable[[], None]:
    """Lists of images, each on a connection of its own."""

    def turn() -> None:
        response = server.get("/v2/images")
        assert response.status == 200
        assert b'"stored"' in response.body

    return turn


@pytest.mark.parametrize("engine", live.ENGINES)
def test_the_request_layer_is_ours(glance: Glance, engine: str) -> None:
    server = glance(engine)
    headers = {"Content-Type": "application/json"}

    refused = requests.post(f"{server.url}/v2/images", "{", headers=headers, timeout=60)

    assert refused.status_code == 400
    # The original says what `json` says.
    assert "The body is not valid JSON" in refused.text
    assert requests.get(f"{server.url}/healthcheck", timeout=60).text == "OK"


@pytest.mark.parametrize(
    ("old", "new", "status", "said"),
    [
        ("bind_host = 127.0.0.1", "bind_host = 192.0.2.1", 1, "cannot bind 192.0.2.1"),
        ("[wsgi_server]", "[wsgi_server]\nengine = threads", 1, "monkey_patch"),
        ("default_backend = files", "default_backend = absent", 1, "absent"),
        ("files:file", "files:file, os_glance_own:file", 1, "os_glance_own"),
        ("workers = 2", "workers = many", 5, "workers"),
    ],
    ids=["address", "engine", "store", "reserved", "value"],
)
def test_what_ends_a_start_has_the_exit_status_of_glances_command(
    conf: Path,
    command: tuple[str, ...],
    run: Run,
    old: str,
    new: str,
    status: int,
    said: str,
) -> None:
    write(conf, old, new)

    done = run(*command, "--config-file", str(conf))

    assert done.returncode == status, done.stderr
    error = done.stderr[done.stderr.index("ERROR: ") :]
    assert said in done.stderr
    assert "Traceback" not in error
