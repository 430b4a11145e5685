"""The service's options, group `[images]`."""

from __future__ import annotations

import os
from pathlib import Path

from oslo_config import cfg


def _state_directory() -> str:
    # XDG Base Directory Specification: what should survive a restart of the program.
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return str(Path(base) / "images")


IMAGES_OPTS = (
    cfg.StrOpt(
        "data_dir",
        default=_state_directory(),
        sample_default="~/.local/state/images",
        help="Directory of the catalogue and the images; made when it is missing.",
    ),
    cfg.IntOpt(
        "max_image_size",
        default=1 << 30,
        min=1,
        help="Largest image that is accepted, in bytes.",
    ),
    cfg.IntOpt(
        "page_size",
        default=25,
        min=1,
        max=1000,
        help="Images on one page of a list when the client does not say.",
    ),
)
MAX_PAGE_SIZE = 1000


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options on `conf`; doing it twice is harmless."""
    conf.register_opts(IMAGES_OPTS, group="images")
