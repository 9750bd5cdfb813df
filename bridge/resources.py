"""Where the files that ship with the package are: Stan programs, R scripts, cases, data."""

from __future__ import annotations

from pathlib import Path

from bridge.errors import DataFileError

_PACKAGE = Path(__file__).resolve().parent


def root() -> Path:
    """Return the folder that holds ``stan/``, ``r_scripts/`` and ``validation/``.

    Returns
    -------
    pathlib.Path
        ``bridge/_assets`` of an installed wheel, else the repository's root.
    """
    assets = _PACKAGE / "_assets"
    # Beside an installed package stands PyStan's own `stan` folder: never look there.
    return assets if assets.is_dir() else _PACKAGE.parent


def path(relative: str) -> Path:
    """Return the full path of a file or folder that ships with the package.

    Parameters
    ----------
    relative : str
        Its place below the repository's root, such as ``"stan/location_scale.stan"``.

    Returns
    -------
    pathlib.Path
        An existing file or folder.

    Raises
    ------
    bridge.errors.DataFileError
        If it is not there.
    """
    found = root() / relative
    if not found.exists():
        raise DataFileError(
            f"The package's file '{relative}' is not in {root()}; install the package again."
        )
    return found
