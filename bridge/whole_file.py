"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.errors import OutputError


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Give a temporary file to write, which becomes the target once it is written.

    Parameters
    ----------
    target : pathlib.Path
        Where the file shall be; one that is there is replaced.

    Raises
    ------
    OutputError
        Where it cannot be written; nothing is left behind.
    """
    try:
        if target.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        handle, name = tempfile.mkstemp(dir=target.parent, suffix=".part")
        os.close(handle)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}.") from None
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(target)
    except (OSError, ValueError) as error:  # a ValueError where a label is not for files
        raise OutputError(f"{target} cannot be written: {error}.") from None
    finally:
        temporary.unlink(missing_ok=True)
