"""What the READMEs show works as it is pasted."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import live
import pytest
import tools

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
SERVER = (ROOT / "packages" / "wsgi-server" / "README.md").read_text("utf-8")
SHOWN = "http://127.0.0.1:8080"


def write_files(text: str, folder: Path) -> None:
    """Write every block that begins with its name as a comment."""
    blocks = re.findall(r"^```(?:python|ini)\n# (\S+)\n(.*?)^```$", text, re.M | re.S)
    assert blocks
    for name, content in blocks:
        (folder / name).write_text(content)


def commands(text: str, name: str) -> list[str]:
    """The lines of the shell that begin with `name`."""
    return re.findall(rf"^{name} .*$", text, re.M)


# The engine is the default one, because that is what the READMEs start.
default_engine = pytest.mark.parametrize("engine", ["eventlet"])


@pytest.mark.forks
@default_engine
def test_the_curl_lines_work(serve: Callable[..., live.LiveServer]) -> None:
    tools.need("curl")
    server = serve()
    outputs = []
    for line in commands(README, "curl"):
        shell = line.replace(SHOWN, server.url)
        done = subprocess.run(
            ["sh", "-c", shell], cwd=ROOT, capture_output=True, timeout=20, check=True
        )
        outputs.append(done.stdout)
    created, uploaded, part = outputs
    assert b'"status": "queued"' in created
    assert b'{"images": [{"name": "first"' in created
    assert f'"size": {len(README.encode())}'.encode() in uploaded
    assert part == README.encode()[:100]


@pytest.mark.forks
@default_engine
@pytest.mark.parametrize(
    ("text", "number"),
    [(README, 0), (README, 1), (SERVER, 0), (SERVER, 1)],
    ids=["callable", "paste", "server alone", "configured"],
)
def test_the_server_commands_work(
    live_server: Callable[..., live.LiveServer], tmp_path: Path, text: str, number: int
) -> None:
    write_files(text, tmp_path)
    _, app, *arguments = shlex.split(commands(text, "wsgi-server")[number])
    # The port of the example may be taken; everything else is as shown.
    server = live_server(
        app, *arguments, "--bind-host", "127.0.0.1", "--bind-port", "0"
    )
    if "notes" in app:
        assert (
            server.get("/notes/first").text == '{"name": "first", "text": "buy milk"}'
        )
        assert server.get("/notes/second").status == 404
        assert server.request("POST", "/notes/first").headers["Allow"] == "GET, HEAD"
        assert "PATH_INFO = /notes/first" in server.output()
    else:
        assert server.get().text == "hello\n"
    # Arguments win over files, and the fixture's say one worker where these say nothing.
    assert len(server.worker_pids()) == (2 if "--workers" in arguments else 1)


@pytest.mark.parametrize("name", ["load.py", "moved.py"])
def test_the_python_examples_run(tmp_path: Path, name: str) -> None:
    write_files(README, tmp_path)
    done = subprocess.run(
        [sys.executable, name],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.forks
def test_the_server_runs_from_python(tmp_path: Path) -> None:
    write_files(SERVER, tmp_path)
    output = tmp_path / "output"
    command = ["serve.py", "--bind-host", "127.0.0.1", "--bind-port", "0"]
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=tmp_path, stdout=file, stderr=file
        )
    server = live.LiveServer(process, tmp_path, output, output)
    with live.stopping([server]):
        server.url = server.wait_for_log(r"listening on (\S+)")[1]
        assert server.get().text == "hello\n"


def test_the_links_lead_somewhere() -> None:
    for folder, text in ((ROOT, README), (ROOT / "packages" / "wsgi-server", SERVER)):
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert (folder / target).exists(), target
