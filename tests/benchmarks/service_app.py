"""One of the services of `services`, chosen by `SERVICE` in the environment.

As a module it has the WSGI application; as a program it is the service's own command. With
`LAYER=ours` the service finds our module in place of its own.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

SERVICE = os.environ["SERVICE"]
OURS = os.environ.get("LAYER") == "ours"
#: What Heat's engine would answer, which is not here.
STACKS: list[dict[str, Any]] = [
    {
        "stack_identity": {
            "tenant": "p1",
            "stack_name": f"stack-{number}",
            "stack_id": f"7d1b5ad5-f3f1-4b0f-8a6c-{number:012}",
            "path": "",
        },
        "stack_name": f"stack-{number}",
        "description": "",
        "creation_time": "2024-05-03T10:11:12Z",
        "updated_time": None,
        "deletion_time": None,
        "stack_action": "CREATE",
        "stack_status": "COMPLETE",
        "stack_status_reason": "",
        "stack_owner": "u",
        "stack_user_project_id": "p1",
        "parent": None,
        "tags": [],
    }
    for number in range(20)
]


def put_ours() -> None:
    """Our module in place of the service's."""
    ours = importlib.import_module(f"wsgi_stack.{SERVICE}")
    sys.modules[f"{SERVICE}.common.wsgi"] = ours


def answer_for_the_engine() -> None:
    """Heat's API asks its engine over a message bus; here the answer is at hand."""
    from heat.rpc import client

    def list_stacks(self: Any, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        return STACKS

    client.EngineClient.list_stacks = list_stacks


def example() -> WSGIApplication:
    """The registry of the documentation, behind its pipeline."""
    from oslo_config import cfg
    from running import HERE
    from wsgi_paste import paste_deploy_app

    folder = HERE.parents[1] / "docs/examples/images"
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[str(folder / "images.conf")])
    app: WSGIApplication = paste_deploy_app(str(folder / "api-paste.ini"), "main", conf)
    return app


def load() -> WSGIApplication:
    """The application of the service."""
    if SERVICE == "example":
        return example()
    if OURS:
        put_ours()
    if SERVICE == "glance":
        from glance.wsgi.api import application
    else:
        answer_for_the_engine()
        from heat.wsgi.api import application
    app: WSGIApplication = application
    return app


def run() -> None:
    """The service's own command, in this process."""
    import eventlet

    eventlet.monkey_patch(os=SERVICE == "glance")
    if OURS:
        put_ours()
    if SERVICE == "glance":
        from glance.cmd.api import main
    else:
        answer_for_the_engine()
        from heat.cmd.api import main
    sys.argv = [f"{SERVICE}-api"]
    main()


if __name__ == "__main__":
    run()
else:
    application = load()
