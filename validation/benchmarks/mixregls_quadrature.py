"""What 11 x 11 points of adaptive quadrature make of the Reisby model: the numbers of print.

MIXREGLS integrates over both standardised effects of a subject, theta = (theta_1, theta_2), by
adaptive Gauss-Hermite quadrature: y_ij ~ N(x'b + exp(u'a / 2) theta_1, exp(w'd + s theta_2)), nodes
m_j + s_j z at the posterior means and SDs of theta that the quadrature itself gives. Run it to see
its maximum and the standard errors by its Hessian, for case slides2014/reisby.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.optimize import minimize

from bridge import datasets

POINTS = 11
NAMES = ("_cons week endog endweek", "between _cons endog", "within _cons week endog", "sigma")
START = [22.2, -2.24, 1.86, -0.015, 2.21, 0.51, 2.09, 0.185, 0.3, 0.7]
#: About a thousandth of the standard errors, for differences.
STEPS = 1e-3 * np.array([0.7, 0.18, 1.1, 0.27, 0.35, 0.45, 0.24, 0.06, 0.25, 0.13])


class Quadrature:
    """The approximate log-likelihood, and its nodes."""

    def __init__(self) -> None:
        data = datasets.load("reisby").dropna()
        ids, self.group = np.unique(data["id"], return_inverse=True)
        one, week, endog = np.ones(len(data)), data["week"], data["endog"]
        self.y = data["hamdep"].to_numpy(dtype=float)
        self.X = np.column_stack([one, week, endog, endog * week])
        self.W = np.column_stack([one, week, endog])
        self.U = np.column_stack([one, endog])
        x, w = np.polynomial.hermite_e.hermegauss(POINTS)
        self.z = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
        self.log_weight = np.log(np.outer(w, w).ravel() / (2 * np.pi))
        self.mean, self.sd = np.zeros((len(ids), 2)), np.ones((len(ids), 2))

    def terms(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the log of each node's share (J, K), and the nodes (J, K, 2)."""
        theta = self.mean[:, None] + self.sd[:, None] * self.z
        t = theta[self.group]
        scale = np.exp(self.U @ p[4:6] / 2)
        r = self.y[:, None] - (self.X @ p[:4])[:, None] - scale[:, None] * t[..., 0]
        log_variance = (self.W @ p[6:9])[:, None] + p[9] * t[..., 1]
        rows = -(np.log(2 * np.pi) + log_variance + r**2 * np.exp(-log_variance)) / 2
        total = np.zeros(theta.shape[:2])
        np.add.at(total, self.group, rows)
        total += self.log_weight + ((self.z**2).sum(axis=-1) - (theta**2).sum(axis=-1)) / 2
        return total + np.log(self.sd).sum(axis=1)[:, None], theta

    def minus_loglik(self, p: np.ndarray) -> float:
        """Return minus the log-likelihood at fixed nodes."""
        return -float(np.logaddexp.reduce(self.terms(p)[0], axis=1).sum())

    def adapt(self, p: np.ndarray) -> None:
        """Move the nodes to the posterior means and SDs of theta."""
        total, theta = self.terms(p)
        weight = np.exp(total - np.logaddexp.reduce(total, axis=1)[:, None])[..., None]
        self.mean = (weight * theta).sum(axis=1)
        self.sd = np.sqrt((weight * (theta - self.mean[:, None]) ** 2).sum(axis=1))


def hessian(quadrature: Quadrature, p: np.ndarray) -> np.ndarray:
    """Return the second derivatives of minus the log-likelihood at fixed nodes."""
    f, E = quadrature.minus_loglik, np.diag(STEPS)
    found = np.zeros((len(p), len(p)))
    for i, a in enumerate(E):
        for j, b in enumerate(E):
            four = f(p + a + b) - f(p + a - b) - f(p - a + b) + f(p - a - b)
            found[i, j] = four / (4 * STEPS[i] * STEPS[j])
    return found


def main() -> None:
    """Print the maximum."""
    quadrature, p = Quadrature(), np.array(START)
    for _ in range(40):
        for _ in range(3):
            quadrature.adapt(p)
        before = p
        p = minimize(quadrature.minus_loglik, p, method="BFGS", options={"gtol": 1e-6}).x
        if np.abs(p - before).max() < 1e-8:
            break
    se = np.sqrt(np.diag(np.linalg.inv(hessian(quadrature, p))))
    lines = [
        f"log-likelihood {-quadrature.minus_loglik(p):.4f}",
        ", ".join(NAMES),
        f"estimates       {np.round(p, 6).tolist()}",
        f"standard errors {np.round(se, 6).tolist()}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
