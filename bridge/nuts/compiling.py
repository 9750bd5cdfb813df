"""Numba's decorators as this package uses them, and where compiled code is kept between runs.

Compiled code goes to the user's cache, in a folder named by a digest of this package's sources:
Numba itself looks at the file of a function alone, and would run stale code where a function that
it calls has changed in another file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
import platformdirs
from numba.core import config

_HERE = Path(__file__).resolve().parent
#: The modules that compiled code is made of.
_COMPILED = (
    "compiling", "density", "exponential", "factors", "level1", "level2", "prior_density",
    "problem", "unpacking", "vectors",
)  # fmt: skip
#: Sums may be taken in any order, so that loops use vector instructions; NaN stays NaN.
_SUMS = {"reassoc", "contract"}


def folder() -> Path:
    """Return the folder of this version's compiled code, which need not be there."""
    digest = hashlib.sha256(numba.__version__.encode())
    for name in _COMPILED:
        digest.update((_HERE / f"{name}.py").read_bytes())
    return Path(platformdirs.user_cache_path("bridge")) / "numba" / digest.hexdigest()[:16]


_FOLDER = folder()


def is_cached() -> bool:
    """Tell whether the whole density has been compiled on this machine before."""
    return any(_FOLDER.rglob("density.log_density*.nbi"))


@contextmanager
def _kept() -> Iterator[bool]:
    """Point Numba's cache at the folder; False where it cannot be written to."""
    before = config.CACHE_DIR
    try:
        _FOLDER.mkdir(parents=True, exist_ok=True)
        config.CACHE_DIR = before or str(_FOLDER)
        yield True
    except OSError:
        yield False
    finally:
        config.CACHE_DIR = before


#: Plain arithmetic: what rounding does is part of the algorithm.
compiled = numba.njit(nogil=True, error_model="numpy")
#: The same, products and sums fused where the processor can.
compiled_fused = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
#: Loops with sums.
compiled_sums = numba.njit(nogil=True, error_model="numpy", fastmath=_SUMS)


def compiled_callback(*arguments: Any) -> Callable[..., Any]:
    """Return a decorator for what nutpie calls: a C function of these types, giving an int64.

    It is kept on disk with all that it calls.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        with _kept() as kept:
            signature = numba.types.int64(*arguments)
            return numba.cfunc(signature, cache=kept, error_model="numpy")(function)

    return decorate
