"""How long a large document takes to be written: oslo.serialization, ours, the fast one.

python tests/benchmarks/api_serializers.py
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import time
import uuid
import warnings
from collections.abc import Callable
from typing import Any


def document(size: int) -> dict[str, Any]:
    """Return an image list of about ``size`` bytes, as a database layer returns it."""
    began = datetime.datetime(2024, 5, 3, 10, 11, 12)  # noqa: DTZ001 - as databases do
    images = [
        {
            "id": uuid.UUID(int=number),
            "name": f"image-{number}",
            "status": "active",
            "visibility": "private",
            "owner": uuid.UUID(int=number % 7),
            "size": 620_494_848 + number,
            "min_disk": 3,
            "protected": False,
            "tags": ["lts", "server"],
            "created_at": began + datetime.timedelta(seconds=number),
            "updated_at": began + datetime.timedelta(seconds=number, microseconds=7),
        }
        for number in range(size // 300)
    ]
    return {"images": images}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import wsgi_api

    candidates: dict[str, Callable[[Any], bytes]] = {}
    try:
        from oslo_serialization import jsonutils
    except ImportError:
        print("oslo.serialization is not installed: left out")
    else:
        candidates["oslo.serialization"] = jsonutils.dump_as_bytes
    candidates["wsgi_api"] = wsgi_api.JSONResponseSerializer().to_json
    for library in ("orjson", "msgspec"):
        try:
            encoder = wsgi_api.fast_encoder(library)
        except ModuleNotFoundError:
            print(f"{library} is not installed: left out")
        else:
            serializer = wsgi_api.JSONResponseSerializer(encoder=encoder)
            candidates[f"wsgi_api, {library}"] = serializer.to_json

    data = document(1 << 20)
    seen: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(options.rounds):
        for name, write in candidates.items():
            started = time.process_time()
            write(data)
            seen[name].append((time.process_time() - started) * 1e3)
    first = statistics.median(next(iter(seen.values())))
    print("| serializer | bytes | ms | times as fast |")
    print("| --- | --- | --- | --- |")
    for name, times in seen.items():
        median = statistics.median(times)
        size = len(candidates[name](data))
        print(f"| {name} | {size:,} | {median:.2f} | {first / median:.1f} |")


if __name__ == "__main__":
    main()
