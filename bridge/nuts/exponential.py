"""exp of many numbers at once; the C library's takes them one by one."""

from __future__ import annotations

import math

import numpy as np

from bridge.nuts.compiling import compiled_fused

_LOG2_E = 1 / math.log(2)
# log 2 in two parts, the first of 32 bits so that its product with an exponent is exact
_LOG_2_HIGH = 6.93147180369123816490e-01
_LOG_2_LOW = 1.90821492927058770002e-10
_TO_INTEGER = 1.5 * 2.0**52  # added to x, leaves the integer next to x in the last bits
_ONE = np.int64(0x3FF0000000000000)  # the bits of 1.0
_SHIFT = np.int64(52)
# Taylor on |r| < log(2) / 2: the first term left out is below 1e-17
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13 = (
    1 / math.factorial(k) for k in range(2, 14)
)
LEAST, MOST = -708.0, 709.0


@compiled_fused
def exp_minus(x, out, n):
    """Write exp(-x) of the first n numbers to ``out``; 2^k exp(r) with -x = k log 2 + r.

    Beyond -708 and 709 the result is that at the bound: finite, and never NaN, so that the
    caller has to see a NaN in x itself.
    """
    for i in range(n):
        y = -x[i]
        y = y if y > LEAST else LEAST
        y = y if y < MOST else MOST
        shifted = y * _LOG2_E + _TO_INTEGER
        k = shifted - _TO_INTEGER
        r = (y - k * _LOG_2_HIGH) - k * _LOG_2_LOW
        series = ((((_C13 * r + _C12) * r + _C11) * r + _C10) * r + _C9) * r + _C8
        series = (((((series * r + _C7) * r + _C6) * r + _C5) * r + _C4) * r + _C3) * r + _C2
        bits = np.float64(shifted).view(np.int64)
        power = np.int64((bits << _SHIFT) + _ONE).view(np.float64)
        out[i] = ((series * r + 1.0) * r + 1.0) * power
