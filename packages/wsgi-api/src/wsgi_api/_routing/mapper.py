"""APIMapper: routes.Mapper with an index."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any, TypeAlias

import routes
from routes.route import Route
from routes.util import RoutesException

from wsgi_api._routing.index import Entry, Index

_Found: TypeAlias = "tuple[dict[str, Any], Route]"
# As Routes has it: also, with debug set, the routes that were tried.
_Logged: TypeAlias = "tuple[dict[str, Any] | None, Route | None, list[dict[str, Any]]]"


class _LazyRoute(Route):  # type: ignore[misc]
    """A route that makes its regular expression when it is first needed.

    Most routes are decided by the index and never need it; compiling a thousand
    takes longer than answering ten thousand requests. Once made it stays: those of
    them do not depend on the controllers, and another thread may be matching.
    """

    regmatch: re.Pattern[str] | None = None

    def match(self, url: str, *args: Any, **kwargs: Any) -> Any:
        if self.regmatch is None:
            self.makeregexp(())
        return super().match(url, *args, **kwargs)


class APIMapper(routes.Mapper):  # type: ignore[misc]
    """A :class:`routes.Mapper` whose matching does not slow down with more routes.

    Everything Routes can express works as it does there, the order included: routes
    with the longest literal beginning are tried first, among these the one that was
    connected first. Routes may be added at any time, by any thread; unlike there, they
    count from the next match on.

    Source: ``glance.common.wsgi.APIMapper``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Re-entrant: a function that scans for controllers may connect routes.
        self.create_regs_lock = threading.RLock()
        self._index: Index | None = None
        self._controllers: Sequence[str] | None = None

    def make_route(self, *args: Any, **kargs: Any) -> Route:
        """Returns a new route; called by ``connect``."""
        return _LazyRoute(*args, **kargs)

    def connect(self, *args: Any, **kargs: Any) -> None:
        """Adds a route, as :meth:`routes.Mapper.connect`."""
        with self.create_regs_lock:
            super().connect(*args, **kargs)
            self._index = None

    def routematch(
        self, url: str | None = None, environ: dict[str, Any] | None = None
    ) -> Any:
        """Matches a path against the routes.

        :param url: the path; that of ``environ`` where it is left out
        :param environ: WSGI environment, for conditions on method or host
        :returns: ``(arguments, route)``, or ``None`` where nothing matches; with
            ``debug`` set also a list of the routes that were tried
        :raises routes.util.RoutesException: neither was given, or the mapper was told
            not to look for controllers and ``create_regs`` was not called
        """
        if url is None:
            if not environ:
                raise RoutesException("URL or environ must be provided")
            url = environ["PATH_INFO"]
        if self.debug:
            return self._match(url, environ)
        index = self._index
        if index is None or self.always_scan:
            index = self._current_index()
        if self.prefix:
            url = self._without_prefix(url)
            if url is None:
                return None
        environ = environ or self.environ
        method = environ.get("REQUEST_METHOD") if environ else None
        if url[-1:] == "\n":
            # "$" also matches before a newline at the end.
            entries = [*index.find(url, method)[0], *index.find(url[:-1], method)[0]]
            entries.sort(key=lambda entry: entry.rank)
            return self._confirm(entries, url, environ)
        candidates, segments = index.find(url, method)
        for entry in candidates:
            if not entry.exact or self.sub_domains:
                return self._confirm(candidates, url, environ)
            arguments = entry.fixed.copy()
            for name, position in entry.names:
                arguments[name] = segments[position]
            return arguments, entry.route
        return None

    def allowed_methods(
        self, url: str, environ: dict[str, Any] | None = None
    ) -> list[str]:
        """Returns the methods for which a path has a route, sorted.

        :param environ: WSGI environment, for conditions on the host
        """
        return sorted(
            method
            for method in self._current_index().methods
            if self._match(url, {**(environ or {}), "REQUEST_METHOD": method})[1]
        )

    def _create_regs(self, clist: Sequence[str] | None = None) -> None:
        self._build(clist)

    def _build(self, clist: Sequence[str] | None) -> Index:
        # Called under create_regs_lock.
        controllers = self._scan() if clist is None else clist
        self._controllers = controllers
        if self.prefix:
            self._regprefix = re.compile(self.prefix + "(.*)")
        index = Index(self.matchlist)
        for entry in index.entries:
            route = entry.route
            if not entry.exact or not isinstance(route, _LazyRoute):
                route.makeregexp(controllers)
        # Unless this thread connected a route meanwhile.
        if len(index.entries) == len(self.matchlist):
            self._index = index
        self._created_regs = True
        return index

    def _scan(self) -> Sequence[str]:
        scan = self.controller_scan
        if self.directory:
            found = scan(self.directory)
        elif callable(scan):
            found = scan()
        else:
            found = scan or []
        return list(found)

    def _current_index(self) -> Index:
        with self.create_regs_lock:
            # Another thread may have built it while this one waited.
            index = self._index
            if index is not None and not self.always_scan:
                return index
            if not self._created_regs and not self.controller_scan:
                raise RoutesException(
                    "You must generate the regular expressions before matching."
                )
            return self._build(None if self.always_scan else self._controllers)

    def _match(self, url: str, environ: dict[str, Any] | None) -> _Logged:
        # What Mapper.match calls, too.
        if self.debug:
            return self._match_logged(url, environ)
        arguments, route = self.routematch(url, environ) or (None, None)
        return arguments, route, []

    def _match_logged(self, url: str, environ: dict[str, Any] | None) -> _Logged:
        entries = self._current_index().entries
        if self.prefix:
            rest = self._without_prefix(url)
            if rest is None:
                return None, None, []
            url = rest
        log: list[dict[str, Any]] = []
        found = self._confirm(entries, url, environ or self.environ, log)
        # Routes does not log a path that no expression fits, conditions or not.
        if not any(tried["route"].regmatch.match(url) for tried in log):
            log.clear()
        arguments, route = found or (None, None)
        return arguments, route, log

    def _without_prefix(self, url: str) -> str | None:
        if not self._regprefix.match(url):
            return None
        return self._regprefix.sub(r"\1", url) or "/"

    def _confirm(
        self,
        entries: Sequence[Entry],
        url: str,
        environ: dict[str, Any] | None,
        log: list[dict[str, Any]] | None = None,
    ) -> _Found | None:
        for entry in entries:
            if not url.startswith(entry.prefix):
                continue
            arguments = entry.route.match(
                url,
                environ,
                self.sub_domains,
                self.sub_domains_ignore,
                self.domain_match,
            )
            if log is not None:
                log.append({"route": entry.route, "regexp": bool(arguments)})
            # No arguments at all is a match, too.
            if arguments is not False:
                return arguments, entry.route
        return None
