"""`use = egg:wsgi-server#main` in the `[server:...]` section of a PasteDeploy file.

The section's settings are the server's options under their own names; `host` and `port`
stand for `bind_host` and `bind_port`, as with other servers. The application comes loaded,
so a reload renews the workers and not the application's code.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from oslo_config import cfg

from wsgi_server import opts, pools
from wsgi_server._config.settings import Settings
from wsgi_server.errors import ConfigError, ServerError

from .arguments import DEFAULT_PORT, PROG
from .spelling import did_you_mean

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_ALIASES: Final = {"host": "bind_host", "port": "bind_port"}


def main(
    wsgi_app: WSGIApplication, global_conf: dict[str, str] | None, **settings: str
) -> None:
    """Serves `wsgi_app` until the process is told to stop (`paste.server_runner`).

    Ends the process with the statuses of the command; an error is one line on stderr.
    """
    from wsgi_server._process.service import Service
    from wsgi_server._process.supervisor import Supervisor

    try:
        chosen = read(settings, global_conf)
        service = Service(PROG, chosen, lambda: wsgi_app)
        supervisor = Supervisor(
            lambda: [service],
            before_exit=pools.wait_all_pools,
            bind_retry=0.0,
        )
        supervisor.start()
    except ServerError as exc:
        print(f"{PROG}: error: {exc}", file=sys.stderr)
        raise SystemExit(exc.exit_status) from exc
    status = supervisor.wait()
    if status:
        raise SystemExit(status)


def read(
    settings: dict[str, str], global_conf: dict[str, str] | None = None
) -> Settings:
    """Returns the server's settings from those of an ini section.

    Their values may name those of the section `[DEFAULT]`. Raises `ConfigError`.
    """
    conf = cfg.ConfigOpts()
    opts.register_opts(conf)
    # Nothing but the section counts: no files, and no environment by surprise.
    conf(
        [], project=PROG, default_config_files=[], default_config_dirs=[], use_env=False
    )
    for key, text in (global_conf or {}).items():
        # Not for us, but for what our values name; some cannot be names there.
        if key not in conf and key not in conf.disallow_names and key[0] != "_":
            conf.register_opt(cfg.StrOpt(key))
            conf.set_override(key, text)
    for key, text in settings.items():
        name = _ALIASES.get(key, key.replace("-", "_"))
        if name not in opts.BY_NAME:
            near = did_you_mean(name, [*opts.BY_NAME, *_ALIASES])
            raise ConfigError(f"server section: unknown setting {key}{near}")
        option = opts.BY_NAME[name]
        try:
            value = text.split() if option.opt.multi else option.parse(text)
            conf.set_override(name, value)
        except ValueError as exc:
            raise ConfigError(f"server section: {key} = {text}: {exc}") from exc
    return Settings.from_conf(conf, default_port=DEFAULT_PORT)
