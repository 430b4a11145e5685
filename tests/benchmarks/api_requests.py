"""How long a request takes inside wsgi_api, glance.common.wsgi and Falcon.

Run in an environment that has all three::

    python tests/benchmarks/api_requests.py

Everything happens in one process, without sockets: an ``environ`` goes in, the body is
read to its end. Measured is CPU time, in rounds in which the candidates take turns;
reported are the medians over the rounds and the medians of the ratios within a round.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import statistics
import time
import uuid
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from results import Results

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

IMAGE = {
    "id": "71c675ab-d94f-49cd-a114-e12490b328d9",
    "name": "ubuntu-24.04-server-cloudimg-amd64",
    "status": "active",
    "visibility": "public",
    "protected": False,
    "size": 620_494_848,
    "checksum": "8a6cb5f9b2b0c4bf4dd7b0b3b0bbcba4",
    "disk_format": "qcow2",
    "container_format": "bare",
    "min_disk": 3,
    "min_ram": 512,
    "tags": ["lts", "server"],
    "created_at": "2024-05-03T10:11:12Z",
    "updated_at": "2024-05-03T10:15:12Z",
    "self": "/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9",
}
SMALL = {"image": {"id": IMAGE["id"], "status": "active"}}
# 1 KiB of JSON, as a client would send it.
NEW_IMAGE = json.dumps({**IMAGE, "description": ""})
NEW_IMAGE = json.dumps({**IMAGE, "description": "x" * (1024 - len(NEW_IMAGE))})


def environ(method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
    """Return what a server hands over for a request."""
    made: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "9292",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000",
        "HTTP_HOST": "127.0.0.1:9292",
        "HTTP_USER_AGENT": "python-glanceclient",
        "HTTP_ACCEPT": "*/*",
        "HTTP_ACCEPT_ENCODING": "gzip, deflate",
        "HTTP_CONNECTION": "keep-alive",
        "HTTP_X_AUTH_TOKEN": "gAAAAABm" + "x" * 150,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input": io.BytesIO(body or b""),
    }
    if body is not None:
        made["CONTENT_LENGTH"] = str(len(body))
        made["CONTENT_TYPE"] = "application/json"
    return made


# As few at a time as stay in the processor's caches, where a server's are.
BATCH = 20


class ImageController:
    """The actions, the same for both of the webob candidates."""

    def show(self, req: Any, image_id: str, tenant_id: str = "") -> dict[str, Any]:
        return IMAGE if image_id != "small" else SMALL

    def create(self, req: Any, body: dict[str, Any]) -> dict[str, Any]:
        return {"id": body["id"], "status": "queued"}


def webob_app(wsgi: Any, routes: int = 10, prefix: str = "", **bodies: Any) -> App:
    """Return the API on a module with the names of ``glance.common.wsgi``.

    :param bodies: the deserializer and the serializer, where others than the module's
    """
    mapper = wsgi.APIMapper()
    resource = wsgi.Resource(ImageController(), **bodies)
    reject = wsgi.Resource(wsgi.RejectMethodController())
    for number in range(routes - 4):
        mapper.connect(
            f"{prefix}/others{number}/{{image_id}}",
            controller=resource,
            action="show",
            conditions={"method": ["GET"]},
        )
    mapper.connect(
        f"{prefix}/images",
        controller=resource,
        action="create",
        conditions={"method": ["POST"]},
    )
    mapper.connect(
        f"{prefix}/images", controller=reject, action="reject", allowed_methods="POST"
    )
    mapper.connect(
        f"{prefix}/images/{{image_id}}",
        controller=resource,
        action="show",
        conditions={"method": ["GET"]},
    )
    mapper.connect(
        f"{prefix}/images/{{image_id}}",
        controller=reject,
        action="reject",
        allowed_methods="GET",
    )
    return wsgi.Router(mapper)  # type: ignore[no-any-return]


def falcon_app(routes: int = 10, prefix: str = "") -> App:
    """Return the same API on Falcon."""
    import falcon

    class Images:
        def on_post(self, req: Any, resp: Any) -> None:
            resp.media = {"id": req.media["id"], "status": "queued"}

    class Image:
        def on_get(self, req: Any, resp: Any, image_id: str) -> None:
            resp.media = IMAGE if image_id != "small" else SMALL

    made: Any = falcon.App()
    image = Image()
    for number in range(routes - 2):
        made.add_route(f"{prefix}/others{number}/{{image_id}}", image)
    made.add_route(f"{prefix}/images", Images())
    made.add_route(f"{prefix}/images/{{image_id}}", image)
    app: App = made
    return app


def ignore(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
    """Stand in for the start_response of a server."""


def cpu_time(app: App, make: Callable[[], dict[str, Any]], count: int) -> float:
    """Return microseconds of CPU per request, without making the environ."""
    gc.collect()
    gc.disable()
    spent = 0.0
    for _ in range(count // BATCH):
        environs = [make() for _ in range(BATCH)]
        started = time.process_time()
        for each in environs:
            answer = app(each, ignore)
            for _ in answer:
                pass
            close = getattr(answer, "close", None)
            if close is not None:
                close()
        spent += time.process_time() - started
    gc.enable()
    return spent / (count // BATCH * BATCH) * 1e6


def compare(
    apps: dict[str, App], make: Callable[[], dict[str, Any]], rounds: int, count: int
) -> dict[str, tuple[float, float]]:
    """Return for each candidate its median and the first one's advantage over it."""
    for app in apps.values():
        cpu_time(app, make, 200)
    seen: dict[str, list[float]] = {name: [] for name in apps}
    for _ in range(rounds):
        for name, app in apps.items():
            seen[name].append(cpu_time(app, make, count))
    first = next(iter(seen.values()))
    return {
        name: (
            statistics.median(times),
            statistics.median(t / f for t, f in zip(times, first, strict=True)),
        )
        for name, times in seen.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    results = Results(options.json) if options.json else None
    warnings.simplefilter("ignore")
    import wsgi_api

    apps: dict[str, App] = {"wsgi_api": webob_app(wsgi_api)}
    try:
        fast: dict[str, Any] = {
            "deserializer": wsgi_api.JSONRequestDeserializer(
                decoder=wsgi_api.fast_decoder()
            ),
            "serializer": wsgi_api.JSONResponseSerializer(
                encoder=wsgi_api.fast_encoder()
            ),
        }
    except ModuleNotFoundError:
        print("neither orjson nor msgspec is installed: left out")
    else:
        apps["fast JSON"] = webob_app(wsgi_api, **fast)
    try:
        from glance.common import wsgi as glance
    except ImportError:
        print("glance is not installed: left out")
    else:
        apps["glance"] = webob_app(glance)
    try:
        apps["falcon"] = falcon_app()
    except ImportError:
        print("falcon is not installed: left out")

    one = f"/images/{uuid.uuid4()}"
    requests: dict[str, Callable[[], dict[str, Any]]] = {
        "GET, JSON answer of 468 bytes": lambda: environ("GET", one),
        "GET, JSON answer of 77 bytes": lambda: environ("GET", "/images/small"),
        "POST, 1 KiB JSON": lambda: environ("POST", "/images", NEW_IMAGE.encode()),
        "GET, 468 bytes, 100 routes": lambda: environ("GET", one),
        "POST, 1 KiB JSON, 100 routes": lambda: environ(
            "POST", "/images", NEW_IMAGE.encode()
        ),
        "404": lambda: environ("GET", "/nothing"),
        "405": lambda: environ("DELETE", one),
    }
    many = {
        "wsgi_api": lambda: webob_app(wsgi_api, 100),
        "fast JSON": lambda: webob_app(wsgi_api, 100, **fast),
        "glance": lambda: webob_app(glance, 100),
        "falcon": lambda: falcon_app(100),
    }
    small = dict(apps)
    large = {name: many[name]() for name in apps}
    print("| request | " + " | ".join(f"{name}, µs" for name in apps) + " | ratios |")
    print("| --- " * (len(apps) + 2) + "|")
    for title, make in requests.items():
        apps = large if "100 routes" in title else small
        found = compare(apps, make, options.rounds, options.count)
        times = " | ".join(f"{median:.1f}" for median, _ in found.values())
        ratios = ", ".join(
            f"{name} {ratio:.2f}" for name, (_, ratio) in [*found.items()][1:]
        )
        if "fast JSON" in found and "glance" in found:
            faster = found["glance"][1] / found["fast JSON"][1]
            ratios += f"; fast JSON to glance {faster:.2f}"
        print(f"| {title} | {times} | {ratios} |", flush=True)
        if results is not None:
            results.add("layer", title, {name: us for name, (us, _) in found.items()})

    print()
    print("| 10 and 1,000 routes, wsgi_api | µs | to 10 routes |")
    print("| --- | --- | --- |")
    for prefix in ("", "/{tenant_id}"):
        at = prefix.replace("{tenant_id}", uuid.uuid4().hex)
        for place, path in (
            ("first", f"{at}/others0/{uuid.uuid4()}"),
            ("last", f"{at}{one}"),
        ):
            sizes = {
                str(size): webob_app(wsgi_api, size, prefix) for size in (10, 1000)
            }
            found = compare(
                sizes,
                lambda path=path: environ("GET", path),  # type: ignore[misc]
                options.rounds,
                options.count,
            )
            for size, (median, ratio) in found.items():
                title = f"{size}, {prefix or 'static'}, {place}"
                print(f"| {title} | {median:.1f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
