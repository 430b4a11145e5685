"""Asks Heat's two APIs about fifty things and writes down what they answer, as JSON.

    python heat_answers.py ANSWERS.json SOURCE [--drop-in]

`compare.py` runs it with Heat's own module and with `--drop-in`, and compares.
The engine behind the APIs is canned: some calls succeed, some fail as the real one fails.
`SOURCE` is Heat's source distribution, for its policies and its api-paste.ini.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from run_suite import put_drop_in_place

INI = """
[pipeline:cfn]
pipeline = noauth context cfnversionnegotiation apicfnv1app

[pipeline:rest]
pipeline = request_id faultwrap noauth context http_proxy_to_wsgi versionnegotiation apiv1app
"""
STACK = "/v1/p1/stacks"
JSON = {"Content-Type": "application/json"}
XML = {"Content-Type": "application/xml"}


def rest_requests() -> list[tuple[str, str, dict[str, str], bytes]]:
    template = {"heat_template_version": "2021-04-16"}
    create = json.dumps({"stack_name": "one", "template": template}).encode()
    return [
        ("GET", "/", {}, b""),
        ("GET", "", {}, b""),
        ("HEAD", "/", {}, b""),
        ("GET", "/v1", {}, b""),
        ("GET", "/v9", {}, b""),
        ("GET", "/nothing/here", {}, b""),
        ("BREW", "/v1/p1/stacks", {}, b""),
        ("GET", STACK, {}, b""),
        ("GET", STACK + "?limit=x", {}, b""),
        ("GET", STACK + "?show_deleted=maybe", {}, b""),
        ("GET", STACK + "?name=%ff", {}, b""),
        ("HEAD", STACK, {}, b""),
        ("OPTIONS", STACK, {}, b""),
        ("PUT", STACK, JSON, b"{}"),
        ("DELETE", STACK, {}, b""),
        ("POST", STACK, JSON, create),
        ("POST", STACK, {}, create),
        ("POST", STACK, XML, create),
        ("POST", STACK, {"Content-Type": "text/plain"}, create),
        ("POST", STACK, JSON, b""),
        ("POST", STACK, JSON, b"{"),
        ("POST", STACK, JSON, b"[]"),
        ("POST", STACK, JSON, b"{}"),
        ("POST", STACK, JSON, b'{"stack_name": 5, "template": {}}'),
        ("POST", STACK, JSON, b'{"stack_name": "' + b"x" * 1048577 + b'"}'),
        ("POST", STACK, {**JSON, "Accept-Language": "de"}, b"{}"),
        ("POST", STACK, {**JSON, "Accept": "application/xml"}, b"{}"),
        ("GET", STACK + "/one", {}, b""),
        ("GET", STACK + "/absent", {}, b""),
        ("GET", STACK + "/one/i1", {}, b""),
        ("GET", STACK + "/one/i1/template", {}, b""),
        ("GET", STACK + "/one/i1/resources", {}, b""),
        ("GET", STACK + "/one/i1/events?limit=-1", {}, b""),
        ("DELETE", STACK + "/one/i1", {}, b""),
        ("PATCH", STACK + "/one/i1", JSON, b"{}"),
        ("POST", STACK + "/one/i1/actions", JSON, b'{"suspend": null}'),
        ("POST", STACK + "/one/i1/actions", JSON, b'{"fly": null}'),
        ("POST", STACK + "/one/i1/actions", JSON, b'{"suspend": 1, "resume": 1}'),
        ("GET", "/v1/p1/build_info", {}, b""),
        ("GET", "/v1/p1/resource_types", {}, b""),
        ("GET", "/v1/p1/software_configs", {}, b""),
        ("POST", "/v1/p1/software_configs", JSON, b"{}"),
        ("GET", "/v1/p1/services", {}, b""),
        ("POST", "/v1/p1/validate", JSON, b"{}"),
        ("GET", "/v1/p2/stacks", {}, b""),
    ]


def cfn_requests() -> list[tuple[str, str, dict[str, str], bytes]]:
    actions = (
        "",
        "Action=ListStacks",
        "Action=ListStacks&ContentType=JSON",
        "Action=DescribeStacks&StackName=absent",
        "Action=DescribeStacks&StackName=absent&ContentType=JSON",
        "Action=CreateStack&StackName=one",
        "Action=CreateStack&StackName=one&ContentType=JSON",
        "Action=DeleteStack&StackName=absent&ContentType=JSON",
        "Action=Fly",
        "Action=_private",
        "Action=GetTemplate&StackName=one",
        "Action=ValidateTemplate&TemplateBody=%7B%7D&ContentType=JSON",
    )
    paths = [f"/v1/?{action}" for action in actions]
    arn = "arn%3Aopenstack%3Aheat%3A%3Ap1%3Astacks/one/i1/resources/wait"
    signals = [
        (method, f"/v1/{place}/{arn}{query}", JSON, b'{"Status": "SUCCESS"}')
        for method, place in (("POST", "signal"), ("PUT", "waitcondition"))
        for query in ("", "?ContentType=JSON")
    ]
    return [("GET", path, {}, b"") for path in ["/", "/v9/", *paths]] + signals


def answer(exception: Any, method: str, arguments: dict[str, Any]) -> Any:
    """What the canned engine says."""
    identity = {"tenant": "p1", "stack_name": "one", "stack_id": "i1", "path": ""}
    if method == "identify_stack":
        if arguments["stack_name"] == "absent":
            raise exception.EntityNotFound(entity="Stack", name="absent")
        return identity
    if method == "create_stack":
        return identity
    if method == "list_stack_resources":
        raise ZeroDivisionError("the engine broke")
    if method == "get_template":
        return {"heat_template_version": "2021-04-16"}
    if method in ("validate_template", "get_revision"):
        return {}
    return []


def ask(app: Any, asked: tuple[str, str, dict[str, str], bytes]) -> dict[str, Any]:
    import webob

    method, path, headers, body = asked
    kind = headers.get("Content-Type", "").rpartition("/")[2]
    shown = f"{method} {path} {kind} {body[:60]!r}" if kind else f"{method} {path}"
    shown += "".join(f" {k}: {v}" for k, v in headers.items() if k != "Content-Type")
    request = webob.Request.blank(path, method=method, headers=headers, body=body)
    request.headers.update({"X-Auth-User": "u", "X-Auth-Project": "p1"})
    try:
        response = request.get_response(app)
    except Exception as exc:  # noqa: BLE001  an answer as well, the server's 500
        return {"asked": shown, "raised": type(exc).__name__}
    left_out = ("x-openstack-request-id", "date")
    return {
        "asked": shown,
        "status": response.status,
        "headers": sorted(
            (name.lower(), value)
            for name, value in response.headers.items()
            if name.lower() not in left_out
        ),
        "body": response.text,
    }


def main(answers: str, source: str, *rest: str) -> int:
    if "--drop-in" in rest:
        put_drop_in_place("heat")
    from heat import policies
    from heat.common import config, exception, wsgi  # noqa: F401
    from heat.rpc import client
    from oslo_config import cfg
    from oslo_log import log
    from oslo_policy import opts

    client.EngineClient.__init__ = lambda self: None
    client.EngineClient.call = lambda self, ctxt, msg, **kwargs: answer(
        exception, msg[0], msg[1]
    )
    client.EngineClient.cast = client.EngineClient.call
    log.register_options(cfg.CONF)
    opts.set_defaults(cfg.CONF)
    cfg.CONF([], project="heat", prog="heat-api", default_config_files=[])
    policy = Path(answers).with_suffix(".policy.yaml")
    policy.write_text(
        "".join(f'"{rule.name}": "@"\n' for rule in policies.list_rules()),
        encoding="utf-8",
    )
    cfg.CONF.set_override("policy_file", str(policy), group="oslo_policy")
    own = Path(source, "etc", "heat", "api-paste.ini").read_text(encoding="utf-8")
    ini = Path(answers).with_suffix(".ini")
    ini.write_text(own + INI, encoding="utf-8")
    rest_api = wsgi.paste_deploy_app(str(ini), "rest", cfg.CONF)
    cfn_api = wsgi.paste_deploy_app(str(ini), "cfn", cfg.CONF)
    said = [ask(rest_api, asked) for asked in rest_requests()]
    said += [ask(cfn_api, asked) for asked in cfn_requests()]
    Path(answers).write_text(json.dumps(said, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
