"""Curves over distance: where they cross a level, and which law they follow.

Everything here works on the natural logarithm of a curve: a gradient may fall far below what a
float64 can hold. The logarithm is -inf where the curve is exactly zero.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from scipy.optimize import leastsq
from scipy.special import expit

Curve = Float64[np.ndarray, " distances"]
Curves = Float64[np.ndarray, "resamples distances"]
Numbers = Float64[np.ndarray, " resamples"]
Kept = Bool[np.ndarray, " distances"]

FEWEST_DISTANCES = 5
_EXACT = 1e-9  # residuals of the logarithm below this are rounding
_BETA = (0.1, 2.0)  # a stretched exponential with a smaller beta is a power law to the eye


def first_crossings(logs: Curves, level: float) -> Numbers:
    """Where each curve has first fallen to `level`; infinite if it never does.

    Between two distances the logarithm of a curve is taken as a straight line. `level` is a
    logarithm too.
    """
    below = logs <= level
    after = np.where(below.any(1), below.argmax(1), logs.shape[1])
    return _crossings(logs, level, after)


def last_crossings(logs: Curves, level: float) -> Numbers:
    """Where each curve comes to stay at or below `level`; infinite if it ends above."""
    above = logs > level
    after = np.where(above.any(1), logs.shape[1] - above[:, ::-1].argmax(1), 0)
    return _crossings(logs, level, after)


def _crossings(logs: Curves, level: float, after: np.ndarray) -> Numbers:
    """Where each curve passes `level` between distances `after - 1` and `after`.

    Where it drops to exactly zero the slope is infinite: the last distance above zero counts.
    """
    crossings = np.where(after > 0, np.inf, 0.0)
    rows = np.flatnonzero((after > 0) & (after < logs.shape[1]))
    before = after[rows] - 1
    upper, lower = logs[rows, before], logs[rows, before + 1]
    crossings[rows] = before + (upper - level) / (upper - lower)
    return crossings


def exponential_rate(
    logs: Float64[np.ndarray, "*some distances"], floor: float
) -> Float64[np.ndarray, "*some"]:
    """Nats per step: how steeply the least-squares line through the logarithms falls.

    Distance 0 is left out, since a residual connection dominates it, and so are logarithms at or
    below `floor`; nan where fewer than five distances remain.
    """
    kept = _kept(logs, floor)
    distance = np.arange(logs.shape[-1], dtype=np.float64)
    return np.where(kept.sum(-1) < FEWEST_DISTANCES, np.nan, -_slope(distance, logs, kept))


def steady_rate(
    logs: Float64[np.ndarray, "*some distances"], floor: float
) -> Float64[np.ndarray, "*some"]:
    """Nats per step by which the logarithms go on falling, apart from a power of the distance.

    The rate of (1 + k)^p exp(-rate k), the law of a stack of leaky integrators: gradients that add
    up along many paths grow by a power, at a rate of zero. Points as in `exponential_rate`.
    """
    kept = _kept(logs, floor)
    distance = np.arange(logs.shape[-1], dtype=np.float64)
    power = np.log1p(distance)
    along = _slope(power, np.broadcast_to(distance, logs.shape), kept)
    beyond = distance - along[..., None] * power
    return np.where(kept.sum(-1) < FEWEST_DISTANCES, np.nan, -_slope(beyond, logs, kept))


def _kept(
    logs: Float64[np.ndarray, "*some distances"], floor: float
) -> Bool[np.ndarray, "*some distances"]:
    kept: np.ndarray = logs > floor
    kept[..., 0] = False
    return kept


def _slope(
    x: Curve | Float64[np.ndarray, "*some distances"],
    logs: Float64[np.ndarray, "*some distances"],
    kept: Bool[np.ndarray, "*some distances"],
) -> np.ndarray:
    """Of the least-squares line through the kept points; zero where there are none."""
    count = np.maximum(kept.sum(-1, keepdims=True), 1)
    centred = np.where(kept, x - np.where(kept, x, 0.0).sum(-1, keepdims=True) / count, 0.0)
    spread = np.square(centred).sum(-1)
    slope = (centred * np.where(kept, logs, 0.0)).sum(-1) / np.where(spread > 0, spread, 1.0)
    return np.asarray(slope)


@dataclass(frozen=True)
class Fit:
    """A law for a curve over distance k, fitted to its logarithm; the scale is free in every law.

    - flat: 1
    - exponential: exp(-rate k)
    - power law: (1 + k)^-exponent
    - stretched exponential: exp(-(k / tau)^beta)
    - two exponentials: (1 - share_slow) exp(-rate_fast k) + share_slow exp(-rate_slow k)
    """

    law: str
    parameters: Mapping[str, float]
    logs: Curve
    aicc: float


Shape = tuple[dict[str, float], Curve]  # parameters, and the logarithm but for the scale


def fit_decay(logs: Curve, floor: float) -> list[Fit]:
    """All laws for which there are enough points, the best by AICc first.

    Distance 0 and logarithms at or below `floor` are left out, as in `exponential_rate`. Empty if
    fewer than five distances remain; AICc is not defined for a law with nearly as many parameters
    as points.

    Regression and Time Series Model Selection in Small Samples (Hurvich and Tsai, 1989).
    """
    kept = _kept(logs, floor)
    if kept.sum() < FEWEST_DISTANCES:
        return []
    fits = [_scored(law, shape(logs, kept), logs, kept) for law, shape in _LAWS.items()]
    return sorted((fit for fit in fits if fit.aicc < math.inf), key=lambda fit: fit.aicc)


def _scored(law: str, shape: Shape, logs: Curve, kept: Kept) -> Fit:
    """With its best scale, and AICc; scale and noise are two more parameters."""
    parameters, curve = shape
    n, free = int(kept.sum()), len(parameters) + 2
    fitted = curve + (logs[kept] - curve[kept]).mean()
    variance = np.square(_residuals(curve, logs, kept)).mean() + _EXACT**2
    spare = n - free - 1
    aicc = n * math.log(variance) + 2 * free * n / spare if spare > 0 else math.inf
    return Fit(law, parameters, fitted, aicc)


def _residuals(curve: Curve, logs: Curve, kept: Kept) -> np.ndarray:
    """What the curve leaves over at its best scale."""
    gap = logs[kept] - curve[kept]
    left: np.ndarray = gap - gap.mean()
    return left


def _flat(logs: Curve, _: Kept) -> Shape:
    return {}, np.zeros_like(logs)


def _exponential(logs: Curve, kept: Kept) -> Shape:
    distance = np.arange(len(logs), dtype=np.float64)
    rate = -float(_slope(distance, logs, kept))
    return {"rate": rate}, -rate * distance


def _power_law(logs: Curve, kept: Kept) -> Shape:
    distance = np.log1p(np.arange(len(logs), dtype=np.float64))
    exponent = -float(_slope(distance, logs, kept))
    return {"exponent": exponent}, -exponent * distance


def _stretched(logs: Curve, kept: Kept) -> Shape:
    """Searched over beta alone: given beta, the logarithm is linear in k^beta.

    Non-symmetrical dielectric relaxation behaviour arising from a simple empirical decay function
    (Williams and Watts, 1970).
    """
    longest = int(np.flatnonzero(kept)[-1])
    distance = np.arange(len(logs)) / longest
    least, most = _BETA

    def beta_and_fall(found: np.ndarray) -> tuple[float, float]:
        beta = least + (most - least) * float(expit(found[0]))
        return beta, max(-float(_slope(distance**beta, logs, kept)), _EXACT)

    def curve(found: np.ndarray) -> np.ndarray:
        beta, fall = beta_and_fall(found)
        return -fall * distance**beta

    found = _search(curve, [[0.0]], logs, kept)
    beta, fall = beta_and_fall(found)
    return {"tau": longest * fall ** (-1 / beta), "beta": beta}, curve(found)


def _two_exponentials(logs: Curve, kept: Kept) -> Shape:
    """Searched over both rates and the knee, the distance at which both terms are equal."""
    distance = np.arange(len(logs), dtype=np.float64)

    def curve(found: np.ndarray) -> np.ndarray:
        beyond = distance - found[2]
        total: np.ndarray = np.logaddexp(-found[0] * beyond, -found[1] * beyond)
        return total

    knees = float(np.flatnonzero(kept)[-1]) ** np.array([0.1, 0.9])
    found = _search(curve, [_bent_line(knee, logs, kept) for knee in knees], logs, kept)
    slow, fast = sorted(map(float, found[:2]))
    share = float(expit(-(fast - slow) * found[2]))
    return {"rate_fast": fast, "rate_slow": slow, "share_slow": share}, curve(found)


def _bent_line(knee: float, logs: Curve, kept: Kept) -> list[float]:
    """The least-squares line with a bend at the knee: rate before it, rate after it, knee."""
    beyond = np.flatnonzero(kept) - knee
    design = np.stack([-np.minimum(beyond, 0), -np.maximum(beyond, 0), np.ones_like(beyond)], 1)
    before, after, _ = np.linalg.lstsq(design, logs[kept], rcond=None)[0]
    return [before, after, knee]


def _search(
    curve: Callable[[np.ndarray], np.ndarray], starts: list[list[float]], logs: Curve, kept: Kept
) -> np.ndarray:
    """The parameters that leave the least over, from the best of several starts.

    The Levenberg-Marquardt algorithm: implementation and theory (Moré, 1978).
    """

    def residuals(parameters: np.ndarray) -> np.ndarray:
        return _residuals(curve(parameters), logs, kept)

    with np.errstate(all="ignore"):
        found = [leastsq(residuals, start, full_output=True, maxfev=200)[0] for start in starts]
        return min(found, key=lambda one: float(np.square(residuals(one)).sum()))


_LAWS: Mapping[str, Callable[[Curve, Kept], Shape]] = {
    "flat": _flat,
    "exponential": _exponential,
    "power law": _power_law,
    "stretched exponential": _stretched,
    "two exponentials": _two_exponentials,
}
