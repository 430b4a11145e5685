"""Whole stacks, as people deploy them: a server with the framework that goes with it."""

from __future__ import annotations

from dataclasses import replace

from contenders import EVENTLET, SERVERS, THREADS
from running import Server

BY_NAME = {server.name: server for server in SERVERS}


def _stack(server: str, framework: str, name: str) -> Server:
    one = BY_NAME[server]
    return replace(
        one,
        name=name,
        app="stack_app:application",
        ready="/v2/tenant/images/one",
        env={**one.env, "FRAMEWORK": framework},
    )


STACKS = (
    _stack(EVENTLET, "wsgi_api", f"{EVENTLET} + wsgi_api"),
    _stack(THREADS, "wsgi_api", f"{THREADS} + wsgi_api"),
    _stack("granian", "falcon", "granian + Falcon"),
    _stack("uWSGI threads", "falcon", "uWSGI threads + Falcon"),
    _stack("bjoern", "falcon", "bjoern + Falcon"),
    _stack("gunicorn gthread", "flask", "gunicorn gthread + Flask"),
    _stack("waitress", "pyramid", "waitress + Pyramid"),
)
