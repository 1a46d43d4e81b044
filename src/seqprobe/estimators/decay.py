"""Curves over distance: where they cross a level, and which law they follow."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

Curve = Float64[np.ndarray, " distances"]
_EXACT = 1e-9  # residuals of the logarithm below this are rounding


def first_crossing(curve: Curve, level: float) -> float:
    """The first distance at which the curve has fallen to `level`; infinite if it never does.

    Between two distances the logarithm of the curve is taken as a straight line.
    """
    below = np.flatnonzero(curve <= level)
    return _crossing(curve, level, int(below[0])) if len(below) else math.inf


def last_crossing(curve: Curve, level: float) -> float:
    """The distance after which the curve stays below `level`; infinite if it ends above."""
    above = np.flatnonzero(curve > level)
    if not len(above):
        return 0.0
    after = int(above[-1]) + 1
    return _crossing(curve, level, after) if after < len(curve) else math.inf


def _crossing(curve: Curve, level: float, after: int) -> float:
    """Where the curve passes `level` between distances `after - 1` and `after`.

    Where it drops to exactly zero there is no slope: the last distance above zero counts.
    """
    if after == 0:
        return 0.0
    if curve[after] <= 0:
        return after - 1.0
    upper, lower = np.log(curve[after - 1 : after + 1])
    return after - 1 + float((upper - math.log(level)) / (upper - lower))


@dataclass(frozen=True)
class Fit:
    """A law for a curve over distance, fitted to its logarithm."""

    law: str
    rate: float
    curve: Curve
    aicc: float


def fit_decay(curve: Curve, floor: float) -> list[Fit]:
    """Flat, exponential and power-law fits, the best by AICc first; empty if too few points.

    Distance 0 is left out, since a residual connection dominates it, and so are values at or
    below `floor`. `rate` is per step for the exponential, the exponent for the power law.

    Regression and Time Series Model Selection in Small Samples (Hurvich and Tsai, 1989).
    """
    distance = np.arange(len(curve), dtype=np.float64)
    kept = (distance >= 1) & (curve > floor)
    if kept.sum() < 5:
        return []
    laws = {
        "flat": np.zeros_like(distance),
        "exponential": distance,
        "power law": np.log1p(distance),
    }
    fits = [_fit(law, x, curve, kept) for law, x in laws.items()]
    return sorted(fits, key=lambda fit: fit.aicc)


def _fit(law: str, x: Curve, curve: Curve, kept: np.ndarray) -> Fit:
    design = np.stack([np.ones_like(x), -x], axis=1)[:, : 1 if law == "flat" else 2]
    log = np.log(curve[kept])
    solution = np.linalg.lstsq(design[kept], log, rcond=None)[0]
    residual = np.sum((log - design[kept] @ solution) ** 2) + len(log) * _EXACT**2
    parameters, n = len(solution) + 1, len(log)
    aicc = n * math.log(residual / n) + 2 * parameters * n / (n - parameters - 1)
    rate = float(solution[1]) if len(solution) > 1 else 0.0
    return Fit(law, rate, np.exp(design @ solution), aicc)
