"""The README's example does what the README says."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import webob
from oslo_config import cfg
from wsgi_paste import _loading, cli

README = Path(__file__).parents[2] / "packages" / "wsgi-paste" / "README.md"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The README's blocks by language, its files written to the current directory."""
    blocks: dict[str, list[str]] = {}
    text = README.read_text(encoding="utf-8")
    for language, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL):
        blocks.setdefault(language, []).append(block)
    (tmp_path / "api-paste.ini").write_text(blocks["ini"][0])
    greeting = types.ModuleType("greeting")
    exec(blocks["python"][0], vars(greeting))
    monkeypatch.setitem(sys.modules, "greeting", greeting)
    monkeypatch.chdir(tmp_path)
    return blocks


def test_the_application_of_the_readme_answers(example: Any) -> None:
    namespace: dict[str, Any] = {}
    exec(example["python"][1], namespace)

    response = webob.Request.blank("/").get_response(namespace["app"])

    assert (response.text, response.headers["X-Stamp"]) == ("hello, world\n", "seen")


def test_the_server_loads_the_file_of_the_readme(example: Any) -> None:
    conf = cfg.ConfigOpts()
    conf([], project="wsgi-server", default_config_files=[])

    app = _loading.load_config("api-paste.ini#main", conf)

    assert webob.Request.blank("/").get_response(app).text == "hello, world\n"


def test_the_commands_of_the_readme_print_what_it_shows(
    example: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    shown = example["console"][0]

    for command, output in re.findall(r"\$ wsgi-paste (.*)\n([^$]*)", shown):
        assert cli.main(command.split()) == 0
        assert capsys.readouterr().out == output
