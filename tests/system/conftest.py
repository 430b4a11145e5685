"""The example service: loaded in process from its own ini file, or served by the command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import live
import pytest
from oslo_config import cfg
from system.registry import EXAMPLE, Registry
from wsgi_paste import paste_deploy_app

# The example is a plain folder that is not installed; the command gets it by PYTHONPATH.
sys.path.insert(0, str(EXAMPLE))


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Registry]:
    """A function that loads the example with options of `[images]` as keywords.

    `more` is text for its configuration file.
    """

    def load(name: str = "main", more: str = "", **options: object) -> Registry:
        state = tmp_path / "state"
        lines = [f"{key} = {value}" for key, value in options.items()]
        extra = tmp_path / "extra.conf"
        extra.write_text("\n".join(["[images]", f"data_dir = {state}", *lines, more]))
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[str(EXAMPLE / "images.conf"), str(extra)])
        app = paste_deploy_app(str(EXAMPLE / "api-paste.ini"), name, conf)
        return Registry(app, state)

    return load


@pytest.fixture
def registry(load: Callable[..., Registry]) -> Registry:
    """The example as its own files configure it."""
    return load()


@pytest.fixture(params=live.ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Both engines; nothing in the example patches the process."""
    name: str = request.param
    return name


@pytest.fixture
def serve(
    live_server: Callable[..., live.LiveServer], tmp_path: Path
) -> Callable[..., live.LiveServer]:
    """A function that starts the example as `nox -s serve` does; arguments are added."""

    def serve(*args: str, env: Mapping[str, str] | None = None) -> live.LiveServer:
        return live_server(
            f"config:{EXAMPLE}/api-paste.ini#main",
            *("--config-file", f"{EXAMPLE}/images.conf", "--workers", "2", *args),
            env={
                "PYTHONPATH": str(EXAMPLE),
                "OS_IMAGES__DATA_DIR": str(tmp_path / "state"),
                **(env or {}),
            },
        )

    return serve
