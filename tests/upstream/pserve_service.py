"""`pserve`, Pyramid's command for PasteDeploy files, with our server and our filter.

`nox -s services` runs this, where Pyramid is installed.
"""

from __future__ import annotations

from pathlib import Path

from upstream.conftest import Launch

INI = """
[app:main]
paste.app_factory = word:make_app
word = served
filter-with = debug

[filter:debug]
use = egg:wsgi-paste#debug

[server:main]
use = egg:wsgi-server#main
host = 127.0.0.1
port = 0
workers = 2
access_log =

[loggers]
keys = root

[handlers]
keys = stderr

[formatters]
keys =

[logger_root]
level = INFO
handlers = stderr

[handler_stderr]
class = StreamHandler
args = (sys.stderr,)
"""
WORD = """
def make_app(global_conf, word):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [word.encode()]

    return app
"""


def test_pserve_starts_the_server_that_the_file_names(
    launch: Launch, tmp_path: Path
) -> None:
    (tmp_path / "site.ini").write_text(INI)
    (tmp_path / "word.py").write_text(WORD)

    server = launch("pserve", "site.ini", env={"PYTHONPATH": str(tmp_path)})

    assert len(server.worker_pids()) == 2
    assert server.get().text == "served"
    server.wait_for("what the filter shows", lambda: "served" in server.output())
    assert server.stop() == 0
