"""What the package's pages share: their templates, and when and where they were made."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def environment() -> Environment:
    """Return the environment of all templates; what is undefined in one is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=PackageLoader("bridge", "templates"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def when_and_where() -> tuple[str, str]:
    """Return the time, and what this runs on."""
    from bridge import __version__

    machine = (
        f"bridge {__version__}, Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} processors"
    )
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", machine
