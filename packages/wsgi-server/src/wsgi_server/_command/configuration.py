"""The files and arguments of a command line, read together: once for each generation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from oslo_config import cfg

from wsgi_server import _options, opts
from wsgi_server._config.settings import Settings
from wsgi_server._config.values import SECTION, View
from wsgi_server.errors import ConfigError

from .application import Application
from .arguments import DEFAULT_PORT, PROG
from .spelling import did_you_mean

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

#: The section of an application that was named by `--app` begins so.
PREFIX: Final = f"{SECTION}:"


def read(arguments: argparse.Namespace) -> list[Application]:
    """Reads the files that `arguments` name, and what `arguments` say against them.

    Returns the applications in the order in which they are named. Raises `ConfigError`.
    """
    if not arguments.apps:
        return [_application(arguments, arguments.app, arguments.app, None)]
    applications = []
    for name, uri in arguments.apps.items():
        try:
            applications.append(_application(arguments, name, uri, PREFIX + name))
        except ConfigError as exc:
            raise ConfigError(f"--app {name}: {exc}") from exc
    return applications


def _application(
    arguments: argparse.Namespace, name: str, uri: str, section: str | None
) -> Application:
    # One of its own for each: what one application registers there is no other's.
    conf = _parse(arguments)
    ours = View(conf)
    opts.register_opts(ours)
    given: dict[str, Any] = {
        name: getattr(arguments, name) for name in opts.BY_NAME if name in arguments
    }
    if "bind_host" in given or "bind_port" in given:
        # They count where there is no bind, and arguments win over that of a file.
        given.setdefault("bind", [])
    if section is not None:
        _check_sections(ours.sections(), section, alone=len(arguments.apps) == 1)
        names = ours.sections().get(section, set())
        if names & {"bind_host", "bind_port"} and "bind" not in names:
            # Nor does that of all others count for an application with its own.
            given.setdefault("bind", [])
    for option, value in given.items():
        ours.set_override(option, value)
    settings = Settings.from_conf(ours, default_port=DEFAULT_PORT, section=section)
    return Application(name, uri, settings, conf)


def _check_sections(
    sections: Mapping[str, set[str]], wanted: str, *, alone: bool
) -> None:
    """Raises `ConfigError` for a name without a section, and for what it cannot hold."""
    ours = [section for section in sections if section.startswith(PREFIX)]
    if wanted not in ours and (ours or not alone):
        near = did_you_mean(wanted, ours)
        raise ConfigError(
            f"there is no section [{wanted}] in the configuration files{near}"
        )
    for name in sorted(sections.get(wanted, ())):
        if name not in opts.BY_NAME:
            near = did_you_mean(name, opts.BY_NAME)
            raise ConfigError(f"[{wanted}] {name}: there is no such option{near}")
        if _options.OF_SERVER in opts.BY_NAME[name].traits:
            raise ConfigError(
                f"[{wanted}] {name}: the server has one for all its applications; set "
                "it in [DEFAULT]"
            )


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
