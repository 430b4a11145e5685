"""One server per form and module, for the many tests that leave no trace in it."""

from __future__ import annotations

from collections.abc import Iterator

import live
import pytest


@pytest.fixture(scope="module", params=live.FORMS)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[live.LiveServer]:
    """`apps.exercise:app` on one worker."""
    server = live.start(
        tmp_path_factory.mktemp(request.param),
        live.application_of(request.param, "apps.exercise:app"),
        *("--bind-host", "127.0.0.1", "--bind-port", "0"),
        *("--engine", live.engine_of(request.param), "--workers", "1"),
    )
    with live.stopping([server]):
        yield server
