"""APIMapper: routes.Mapper with an index."""

from __future__ import annotations

from typing import Any

import routes


class APIMapper(routes.Mapper):  # type: ignore[misc]
    """A :class:`routes.Mapper`; everything Routes can express works as it does there.

    Source: ``glance.common.wsgi.APIMapper``.
    """

    def routematch(
        self, url: str | None = None, environ: dict[str, Any] | None = None
    ) -> Any:
        """Match a URL against the routes.

        :param url: the path; the path of ``environ`` where it is left out
        :param environ: WSGI environment, for conditions on method or host
        :returns: ``(arguments, route)``, or ``None`` where nothing matches
        :raises routes.util.RoutesException: neither was given
        """
        return super().routematch(url, environ)
