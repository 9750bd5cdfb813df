"""The compiled density of a problem, called from Python; nutpie calls the same C functions."""

from __future__ import annotations

import ctypes

import numpy as np

from bridge.nuts.density import expand, log_density
from bridge.nuts.problem import Problem, pack

_DOUBLES = ctypes.POINTER(ctypes.c_double)


class Density:
    """A problem's log density.

    Attributes
    ----------
    size, size_canonical : int
        Free coordinates; numbers of a draw.
    numbers : (..) array
        The packed problem, which the C functions read at its address; keep it alive.
    """

    def __init__(self, problem: Problem) -> None:
        self.size = problem.size
        self.size_canonical = problem.size_canonical
        self.numbers = pack(problem)

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log density of free coordinates, and its gradient.

        Parameters
        ----------
        x : (size,) array
            The point.

        Returns
        -------
        value : float
            Minus infinity or NaN where there is no density, or it is beyond all numbers.
        gradient : (size,) array
        """
        x = np.ascontiguousarray(x, dtype=float)
        gradient, value = np.empty(self.size), np.empty(1)
        log_density.ctypes(
            self.size, _pointer(x), _pointer(gradient), _pointer(value), self.numbers.ctypes.data
        )
        return float(value[0]), gradient

    def canonical(self, x: np.ndarray) -> np.ndarray:
        """Return the canonical parameters at free coordinates; see `density.canonical`."""
        x = np.ascontiguousarray(x, dtype=float)
        found = np.full(self.size_canonical, np.nan)
        expand.ctypes(
            self.size, self.size_canonical, _pointer(x), _pointer(found), self.numbers.ctypes.data
        )
        return found


def _pointer(values: np.ndarray) -> ctypes._Pointer[ctypes.c_double]:
    return values.ctypes.data_as(_DOUBLES)
