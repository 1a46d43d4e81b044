"""How a cost grows with length: exponents, laws, and where two of them cross."""

import numpy as np
from jaxtyping import Float64
from numpy.polynomial import polynomial
from scipy import optimize, stats

from seqprobe.contracts import Estimate

FEWEST, RESAMPLES = 3, 999
POWERS = np.arange(3)

Points = Float64[np.ndarray, " lengths"]
Law = Float64[np.ndarray, "3"]


def lengths_up_to(longest: int) -> list[int]:
    """Five lengths, each half of the next one."""
    return [length for length in (longest >> halvings for halvings in (4, 3, 2, 1, 0)) if length]


def exponent(lengths: Points, values: Points) -> tuple[float, float, float]:
    """Slope of log value over log length, and its 95 % interval over the lengths.

    The interval is wide where the curve is no power law: constant and growing parts mix.
    """
    if np.ptp(values) == 0:
        return 0.0, 0.0, 0.0
    fit = stats.linregress(np.log(lengths), np.log(values))
    spread = stats.t.ppf(0.975, len(lengths) - 2) * fit.stderr
    return float(fit.slope), float(fit.slope - spread), float(fit.slope + spread)


def exponents(
    lengths: Points, curves: Float64[np.ndarray, "curves lengths"]
) -> Float64[np.ndarray, " curves"]:
    """The slopes of many curves."""
    slopes: np.ndarray = np.polyfit(np.log(lengths), np.log(curves).T, 1)[0]
    return slopes


def exact_exponent(lengths: Points, values: Points, nothing: str) -> Estimate:
    """The same for counted costs; `nothing` says what it means if there are none."""
    if not values.all():
        return Estimate.missing("", nothing, exact=True)
    if len(lengths) < FEWEST:
        return Estimate.missing("", f"{len(lengths)} lengths are too few")
    slope, low, high = exponent(lengths, values)
    return Estimate(slope, "", low, high, n=len(lengths), exact=True)


def law(lengths: Points, values: Points) -> Law | None:
    """Costs as a + b n + c n^2, none of them negative; relative errors count.

    What a sequence model does is done once, for each token, or for each pair of tokens. None for
    fewer than three costs, or if one of them is not positive.
    """
    if len(lengths) < FEWEST or not ((values > 0) & np.isfinite(values)).all():
        return None
    scale = float(lengths.max()) ** POWERS
    powers = lengths[:, None] ** POWERS / scale / values[:, None]
    coefficients, _ = optimize.nnls(powers, np.ones(len(values)))
    found: np.ndarray = coefficients / scale
    return found


def cost(law: Law, lengths: Points) -> Points:
    """What a law says at some lengths."""
    values: np.ndarray = polynomial.polyval(lengths, law)
    return values


def extrapolated(
    lengths: Points, values: Points, further: Float64[np.ndarray, " further"]
) -> Float64[np.ndarray, " further"] | None:
    """What the law of some costs says at other lengths."""
    found = law(lengths, values)
    return None if found is None else cost(found, further)


def crossing(first: Law, second: Law, low: float, high: float) -> float | None:
    """The shortest length between low and high from which the other one is cheaper."""
    difference = first - second
    if np.allclose(difference, 0):
        return None
    roots = polynomial.polyroots(np.trim_zeros(difference, "b"))
    inside = [float(root.real) for root in roots if np.isreal(root) and low <= root.real <= high]
    return min(inside, default=None)


def resampled_medians(
    rounds: Float64[np.ndarray, "rounds lengths"], seed: int = 0
) -> Float64[np.ndarray, "resamples lengths"]:
    """Medians over rounds drawn again with replacement; a round is drawn as a whole."""
    count = len(rounds)
    drawn = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    medians: np.ndarray = np.median(rounds[drawn], axis=1)
    return medians
