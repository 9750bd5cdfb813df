"""Loops over vectors, such as one number a group."""

from __future__ import annotations

from bridge.nuts.compiling import compiled


@compiled
def add_product(out, left, right, sign):
    """Add the product of two vectors, at least as long as ``out``."""
    for i in range(out.size):
        out[i] += sign * left[i] * right[i]


@compiled
def divide(out, by):
    """Divide by a vector."""
    for i in range(out.size):
        out[i] /= by[i]
