"""Ellipses of two numbers that groups have: of the groups themselves, and of their mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from bridge.parameter_sets import roots

#: Below it, beside the larger one, a variance counts as none.
_FLAT = 1e-12
_POINTS = 181


@dataclass(frozen=True, eq=False)
class Ellipse:
    """The points b with (b - centre)' shape^-1 (b - centre) = radius^2.

    Attributes
    ----------
    centre : (2,) array
    shape : (2, 2) array
        A covariance matrix; of a singular one the outline is a line.
    radius : float
        In its SDs.
    """

    centre: np.ndarray
    shape: np.ndarray
    radius: float

    @property
    def outline(self) -> np.ndarray:
        """Points of it, (181, 2)."""
        angle = np.linspace(0, 2 * np.pi, _POINTS)
        circle = np.column_stack([np.cos(angle), np.sin(angle)])
        found: np.ndarray = self.centre + self.radius * circle @ roots(self.shape).T
        return found


def population_ellipse(centre: np.ndarray, T: np.ndarray, share: float) -> Ellipse:
    """Return the ellipse that holds a share of N(centre, T): radius^2 is chi-square's quantile."""
    return Ellipse(centre, T, float(np.sqrt(stats.chi2.ppf(share, 2))))


def data_ellipse(points: np.ndarray, level: float) -> Ellipse | None:
    """Return the ellipse that holds a share of a normal population, by a sample of it.

    Parameters
    ----------
    points : (n, 2) array
        The sample.
    level : float
        The share.

    Returns
    -------
    Ellipse or None
        Around the mean, by the covariance matrix S of the points, with radius^2 =
        2 F(level; 2, n - 1), as car's ``dataEllipse``; None of fewer than three points, and of
        points on a line.

    Notes
    -----
    Friendly, Monette & Fox 2013, Statistical Science 28(1), section 2.
    """
    shape = _covariance(points)
    if shape is None:
        return None
    radius = np.sqrt(2 * stats.f.ppf(level, 2, len(points) - 1))
    return Ellipse(points.mean(axis=0), shape, float(radius))


def mean_ellipse(points: np.ndarray, level: float) -> Ellipse | None:
    """Return the confidence ellipse of the mean of a normal population, by a sample of it.

    Parameters
    ----------
    points, level
        As for `data_ellipse`.

    Returns
    -------
    Ellipse or None
        By S / n, with radius^2 = 2 (n - 1) / (n - 2) F(level; 2, n - 2): Hotelling's T^2. It is
        the data ellipse shrunk by about the root of n. None as there.
    """
    shape, n = _covariance(points), len(points)
    if shape is None:
        return None
    radius = np.sqrt(2 * (n - 1) / (n - 2) * stats.f.ppf(level, 2, n - 2))
    return Ellipse(points.mean(axis=0), shape / n, float(radius))


def fixed_ellipse(centre: np.ndarray, shape: np.ndarray, df: int, level: float) -> Ellipse | None:
    """Return the confidence ellipse of two estimates with a known shape of their covariance.

    Parameters
    ----------
    centre : (2,) array
        The estimates.
    shape : (2, 2) array
        Their covariance matrix by a residual variance.
    df : int
        Degrees of freedom of that variance.
    level : float
        The share of such ellipses that hold what is estimated.

    Returns
    -------
    Ellipse or None
        With radius^2 = 2 F(level; 2, df); None where the matrix is singular or df zero.
    """
    if df < 1 or not _regular(shape):
        return None
    return Ellipse(centre, shape, float(np.sqrt(2 * stats.f.ppf(level, 2, df))))


def _covariance(points: np.ndarray) -> np.ndarray | None:
    if len(points) < 3:
        return None
    found: np.ndarray = np.cov(points, rowvar=False)
    return found if _regular(found) else None


def _regular(shape: np.ndarray) -> bool:
    scale = np.sqrt(np.diag(shape))
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        return False
    return bool(np.linalg.eigvalsh(shape / np.outer(scale, scale))[0] > _FLAT)
