"""The files and arguments of a command line, read together: once for each generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from oslo_config import cfg

from wsgi_server import opts
from wsgi_server._config.settings import Settings
from wsgi_server._config.values import View
from wsgi_server.errors import ConfigError

from .arguments import DEFAULT_PORT, PROG

if TYPE_CHECKING:
    import argparse


@dataclass(frozen=True)
class Configuration:
    """What one generation is made of."""

    settings: Settings
    #: For the application: it has read the files and none of our options, for another
    #: definition of one that both know, such as `bind_host`, would be an error there.
    conf: cfg.ConfigOpts


def read(arguments: argparse.Namespace) -> Configuration:
    """Reads the files that `arguments` name, and what `arguments` say against them.

    Raises `ConfigError`.
    """
    conf = _parse(arguments)
    ours = View(conf)
    opts.register_opts(ours)
    given = {
        name: getattr(arguments, name) for name in opts.BY_NAME if name in arguments
    }
    if "bind_host" in given or "bind_port" in given:
        # They count where there is no bind, and arguments win over that of a file.
        given.setdefault("bind", [])
    for name, value in given.items():
        ours.set_override(name, value)
    return Configuration(Settings.from_conf(ours, default_port=DEFAULT_PORT), conf)


def _parse(arguments: argparse.Namespace) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    args = [f"--config-file={path}" for path in arguments.config_file]
    args += [f"--config-dir={path}" for path in arguments.config_dir]
    try:
        conf(args, prog=PROG, default_config_files=[], default_config_dirs=[])
    except cfg.ConfigFilesNotFoundError as exc:
        raise ConfigError(f"no such file: {', '.join(exc.config_files)}") from exc
    except cfg.ConfigFilesPermissionDeniedError as exc:
        raise ConfigError(f"not readable: {', '.join(exc.config_files)}") from exc
    except cfg.ConfigDirNotFoundError as exc:
        raise ConfigError(f"no such directory: {exc.config_dir}") from exc
    except (cfg.Error, UnicodeDecodeError, OSError) as exc:
        files = ", ".join([*arguments.config_file, *arguments.config_dir])
        raise ConfigError(f"configuration ({files}): {exc}") from exc
    return conf
