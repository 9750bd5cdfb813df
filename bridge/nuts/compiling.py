"""Numba's decorators as this package uses them, and where compiled code is kept between runs.

Compiled code goes to the user's cache, in a folder named by a digest of this package's sources:
Numba itself looks at the file of a function alone, and would run stale code where a function that
it calls has changed in another file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import numba
import platformdirs
from numba.core import config, event

_HERE = Path(__file__).resolve().parent
#: The modules that compiled code is made of.
_COMPILED = (
    "compiling", "density", "exponential", "factors", "level1", "level2", "prior_density",
    "problem", "unpacking", "vectors",
)  # fmt: skip
#: Sums may be taken in any order, so that loops use vector instructions; NaN stays NaN.
_SUMS = {"reassoc", "contract"}


def folder() -> Path:
    """Return the folder of this version's compiled code, which need not be there.

    It is below ``NUMBA_CACHE_DIR`` where that is set.
    """
    digest = hashlib.sha256(numba.__version__.encode())
    for name in _COMPILED:
        digest.update((_HERE / f"{name}.py").read_bytes())
    below = config.CACHE_DIR or platformdirs.user_cache_path("bridge") / "numba"
    return Path(below) / digest.hexdigest()[:16]


class _Compilations(event.Listener):
    """Hears of every function that Numba begins to compile, and of none that it loads."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def on_start(self, event: Any) -> None:
        function = event.data["dispatcher"].py_func
        self._say(f"{function.__module__.rpartition('.')[2]}.{function.__name__}")

    def on_end(self, event: Any) -> None:
        pass


def told(say: Callable[[str], None]) -> AbstractContextManager[None]:
    """Have ``say`` told of each function that is compiled meanwhile, as ``level1.by_rows``."""
    found: AbstractContextManager[None] = event.install_listener(
        "numba:compile", _Compilations(say)
    )
    return found


@contextmanager
def _kept() -> Iterator[bool]:
    """Point Numba's cache at the folder; False where that cannot be made."""
    before, place = config.CACHE_DIR, folder()
    config.CACHE_DIR = str(place)
    try:
        yield _made(place)
    finally:
        config.CACHE_DIR = before


def _made(place: Path) -> bool:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return True


#: Plain arithmetic: what rounding does is part of the algorithm.
compiled = numba.njit(nogil=True, error_model="numpy")
#: The same, products and sums fused where the processor can.
compiled_fused = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
#: Loops with sums.
compiled_sums = numba.njit(nogil=True, error_model="numpy", fastmath=_SUMS)


def compiled_callback(*arguments: Any) -> Callable[..., Any]:
    """Return a decorator for what nutpie calls: a C function of these types, giving an int64.

    It is kept on disk with all that it calls; where the disk takes nothing, in memory.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        signature = numba.types.int64(*arguments)
        # Numba's own words for a folder that it cannot write to are a RuntimeError
        with _kept() as kept, suppress(OSError, RuntimeError):
            if kept:
                return numba.cfunc(signature, cache=True, error_model="numpy")(function)
        return numba.cfunc(signature, error_model="numpy")(function)

    return decorate
