"""QSGD: Alistarh et al. 2017, section 3.1, for one vector and given uniform draws.

Q_s(v_i) = ||v||_2 sgn(v_i) xi_i(v, s); with l such that |v_i| / ||v||_2 in [l / s, (l + 1) / s], xi_i is (l + 1) / s
with probability p = s |v_i| / ||v||_2 - l, and l / s otherwise. TernGrad (Wen et al. 2017, equation 1) has s = 1 and
the largest absolute value in place of the norm.
"""

from __future__ import annotations

import math

import numpy as np

Array = np.ndarray


def quantised(v: Array, s: int, uniform: Array, norm: float | None = None) -> Array:
    norm = math.sqrt(sum(x * x for x in v)) if norm is None else norm
    result = []
    for x, u in zip(v, uniform, strict=True):
        if norm == 0:
            result.append(0.0)
            continue
        level = min(math.floor(s * abs(x) / norm), s)
        p = s * abs(x) / norm - level
        xi = (level + 1) / s if u < p else level / s
        result.append(norm * math.copysign(1, x) * xi)
    return np.array(result)


def in_buckets(v: Array, s: int, bucket: int, uniform: Array, largest: bool = False) -> Array:
    parts = []
    for a in range(0, len(v), bucket):
        part = v[a : a + bucket]
        norm = max(abs(x) for x in part) if largest else None
        parts.append(quantised(part, s, uniform[a : a + bucket], norm))
    return np.concatenate(parts)


def ternary(g: Array, c: float | None, uniform: Array) -> Array:
    """TernGrad of one tensor, with entries clipped to c sigma first (section 4.2, equation 10)."""
    if c is not None:
        sigma = math.sqrt(sum(x * x for x in g) / len(g))
        g = np.array([x if abs(x) <= c * sigma else math.copysign(c * sigma, x) for x in g])
    return quantised(g, 1, uniform, max(abs(x) for x in g))
